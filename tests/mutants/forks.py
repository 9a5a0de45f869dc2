"""Runs pytest in forks of this process, which has imported what is slow to import and not ours."""

import importlib
import os
import shutil
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from tests.mutants.mutant import ROOT

LIMIT_SECONDS: Final = 600.0
LOOK_SECONDS: Final = 0.02
KILLED: Final = -signal.SIGKILL

OURS: Final = frozenset({"app", "bench", "tests", "worker"})

# None of these starts a thread, which a fork would not have; NumPy's BLAS starts none if it may have but one.
PRELOADED: Final = (
    *("pytest", "pytest_asyncio.plugin", "pytest_timeout", "hypothesis", "httpx", "uvicorn"),
    *("fastapi", "sqlmodel", "sqlalchemy.ext.asyncio", "sqlalchemy.dialects.postgresql.asyncpg", "asyncpg"),
    *("alembic.command", "redis.asyncio", "arq.worker", "msgspec", "structlog", "pydantic_settings"),
    *("prometheus_client", "jose.jwt", "passlib.hash", "argon2", "websockets"),
    *("sklearn.ensemble", "sklearn.compose", "sklearn.pipeline", "sklearn.feature_extraction.text"),
    *("sklearn.model_selection", "sklearn.neighbors", "sklearn.svm", "skops.io"),
)
BLAS_THREADS: Final = "OPENBLAS_NUM_THREADS"


@dataclass(frozen=True)
class Run:
    """Tests, by their names, in the tree below `root`.

    If `make` makes the tree, it exists only while they run: a thousand trees have millions of files.
    """

    root: Path
    tests: tuple[str, ...]
    make: Callable[[Path], object] | None = None


@dataclass(frozen=True)
class Ended:
    """How a run ended: pytest's exit code and what it printed."""

    code: int
    output: str


def run_all(runs: Sequence[Run], jobs: int) -> list[Ended]:
    """Run them all, so many at a time."""
    _preload()
    waiting = deque(enumerate(runs))
    ended: dict[int, Ended] = {}
    forks: dict[int, _Fork] = {}
    try:
        while waiting or forks:
            while waiting and len(forks) < jobs:
                number, run = waiting.popleft()
                forks[number] = _Fork(run)
            time.sleep(LOOK_SECONDS)
            for number, fork in list(forks.items()):
                if (found := fork.ended()) is not None:
                    ended[number] = found
                    del forks[number]
                    if runs[number].make is not None:
                        _kill_left_behind({runs[number].root})
                        shutil.rmtree(runs[number].root, ignore_errors=True)
                    print(".", end="", file=sys.stderr, flush=True)
    finally:
        for fork in forks.values():
            fork.kill()
        _kill_left_behind({run.root for run in runs})
    return [ended[number] for number in range(len(runs))]


def _kill_left_behind(roots: Container[Path]) -> None:
    """Kill the processes that work in one of these folders: a mutant may have lost what would end them."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if Path(process.cwd()) in roots:
                process.kill()


def _preload() -> None:
    given = os.environ.get(BLAS_THREADS)
    os.environ[BLAS_THREADS] = "1"
    try:
        for module in PRELOADED:
            importlib.import_module(module)
    finally:
        if given is None:
            del os.environ[BLAS_THREADS]
        else:
            os.environ[BLAS_THREADS] = given


class _Fork:
    """A process that runs pytest and is gone after `LIMIT_SECONDS`."""

    def __init__(self, run: Run) -> None:
        self._output = run.root.with_name(f"{run.root.name}-{abs(hash(run.tests))}.txt")
        self._deadline = time.monotonic() + LIMIT_SECONDS
        sys.stdout.flush()
        sys.stderr.flush()
        self._pid = os.fork()
        if self._pid == 0:
            _be_pytest(run, self._output)

    def ended(self) -> Ended | None:
        """How it ended, once it has."""
        if time.monotonic() > self._deadline:
            self.kill()
            return Ended(KILLED, self._output.read_text(errors="replace"))
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if pid == 0:
            return None
        return Ended(os.waitstatus_to_exitcode(status), self._output.read_text(errors="replace"))

    def kill(self) -> None:
        """End it at once."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def _be_pytest(run: Run, output: Path) -> None:
    """Run pytest as if this process had just been started in `run.root`; never returns."""
    code = 3
    try:
        written = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for descriptor in (1, 2):
            os.dup2(written, descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        if run.make is not None:
            run.make(run.root)
        os.chdir(run.root)
        for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
            del sys.modules[name]
        sys.path[:] = [str(run.root) if Path(entry or ".") == ROOT else entry for entry in sys.path]
        sys.path_importer_cache.clear()
        pytest = importlib.import_module("pytest")
        options = ["-x", "-q", "-rfE", "--tb=short", "-p", "no:cacheprovider"]
        # Plugins are imported before pytest can rewrite their assertions; they make none for us.
        options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        code = int(pytest.main([*options, *run.tests]))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # what the parent opened is the parent's to close
