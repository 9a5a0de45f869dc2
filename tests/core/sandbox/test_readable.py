"""The paths that sandboxed processes may use."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.core.sandbox import readable

ROOT = Path(__file__).parents[3]
CLOSED = 0o000

# Without capabilities, root may read no more than others.
INSTALLED = """
from app.core import hardening
from app.core.sandbox import readable
hardening.drop_capabilities()
print(*readable.installed(), sep="\\n")
"""


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A folder with modules that nobody may read, and beside it the module `open.py`."""
    folder = tmp_path / "closed"
    folder.mkdir()
    (folder / "hidden.py").touch()
    (tmp_path / "open.py").touch()
    folder.chmod(CLOSED)
    yield folder
    folder.chmod(0o700)


def test_folders_of_the_import_path_that_it_may_not_read_are_left_out(closed: Path) -> None:
    path = [closed.parent, closed, closed / "below", ROOT]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}

    run = subprocess.run(
        [sys.executable, "-c", INSTALLED], env=environment, capture_output=True, text=True, check=False
    )

    assert run.returncode == 0, run.stderr
    found = {Path(line) for line in run.stdout.splitlines()}
    assert closed.parent / "open.py" in found
    assert not {one for one in found if one.is_relative_to(closed)}


def test_the_devices_of_gpus_are_found_and_no_others(tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "sda", "null"):
        (tmp_path / name).touch()
    (tmp_path / "nvidia-caps").mkdir()

    assert [path.name for path in readable.gpu_devices(tmp_path)] == [
        "nvidia-caps",
        "nvidia-uvm",
        "nvidia0",
        "nvidia1",
        "nvidiactl",
    ]
