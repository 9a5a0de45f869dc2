"""A running system, and the command line as processes."""

import os
from collections.abc import Callable
from functools import partial
from subprocess import CompletedProcess

import pytest

from tests.client.running import Running, User, ada, system
from tests.support import processes

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
    """Run `headrace …`; keyword arguments set environment variables, None removes one."""

    def headrace(*arguments: str, stdin: bytes | None = None, **changes: str | None) -> CompletedProcess[str]:
        env = {name: value for name, value in {**environment, **changes}.items() if value is not None}
        done = processes.run("app", *arguments, env=env, stdin=b"" if stdin is None else stdin)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return headrace


@pytest.fixture
def run(headrace: Run) -> Run:
    """Run `headrace jobs …`."""
    return partial(headrace, "jobs")
