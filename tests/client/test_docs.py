"""The examples of docs/client.md, docs/cli.md, docs/schedules.md and docs/streams.md run as written."""

import os
import re
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from app.streams import socket
from app.streams.commands import AnyCommand
from tests.client.running import Running
from tests.support.processes import ROOT

pytestmark = pytest.mark.long

PAGE = (ROOT / "docs" / "client.md").read_text()
CLI = (ROOT / "docs" / "cli.md").read_text()
STREAMS = (ROOT / "docs" / "streams.md").read_text()
SCHEDULES = (ROOT / "docs" / "schedules.md").read_text()


def blocks(language: str, page: str = PAGE) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def environment(system: Running, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment after the first block of the page, with `headrace` on the path."""
    setup = blocks("sh")[0].replace("http://localhost:8000", system.url)
    shown = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"{setup}\nenv -0"],
        env={"PATH": os.environ["PATH"], "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    variables = dict(pair.partition("=")[::2] for pair in shown.split("\0"))
    scripts = tmp_path_factory.mktemp("bin")
    (scripts / "headrace").write_text(f'#!/bin/sh\nexec {sys.executable} -m app "$@"\n')
    (scripts / "headrace").chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{scripts}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        **{name: value for name, value in variables.items() if name.startswith("HEADRACE_")},
    }


def run(command: list[str], environment: dict[str, str], folder: Path) -> str:
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=250)
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
    [script] = blocks("sh", CLI)
    assert run(["bash", "-euo", "pipefail", "-c", script], environment, tmp_path)
    assert (tmp_path / "predictions.csv").read_text().startswith("index,")


def test_the_examples_of_schedules_in_python_run(environment: dict[str, str], tmp_path: Path) -> None:
    [code] = blocks("python", SCHEDULES)

    lines = run([sys.executable, "-W", "error", "-c", code], environment, tmp_path).splitlines()

    assert lines[0].startswith("True At 02:30 every day ")
    assert "completed True" in lines
    assert "schedule_name_taken" in lines


def test_the_examples_of_schedules_in_the_shell_run(environment: dict[str, str], tmp_path: Path) -> None:
    [script] = blocks("sh", SCHEDULES)

    shown = run(["bash", "-euo", "pipefail", "-c", script], environment, tmp_path)

    assert "nightly created, next at " in shown
    assert "reviews: 2 paused" in shown
    assert "reviews: 2 deleted" in shown
    assert "canary deleted" in shown


def test_the_streams_are_followed_with_curl(
    environment: dict[str, str], tmp_path: Path, system: Running
) -> None:
    [script] = blocks("sh", STREAMS)
    script = script.replace("http://localhost:8000", system.url)

    shown = run(["bash", "-euo", "pipefail", "-c", script], environment | {"NO_PROXY": "*"}, tmp_path)

    ids = [line.removeprefix("id: ") for line in shown.splitlines() if line.startswith("id: ")]
    events = [line.removeprefix("event: ") for line in shown.splitlines() if line.startswith("event: ")]
    assert ids == ["1", "2", "3", "4", "3", "4"]
    assert events == ["update", "update", "update", "complete", "update", "complete"]


def test_the_streams_are_followed_over_a_websocket(
    environment: dict[str, str], tmp_path: Path, system: Running
) -> None:
    [code] = blocks("python", STREAMS)

    lines = run([sys.executable, "-W", "error", "-c", code], environment, tmp_path).splitlines()

    assert lines == ["1 created", "2 started", "3 progress", "4 completed"]


def test_the_page_of_streams_names_every_close_code_and_command() -> None:
    codes = {
        value
        for name, value in vars(socket).items()
        if name.isupper() and isinstance(value, int) and 1000 <= value < 5000
    }

    assert {int(code) for code in re.findall(r"^\| (\d{4}) \|", STREAMS, re.MULTILINE)} == codes
    actions = {command.__struct_config__.tag for command in typing.get_args(AnyCommand)}
    assert set(re.findall(r'"action": "(\w+)"', STREAMS)) == actions
