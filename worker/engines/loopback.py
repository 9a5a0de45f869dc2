"""The engine `loopback`: the engine of Ray without Ray. Its hosts are processes of the worker's machine.

To try that engine, and to test it. The pool is faster, and needs no port.
"""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from app.core import hardening
from app.core.config import Settings
from worker.engines.engine import HostStartFailed
from worker.engines.pool import PoolOptions
from worker.engines.ray.engine import RemoteEngine

ADDRESS: Final = "127.0.0.1"

# A host gets our sys.path as it is now, like the fork server.
_PROGRAM: Final = """
import json, sys
sys.path = json.loads(sys.argv[1])
from worker.engines.ray import host
host.main_of_process(sys.argv[2])
"""
_STDERR: Final = 2


def create(settings: Settings, slots: int) -> RemoteEngine:
    """Return the engine of a worker with this number of slots."""
    return RemoteEngine(
        PoolOptions.from_settings(settings),
        slots,
        LoopbackStarter(settings.worker_dir),
        listen_on=ADDRESS,
        address=ADDRESS,
        port=settings.engine_port,
        idle_seconds=settings.engine_idle_seconds,
        cache_bytes=settings.worker_cache_bytes,
    )


class LoopbackStarter:
    """Starts hosts as processes of this machine. They end with their connection, so with the worker."""

    is_available = True

    def __init__(self, folder: Path | None = None) -> None:
        """`folder` is where the hosts keep files; by default that of the workers of this user."""
        self.processes: dict[int, Process] = {}
        self._folder = folder
        self._on_lost: Callable[[int], None] = _ignore
        self._watchers: set[asyncio.Task[None]] = set()

    async def open(self, on_lost: Callable[[int], None]) -> None:
        """Call `on_lost` for each host that exits."""
        self._on_lost = on_lost

    async def start(self, number: int, address: str, secret: Callable[[], str]) -> None:
        """Start a host. Raises HostStartFailed."""
        environment = hardening.clean_environment()
        if self._folder is not None:
            environment["WORKER_DIR"] = str(self._folder)
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _PROGRAM, json.dumps(sys.path), address),
                stdin=PIPE,
                stdout=_STDERR,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise HostStartFailed(str(error)) from error
        self.processes[number] = process
        watcher = asyncio.create_task(self._watch(number, process))
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)
        if process.stdin is not None:
            process.stdin.write(f"{secret()}\n".encode())
            with suppress(ConnectionError):  # it has exited already
                await process.stdin.drain()
            process.stdin.close()

    async def kill(self, number: int) -> None:
        """Kill a host, and wait until it has exited."""
        process = self.processes.pop(number, None)
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    async def close(self) -> None:
        """Kill all hosts."""
        for number in tuple(self.processes):
            await self.kill(number)
        if self._watchers:
            await asyncio.wait(self._watchers)

    async def _watch(self, number: int, process: Process) -> None:
        await process.wait()
        if number in self.processes:
            self._on_lost(number)


def _ignore(_number: int) -> None:
    pass
