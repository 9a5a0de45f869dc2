"""Runs Headrace processes for tests; none outlives its context manager."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from subprocess import CompletedProcess

from app.core.config import Settings
from tests.support import zygote
from tests.support.zygote import ForkedProcess

ROOT = Path(__file__).parents[2]
START_SECONDS = 120.0
"""Importing everything takes a second, but a minute if twenty processes compete for two processors."""
STOP_SECONDS = 60.0


class Process:
    """A running process and its log."""

    def __init__(self, process: asyncio.subprocess.Process | ForkedProcess, log_path: Path) -> None:
        self._process = process
        self._log_path = log_path

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log_path.read_text(errors="replace")  # handlers may print anything

    @property
    def metrics_port(self) -> int:
        """The port for operators of an API or worker, which may have been told to choose a free one."""
        [line] = [line for line in self.log.splitlines() if "health_server_listening" in line]
        [port] = re.findall(r"\bport\W+(\d+)", line)
        return int(port)

    @property
    def is_running(self) -> bool:
        return self._process.returncode is None

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Wait until the process has ended; return its exit code."""
        async with asyncio.timeout(seconds):
            return await self._process.wait()

    async def kill(self) -> None:
        self.send(signal.SIGKILL)
        await self.wait()

    async def wait_for_log(self, text: str, seconds: float = START_SECONDS) -> None:
        """Wait until the log contains the text."""
        async with asyncio.timeout(seconds):
            while text not in self.log:
                assert self.is_running, self.log
                await asyncio.sleep(0.02)


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """Return environment variables with which a process loads these settings."""
    return {
        **os.environ,
        "DATABASE_URL": settings.database_url,
        "DATABASE_CONNECT_SECONDS": str(settings.database_connect_seconds),
        "REDIS_URL": settings.redis_url,
        "STORAGE_URL": settings.storage_url,
        "SECRET_KEY": settings.secret_key.get_secret_value(),
        "WORKER_PORT": "off" if settings.worker_port is None else str(settings.worker_port),
        "CHILD_PRELOAD": "false",
        "MAX_SIGN_UPS_PER_ADDRESS": "10000",  # all tests sign up from the same address
        "CHILD_PERMISSIONS": "files,processes",  # for the tests' kinds; built-in kinds declare none
        "WORKER_SLOTS": str(settings.worker_slots),
        "WORKER_QUEUES": ",".join(settings.worker_queues),
        "LEASE_SECONDS": str(settings.lease_seconds),
        "HEARTBEAT_SECONDS": str(settings.heartbeat_seconds),
        "DRAIN_SECONDS": str(settings.drain_seconds),
        "RETRY_BASE_SECONDS": str(settings.retry_base_seconds),
        "CHILD_MEMORY_LIMIT_BYTES": str(settings.child_memory_limit_bytes),
        **more,
    }


@asynccontextmanager
async def python(
    *arguments: str,
    env: dict[str, str],
    log_path: Path,
    pass_fds: tuple[int, ...] = (),
    root: Path = ROOT,
) -> AsyncIterator[Process]:
    """Run `python ARGUMENTS` in the source tree at `root` during the body.

    On exit, kill the process if it is still running. `program` starts faster.
    """
    with log_path.open("wb") as log:
        started = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            env=env,
            cwd=root,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=pass_fds,
        )
    async with _ending(Process(started, log_path)) as process:
        yield process


def program(
    module: str,
    *arguments: str,
    env: dict[str, str],
    log_path: Path,
    pass_fds: tuple[int, ...] = (),
    root: Path = ROOT,
) -> AbstractAsyncContextManager[Process]:
    """Run `python -m MODULE ARGUMENTS` as `python` does, if possible in a fork that has imported it."""
    if zygote.is_possible(env, root):
        return _forked(module, *arguments, env=env, log_path=log_path, pass_fds=pass_fds)
    return python("-m", module, *arguments, env=env, log_path=log_path, pass_fds=pass_fds, root=root)


@asynccontextmanager
async def _forked(
    module: str, *arguments: str, env: dict[str, str], log_path: Path, pass_fds: tuple[int, ...]
) -> AsyncIterator[Process]:
    with log_path.open("wb") as log:
        started = await zygote.start(module, *arguments, env=env, output=log, pass_fds=pass_fds)
    async with _ending(Process(started, log_path)) as process:
        yield process


def run(
    module: str, *arguments: str, env: Mapping[str, str], stdin: bytes = b"", seconds: float = 50.0
) -> CompletedProcess[str]:
    """Run `python -m MODULE ARGUMENTS` to its end, in a fork as `program` does. Raises TimeoutExpired."""
    if zygote.is_possible(env):
        return zygote.run(module, *arguments, stdin=stdin, env=env, seconds=seconds)
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(
        command, input=stdin, env=env, cwd=ROOT, capture_output=True, timeout=seconds, check=False
    )
    return CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())


@asynccontextmanager
async def _ending(process: Process) -> AsyncIterator[Process]:
    """Kill the process after the body if it is still running."""
    try:
        yield process
    finally:
        if process.is_running:
            process.send(signal.SIGKILL)
            await process.wait()


@asynccontextmanager
async def worker(settings: Settings, log_path: Path, **more: str) -> AsyncIterator[Process]:
    """Run a worker, ready to take jobs."""
    async with program("worker", env=environment(settings, **more), log_path=log_path) as process:
        await process.wait_for_log("worker_started")
        yield process
