"""The worker's handle on its fork server: asks for children, hears of their ends."""

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
from worker.children.forkserver import ENDED, FORK, FORKED, KILL, NOT_FORKED, READY, RECORD

LOAD_SECONDS: Final = 60.0
"""How long the imports of all handlers may take, on a cold disk."""

FORK_SECONDS: Final = 10.0
STOP_SECONDS: Final = 5.0

# It gets our import path as it is now, whether that came from the working directory, an installed
# package or a test runner.
_PROGRAM: Final = """
import json, sys
sys.path = json.loads(sys.argv[1])
from worker.children import forkserver
forkserver.main()
"""
_STDERR: Final = 2


class ForkServer(asyncio.Protocol):
    """One fork server process. `open` it, and `close` it before the loop ends."""

    def __init__(self, control: socket.socket, on_end: Callable[[int, int], None]) -> None:
        self._control = control
        self._on_end = on_end
        self._received = bytearray()
        self._children: set[int] = set()
        self._one_at_a_time = asyncio.Lock()
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
        on_end: Callable[[int, int], None],
    ) -> "ForkServer":
        """Start a fork server and wait until it has loaded the handlers, and what `preload` names.

        `on_end(pid, exit_code)` is called for each child that ends. Raises ChildStartFailed.
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
            await server._answered(LOAD_SECONDS)
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
            stdout=_STDERR,  # what handlers print is no output of the worker
            pass_fds=(control_fd,),
            env=hardening.clean_environment(),
            start_new_session=True,
        )

    async def fork(self, connection: socket.socket) -> int:
        """Fork a child that speaks over this end of its connection; its process id.

        Raises ChildStartFailed.
        """
        async with self._one_at_a_time:
            if not self.is_running:
                raise ChildStartFailed("the fork server is gone")
            self._answer = asyncio.get_running_loop().create_future()
            socket.send_fds(self._control, [RECORD.pack(FORK, 0, 0)], [connection.fileno()])
            return await self._answered(FORK_SECONDS)

    def kill(self, pid: int) -> None:
        """End a child and its process group at once. Its end is reported as any other."""
        # The fork server does it: it is the parent, and knows for sure whose number that is.
        with suppress(OSError):  # it is gone; the children with it
            self._control.send(RECORD.pack(KILL, pid, 0))

    async def close(self) -> None:
        """Stop the fork server and all children, and wait until they are gone."""
        self._hang_up()
        if self._process is None:
            return
        try:
            await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _answered(self, seconds: float) -> int:
        try:
            return await asyncio.wait_for(self._answer, seconds)
        except TimeoutError:
            self._hang_up()
            raise ChildStartFailed(f"the fork server did not answer within {seconds} s") from None
        except asyncio.CancelledError:
            self._hang_up()
            raise

    def _hang_up(self) -> None:
        """Give the fork server up: an answer that still comes would be taken for the next one's."""
        self.is_running = False
        if self._transport is not None:
            self._transport.close()

    # The loop calls these.

    def data_received(self, data: bytes) -> None:
        """Take in records."""
        self._received += data
        whole = len(self._received) // RECORD.size * RECORD.size
        for what, pid, code in RECORD.iter_unpack(self._received[:whole]):
            self._take(what, pid, code)
        del self._received[:whole]

    def connection_lost(self, _error: Exception | None) -> None:
        """The fork server is gone, and the children with it."""
        self.is_running = False
        self._settle(error="the fork server ended; its error is on stderr")
        for pid in list(self._children):
            # Linux has seen to it already, see `hardening.die_with_parent`.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            self._ended(pid, -signal.SIGKILL)

    def _take(self, what: bytes, pid: int, code: int) -> None:
        if what == READY:
            self._settle(pid)
        elif what == FORKED:
            self._children.add(pid)
            self._settle(pid)
        elif what == NOT_FORKED:
            self._settle(error=f"cannot fork: {os.strerror(code)}")
        elif what == ENDED:
            self._ended(pid, code)

    def _settle(self, pid: int = 0, *, error: str | None = None) -> None:
        if self._answer.done():  # nobody waits, or not any more
            return
        if error is None:
            self._answer.set_result(pid)
        else:
            self._answer.set_exception(ChildStartFailed(error))

    def _ended(self, pid: int, exit_code: int) -> None:
        self._children.discard(pid)
        self._on_end(pid, exit_code)
