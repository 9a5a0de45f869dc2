"""The worker's handle on its fork server: fork and kill children, learn when they exit."""

import asyncio
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from app.core import hardening
from worker.children.errors import ChildStartFailed
from worker.children.forkserver import EXITED, FORK, FORKED, KILL, NOT_FORKED, READY, RECORD
from worker.children.inbox import Inbox
from worker.children.local_gauge import LocalGauge

LOAD_SECONDS: Final = 60.0
"""Timeout for importing all handlers, with a cold disk cache."""

FORK_SECONDS: Final = 10.0
STOP_SECONDS: Final = 5.0

# The fork server gets our sys.path as it is now, wherever it came from: the working directory, an installed
# package or a test runner.
_PROGRAM: Final = """
import json, sys
sys.path = json.loads(sys.argv[1])
from worker.children import forkserver
forkserver.main()
"""
_STDERR: Final = 2

OnEnd = Callable[[int, int, float, int], None]
"""Called with the process id, exit code, processor time and peak memory of a child that has exited."""


class ForkServer(LocalGauge, asyncio.Protocol):
    """One fork server process. Create it with `open`, and `close` it before the event loop ends.

    It is the `Host` of children on this machine, which share the worker's disk.
    """

    place: Final = None

    def __init__(self, control: socket.socket, on_end: OnEnd) -> None:
        self._control = control
        self._on_end = on_end
        self._received = bytearray()
        self._children: set[int] = set()
        self._orphans: list[int] = []
        self._fork_lock = asyncio.Lock()
        self._is_forking = False
        self._exits: list[tuple[int, int, float, int]] = []
        """The exits during a fork, which may be that of the new child."""

        self._answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._process: Process | None = None
        self._transport: asyncio.BaseTransport | None = None
        self.is_running = True

    @classmethod
    async def open(
        cls,
        *,
        handlers: str,
        plugins: Iterable[str],
        preload: Iterable[str],
        memory_limit_bytes: int,
        max_file_bytes: int,
        on_end: OnEnd,
    ) -> "ForkServer":
        """Start a fork server and wait until it has imported the handlers and run its `preload`.

        Calls `on_end` for each child that exits. Raises ChildStartFailed.
        """
        ours, theirs = socket.socketpair()
        server = cls(ours, on_end)
        try:
            with theirs:
                await server._start(
                    theirs.fileno(),
                    handlers,
                    ",".join(plugins),
                    ",".join(preload),
                    str(memory_limit_bytes),
                    str(max_file_bytes),
                )
            await server._await_answer(LOAD_SECONDS)
        except BaseException:
            await server.close()
            raise
        return server

    async def _start(self, control_fd: int, *arguments: str) -> None:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_unix_connection(lambda: self, sock=self._control)
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _PROGRAM),
            *(json.dumps(sys.path), str(control_fd), *arguments),
            stdin=DEVNULL,
            stdout=_STDERR,  # keep prints of handlers out of the worker's stdout
            pass_fds=(control_fd,),
            env=hardening.clean_environment(),
            start_new_session=True,
        )

    @property
    def pid(self) -> int | None:
        """The process id; None before the process has started."""
        return None if self._process is None else self._process.pid

    async def start(self, inbox: Inbox) -> int:
        """Fork a child that speaks over this inbox, and return its process id. Raises ChildStartFailed."""
        ours, theirs = socket.socketpair()
        with theirs:
            await asyncio.get_running_loop().create_unix_connection(lambda: inbox, sock=ours)
            try:
                return await self.fork(theirs)
            except BaseException:
                inbox.close()
                raise

    async def fork(self, connection: socket.socket) -> int:
        """Fork a child that uses this socket as its end of the connection, and return its process id.

        Its end is reported after this has returned, however soon it exits. Raises ChildStartFailed.
        """
        async with self._fork_lock:
            if not self.is_running:
                raise ChildStartFailed("the fork server has exited")
            self._answer = asyncio.get_running_loop().create_future()
            self._is_forking = True
            try:
                socket.send_fds(self._control, [RECORD.pack(FORK, 0, 0, 0.0, 0)], [connection.fileno()])
                return await self._await_answer(FORK_SECONDS)
            finally:
                self._is_forking = False
                asyncio.get_running_loop().call_soon(self._report_exits)

    def kill(self, pid: int) -> None:
        """Kill a child and its process group. `on_end` is called for it as for any other exit."""
        # The fork server sends the signal: as the parent, it knows that the pid has not been reused.
        with suppress(OSError):  # the fork server has exited, and its children with it
            self._control.send(RECORD.pack(KILL, pid, 0, 0.0, 0))

    async def close(self) -> None:
        """Stop the fork server and all children, and wait until they have exited."""
        self._hang_up()
        if self._process is None:
            return
        try:
            await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(_reap, self._orphans), STOP_SECONDS)

    async def _await_answer(self, seconds: float) -> int:
        try:
            return await asyncio.wait_for(self._answer, seconds)
        except TimeoutError:
            self._hang_up()
            raise ChildStartFailed(f"the fork server did not answer within {seconds} s") from None
        except asyncio.CancelledError:
            self._hang_up()
            raise

    def _hang_up(self) -> None:
        """Disconnect from the fork server: a late answer must not be taken for that of the next request."""
        self.is_running = False
        if self._transport is not None:
            self._transport.close()

    # Callbacks of the event loop

    def data_received(self, data: bytes) -> None:
        """Handle the complete records."""
        self._received += data
        complete = len(self._received) // RECORD.size * RECORD.size
        for record in RECORD.iter_unpack(self._received[:complete]):
            self._handle(*record)
        del self._received[:complete]

    def connection_lost(self, _error: Exception | None) -> None:
        """Report all children as killed: they do not outlive the fork server."""
        self.is_running = False
        self._resolve_answer(error="the fork server has exited; see its error on stderr")
        for pid in list(self._children):
            # Needed outside Linux only, see `hardening.die_with_parent`.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            self._orphans.append(pid)
            self._child_exited(pid, -signal.SIGKILL, 0.0, 0)

    def _handle(self, record_type: bytes, pid: int, code: int, cpu_seconds: float, peak_bytes: int) -> None:
        if record_type == READY:
            self._resolve_answer(pid)
        elif record_type == FORKED:
            self._children.add(pid)
            self._resolve_answer(pid)
        elif record_type == NOT_FORKED:
            self._resolve_answer(error=f"cannot fork: {os.strerror(code)}")
        elif record_type == EXITED:
            self._child_exited(pid, code, cpu_seconds, peak_bytes)

    def _resolve_answer(self, pid: int = 0, *, error: str | None = None) -> None:
        if self._answer.done():  # the caller has timed out
            return
        if error is None:
            self._answer.set_result(pid)
        else:
            self._answer.set_exception(ChildStartFailed(error))

    def _child_exited(self, pid: int, exit_code: int, cpu_seconds: float, peak_bytes: int) -> None:
        self._children.discard(pid)
        self._exits.append((pid, exit_code, cpu_seconds, peak_bytes))
        if not self._is_forking:
            self._report_exits()

    def _report_exits(self) -> None:
        exits, self._exits = self._exits, []
        for pid, exit_code, cpu_seconds, peak_bytes in exits:
            self._on_end(pid, exit_code, cpu_seconds, peak_bytes)


def _reap(pids: Iterable[int]) -> None:
    """Reap the children that a fork server has left to this process: in a container it is PID 1."""
    for pid in pids:
        with suppress(ChildProcessError):  # reaped by the fork server, or adopted by another process
            os.waitpid(pid, 0)
