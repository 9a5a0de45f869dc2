"""What docs/client.md shows works as it is written there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.running import Running
from tests.support.processes import ROOT

pytestmark = pytest.mark.long

PAGE = (ROOT / "docs" / "client.md").read_text()
USERNAME, PASSWORD = "ada", "correct horse battery"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def environment(system: Running) -> dict[str, str]:
    system.sign_up(USERNAME, PASSWORD)
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HEADRACE_URL": system.url,
        "HEADRACE_USERNAME": USERNAME,
        "HEADRACE_PASSWORD": PASSWORD,
    }


def run(command: list[str], environment: dict[str, str], folder: Path) -> str:
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_the_examples_in_python_run(
    environment: dict[str, str], tmp_path: Path, system: Running, number: int
) -> None:
    code = blocks("python")[number].replace("http://localhost:8000", system.url)
    assert run([sys.executable, "-W", "error", "-c", code], environment, tmp_path)


def test_the_first_example_shows_progress_and_predictions(
    environment: dict[str, str], tmp_path: Path, system: Running
) -> None:
    code = blocks("python")[0].replace("http://localhost:8000", system.url)
    lines = run([sys.executable, "-c", code], environment, tmp_path).splitlines()

    assert "100.0 %  Batch 1/1" in lines
    assert [line.split()[:2] for line in lines[-3:]] == [
        ["0", "positive"],
        ["1", "negative"],
        ["2", "neutral"],
    ]


def test_the_examples_in_the_shell_run(environment: dict[str, str], tmp_path: Path) -> None:
    [script] = blocks("sh")
    assert run(["bash", "-euo", "pipefail", "-c", script], environment, tmp_path)
    assert (tmp_path / "predictions.csv").read_text().startswith("index,")
