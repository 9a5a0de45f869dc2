"""Builds the image from `Dockerfile` without a network, on a base made from Debian's packages.

The base stands in for `python:3.11-slim`: Debian 12, its Python 3.11, and pip outside Debian's packages. The
wheels are those that `requirements/runtime.txt` asks for under the base's Python, which may have another
patch version than the Python of this process.
"""

import fcntl
import hashlib
import importlib.metadata
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from packaging.markers import Marker

from tests.support.processes import ROOT

TOOLS: Final = ("buildah", "mmdebstrap", "unshare", "chroot")
CACHE: Final = ROOT / ".venv" / "image-test"
"""Keeps the base and the wheels; `make clean` removes it with the virtual environment."""

SUITE: Final = "bookworm"
PYTHON: Final = "3.11"
PACKAGES: Final = ("python3", "python-is-python3")
BASE: Final = "localhost/headrace-base"
IMAGE: Final = "localhost/headrace"

_HOST_PYTHON: Final = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
_REQUIREMENT: Final = re.compile(
    r"^(?P<pin>\S+==\S+)(?: ; (?P<marker>.+?))? \\\n(?P<hashes>(?:    --hash=\S+(?: \\)?\n)+)", re.MULTILINE
)


@dataclass(frozen=True)
class Image:
    """A built image: its files, its OCI configuration, and the commit from which it was built."""

    root: Path
    config: dict[str, Any]
    revision: str

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the image sets."""
        return dict(entry.split("=", 1) for entry in self.config["Env"])

    @property
    def user(self) -> tuple[int, int]:
        """The user and group id with which a container runs."""
        uid, gid = map(int, self.config["User"].split(":"))
        return uid, gid

    def path(self, inside: str) -> Path:
        """Where a path of the image is on this machine."""
        return self.root / inside.lstrip("/")


class Buildah:
    """The program buildah, with a storage of its own."""

    def __init__(self, folder: Path) -> None:
        self._program = [
            *("buildah", "--root", str(folder / "root"), "--runroot", str(folder / "run")),
            *("--storage-driver", "vfs"),  # needs nothing from the kernel
        ]

    def run(self, *arguments: str | Path, without_network: bool = False) -> str:
        """Run a command and return its output. A failure shows everything that it printed."""
        isolated = ["unshare", "--net"] if without_network else []
        return _run(*isolated, *self._program, *map(str, arguments))


def missing() -> str | None:
    """Return why an image cannot be built here, or None."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "building the image needs root on Linux"
    if absent := [tool for tool in TOOLS if shutil.which(tool) is None]:
        return f"building the image needs {' and '.join(absent)}: `make image-test` installs them"
    return None


@contextmanager
def built() -> Iterator[Image]:
    """Build the image; its files exist during the body."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed, even by a kill
        with _built(CACHE / "storage") as image:
            yield image


@contextmanager
def _built(storage: Path) -> Iterator[Image]:
    base = _base()
    shutil.rmtree(storage, ignore_errors=True)  # of a run that was killed
    buildah = Buildah(storage)
    try:
        python = _import_base(buildah, base)
        revision = _run("git", "-C", str(ROOT), "rev-parse", "HEAD")
        config = CACHE / "pip.conf"
        config.write_text("[global]\nno-index = true\nfind-links = /wheels\n", encoding="ascii")
        buildah.run(
            *("bud", "--isolation", "chroot", "--pull-never", "--tag", IMAGE),
            *("--build-arg", f"BASE={BASE}", "--build-arg", f"REVISION={revision}"),
            *("--volume", f"{_wheels(python)}:/wheels:ro", "--volume", f"{config}:/etc/pip.conf:ro"),
            ROOT,
            without_network=True,
        )
        inspected = json.loads(buildah.run("inspect", "--type", "image", IMAGE))
        container = buildah.run("from", "--pull-never", IMAGE)
        yield Image(Path(buildah.run("mount", container)), inspected["OCIv1"]["config"], revision)
    finally:
        shutil.rmtree(storage, ignore_errors=True)


def requirements(python: str) -> str:
    """Return `requirements/runtime.txt` as it reads under this Python, without markers."""
    text = (ROOT / "requirements" / "runtime.txt").read_text(encoding="utf-8")
    environment = {"python_full_version": python, "python_version": PYTHON}
    return "".join(
        f"{found['pin']} \\\n{found['hashes']}"
        for found in _REQUIREMENT.finditer(text)
        if found["marker"] is None or Marker(found["marker"]).evaluate(environment)
    )


def _base() -> Path:
    """Make the base, once for each recipe, and return its archive."""
    pip = CACHE / f"pip-{importlib.metadata.version('pip')}"
    hooks = [
        # As in python:3.11-slim, pip belongs to no package of the distribution and may be uninstalled.
        f'rm "$1"/usr/lib/python{PYTHON}/EXTERNALLY-MANAGED',
        f'cp -r {shlex.quote(str(pip))}/. "$1"/usr/local/lib/python{PYTHON}/dist-packages',
    ]
    options = [
        *("--variant=minbase", f"--include={','.join(PACKAGES)}", '--aptopt=APT::Install-Recommends "false"'),
        *(f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("doc", "man", "locale")),
        *(f"--customize-hook={hook}" for hook in hooks),
    ]
    recipe = hashlib.sha256("\n".join([SUITE, *options]).encode()).hexdigest()[:16]
    archive = CACHE / f"base-{recipe}.tar"
    if not archive.exists():
        _unpack_pip(pip)
        draft = archive.with_suffix(".draft.tar")
        _run("mmdebstrap", *options, SUITE, str(draft))
        draft.rename(archive)
    return archive


def _unpack_pip(folder: Path) -> None:
    name, _, version = folder.name.partition("-")
    _run(*_HOST_PYTHON, "download", "--no-deps", "--dest", str(CACHE), f"{name}=={version}")
    with zipfile.ZipFile(next(CACHE.glob(f"{name}-{version}-*.whl"))) as wheel:
        wheel.extractall(folder)


def _import_base(buildah: Buildah, archive: Path) -> str:
    """Make the base's archive an image, and return the version of its Python."""
    container = buildah.run("from", "scratch")
    buildah.run("add", container, archive, "/")
    question = "import platform; print(platform.python_version())"
    python = buildah.run("run", "--isolation", "chroot", container, "--", "python", "-c", question)
    buildah.run("commit", container, BASE)
    buildah.run("rm", container)
    return python


def _wheels(python: str) -> Path:
    """Download the wheels for the base's Python, once for each set of them."""
    wanted = requirements(python)
    folder = CACHE / f"wheels-{hashlib.sha256(wanted.encode()).hexdigest()[:16]}"
    if not folder.exists():
        draft = folder.with_suffix(".draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        listed = CACHE / "runtime.txt"
        listed.write_text(wanted, encoding="utf-8")
        _run(
            *(*_HOST_PYTHON, "download", "--require-hashes", "--no-deps", "--only-binary", ":all:"),
            *("--python-version", PYTHON, "--requirement", str(listed), "--dest", str(draft)),
        )
        draft.rename(folder)
    return folder


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout.strip()
