"""A running system, and the command line as processes."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from subprocess import CompletedProcess

import pytest

from tests.client.running import Running, User, ada, system
from tests.support.processes import ROOT

__all__ = ["ada", "environment", "run", "system"]

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture
def environment(system: Running, ada: User) -> dict[str, str]:
    """The environment of ada's shell."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")},
        "HEADRACE_URL": system.url,
        "HEADRACE_USERNAME": ada.name,
        "HEADRACE_PASSWORD": ada.password,
    }


@pytest.fixture
def headrace(environment: dict[str, str]) -> Run:
    """Run `python -m app …`; keyword arguments set environment variables, None removes one."""

    def headrace(*arguments: str, stdin: bytes | None = None, **changes: str | None) -> CompletedProcess[str]:
        env = {name: value for name, value in {**environment, **changes}.items() if value is not None}
        done = subprocess.run(
            [sys.executable, "-m", "app", *arguments],
            input=b"" if stdin is None else stdin,
            env=env,
            cwd=ROOT,
            capture_output=True,
            timeout=50,
        )
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        return CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    return headrace


@pytest.fixture
def run(headrace: Run) -> Run:
    """Run `python -m app jobs …`."""
    return partial(headrace, "jobs")
