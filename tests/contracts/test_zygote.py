"""A program that is forked from the zygote does what it does as `python -m`."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import processes, zygote
from tests.support.processes import ROOT

# Elsewhere the zygote is not used: all programs are started as `python -m`, and there is no fork to compare.
# CI runs on Linux.
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")


@pytest.mark.parametrize("arguments", [("--version",), ("jobs", "--help"), ("unheard-of",)])
def test_a_fork_prints_and_returns_what_a_new_interpreter_does(arguments: tuple[str, ...]) -> None:
    environment = {**os.environ, "COLUMNS": "100"}

    forked = zygote.run("app", *arguments, stdin=b"", env=environment, seconds=60)

    started = subprocess.run(
        [sys.executable, "-m", "app", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert forked.stdout == started.stdout
    assert forked.stderr == started.stderr
    assert forked.returncode == started.returncode


WAITING = {
    **os.environ,
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "REDIS_URL": "redis://127.0.0.1:1",
    "WORKER_PORT": "off",
    "CHILD_PRELOAD": "false",
}
"""The environment of a worker that waits for its servers."""


async def test_a_fork_that_is_killed_has_the_exit_code_of_the_signal(tmp_path: Path) -> None:
    async with processes.program("worker", env=WAITING, log_path=tmp_path / "log") as process:
        await process.wait_for_log("waiting_for_postgres")
        assert process.is_running
        process.send(signal.SIGKILL)

        assert await process.wait() == -signal.SIGKILL
        assert not process.is_running


def test_a_fork_that_takes_too_long_is_ended() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        zygote.run("worker", stdin=b"", env=WAITING, seconds=0.1)


def test_what_a_module_may_have_read_when_it_was_imported_needs_a_new_interpreter() -> None:
    assert zygote.is_possible({**os.environ, "WORKER_SLOTS": "3", "HEADRACE_URL": "http://here"})
    assert not zygote.is_possible({**os.environ, "PYTHONPATH": "elsewhere"})
    assert not zygote.is_possible({**os.environ, "TZ": f"not {os.environ.get('TZ')}"})
    assert not zygote.is_possible(os.environ, Path("/elsewhere"))
