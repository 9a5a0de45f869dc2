"""The handle on a fork server: runs functions in processes of their own, and ends them."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from threading import Lock
from typing import Final

from app.core.forking.protocol import DESCRIPTORS, NUMBER

START_SECONDS: Final = 60.0
"""Timeout for importing the functions, with a cold disk cache, and for a fork."""

STOP_SECONDS: Final = 5.0
ATTEMPTS: Final = 2
"""A process whose server has died is run once more, by another server."""

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
_BLOCK_BYTES: Final = 64 * 1024

_KEPT_VARIABLES: Final = ("PATH", "LANG", "LC_ALL", "TMPDIR")
"""The environment of the server has nothing else of ours, and so no secrets."""

# The server gets our sys.path as it is now, wherever it came from: the working directory, an installed
# package or a test runner.
_PROGRAM: Final = """
import json, sys
sys.path = json.loads(sys.argv[1])
from app.core.forking import server
server.main()
"""
_STDERR: Final = 2


class ForkServerDied(Exception):
    """The fork server has died, or did not answer, more than once."""


@dataclass(frozen=True)
class Ended:
    """How a process has ended: its exit code, negative for a signal, its answer, and its stderr."""

    exit_code: int
    answer: bytes
    errors: bytes


class ForkServer:
    """Runs functions in processes that are forked from one server, which starts when it is first needed.

    It may be used by several event loops. `close` it at the end.
    """

    def __init__(self, functions: Sequence[str], *, environment: Mapping[str, str] | None = None) -> None:
        """`functions` are named like `package.module:function`; see `protocol.Function`.

        `environment` is added to the few variables that the server inherits.
        """
        self._functions = tuple(functions)
        self._environment = dict(environment or {})
        self._lock = Lock()
        self._server: _Server | None = None
        self._is_closed = False

    @property
    def pid(self) -> int | None:
        """The process id of the server; None while there is none."""
        server = self._server
        return None if server is None else server.pid

    async def run(self, function: str, task: bytes, *, max_answer_bytes: int = MAX_ANSWER_BYTES) -> Ended:
        """Run one of the functions in a process of its own, which is killed if the caller is cancelled.

        It is also killed if its answer is longer than `max_answer_bytes`. Raises OSError if it cannot be
        forked, and ForkServerDied.
        """
        request = bytes([self._functions.index(function)])
        for _ in range(ATTEMPTS):
            server = await asyncio.to_thread(self._running)
            try:
                return await _run(server, request, task, max_answer_bytes)
            except ForkServerDied:
                await asyncio.to_thread(self._replace, server)
        raise ForkServerDied

    def close(self) -> None:
        """End the server and all its processes. It blocks."""
        with self._lock:
            self._is_closed = True
            if self._server is not None:
                self._server.end()
                self._server = None

    def _running(self) -> "_Server":
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the fork server is closed")
            if self._server is None:
                self._server = _Server(self._functions, self._environment)
            return self._server

    def _replace(self, dead: "_Server") -> None:
        with self._lock:
            if self._server is dead:  # otherwise it has been replaced already
                self._server = None
        dead.end()


class _Server:
    """One server process."""

    def __init__(self, functions: Sequence[str], environment: Mapping[str, str]) -> None:
        self._control, theirs = socket.socketpair()
        kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        with theirs:
            self._process = subprocess.Popen(
                (sys.executable, "-c", _PROGRAM, json.dumps(sys.path), str(theirs.fileno()), *functions),
                stdin=subprocess.DEVNULL,
                stdout=_STDERR,
                pass_fds=(theirs.fileno(),),
                env={**kept, **environment},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def fork(self, request: bytes, descriptors: Sequence[int]) -> None:
        """Ask for a process. Raises ForkServerDied."""
        try:
            socket.send_fds(self._control, [request], descriptors)
        except OSError as error:
            raise ForkServerDied from error

    def kill(self) -> None:
        """Kill it, and with it its processes."""
        self._process.kill()

    def end(self) -> None:
        """End it, and with it its processes. It blocks."""
        self._control.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


async def _run(server: _Server, request: bytes, task: bytes, max_answer_bytes: int) -> Ended:
    """Run one process to its end. Raises OSError and ForkServerDied."""
    pairs = [socket.socketpair() for _ in range(DESCRIPTORS)]
    (connection, errors, lifeline), theirs = zip(*pairs, strict=True)
    errors.setblocking(False)
    theirs[1].setblocking(False)  # what does not fit is lost, and does not hold the process up
    try:
        try:
            server.fork(request, [end.fileno() for end in theirs])
        finally:
            for end in theirs:
                end.close()
        async with _open(connection) as connected, _open(lifeline) as followed:
            process = _Process(server, connected, errors, followed)
            try:
                return await process.finish(task, max_answer_bytes)
            finally:
                await process.end()
    finally:
        for end in (connection, errors, lifeline):
            end.close()


class _Process:
    """One forked process, as seen over its connection, its stderr and its lifeline."""

    def __init__(
        self, server: _Server, connection: "_Stream", errors: socket.socket, lifeline: "_Stream"
    ) -> None:
        self._server = server
        self._connection = connection
        self._errors = errors
        self._lifeline = lifeline
        self._pid: int | None = None
        self._exit_code: int | None = None

    async def finish(self, task: bytes, max_answer_bytes: int) -> Ended:
        """Hand over the task, and wait for the answer and the end."""
        self._pid = await self._started()
        await self._connection.send(task)
        answer = await self._connection.receive(max_answer_bytes)
        if answer is None:
            self._lifeline.close_our_direction()
        self._exit_code = await self._next_number()
        return Ended(self._exit_code, answer or b"", self._read_errors())

    async def end(self) -> None:
        """Kill it unless it has ended, and wait for its end."""
        if self._exit_code is not None:
            return
        self._lifeline.close_our_direction()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                # The process holds its connection as long as it lives, whatever becomes of the server.
                await self._connection.drain()
                await self._lifeline.drain()
        except TimeoutError:
            self._server.kill()
        else:
            await asyncio.to_thread(self._reap)

    async def _started(self) -> int:
        try:
            async with asyncio.timeout(START_SECONDS):
                number = await self._next_number()
        except TimeoutError:
            self._server.kill()
            raise ForkServerDied from None
        if number < 0:
            raise OSError(-number, os.strerror(-number))
        return number

    async def _next_number(self) -> int:
        number = await self._lifeline.receive_exactly(NUMBER.size)
        if number is None:
            raise ForkServerDied
        found: int = NUMBER.unpack(number)[0]
        return found

    def _read_errors(self) -> bytes:
        blocks = []
        with suppress(BlockingIOError):
            while block := self._errors.recv(_BLOCK_BYTES):
                blocks.append(block)
        return b"".join(blocks)

    def _reap(self) -> None:
        """Reap the process if its server has died and left it to us: in a container we are PID 1."""
        if self._pid is not None:
            with suppress(ChildProcessError):  # reaped by the server, or adopted by another process
                os.waitpid(self._pid, 0)


@asynccontextmanager
async def _open(end: socket.socket) -> AsyncIterator["_Stream"]:
    reader, writer = await asyncio.open_unix_connection(sock=end)
    try:
        yield _Stream(reader, writer)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


class _Stream:
    """One end of a connection to a process, or to its server. A broken one has ended."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, content: bytes) -> None:
        """Send all there is to send."""
        with suppress(OSError):
            self._writer.write(content)
            await self._writer.drain()
        self.close_our_direction()

    def close_our_direction(self) -> None:
        with suppress(OSError, RuntimeError):  # the other side has closed it
            if not self._writer.is_closing():
                self._writer.write_eof()

    async def receive(self, max_bytes: int) -> bytes | None:
        """Return everything up to the end; None if it is more than `max_bytes`."""
        blocks: list[bytes] = []
        left = max_bytes
        while block := await self._read():
            left -= len(block)
            if left < 0:
                return None
            blocks.append(block)
        return b"".join(blocks)

    async def receive_exactly(self, size: int) -> bytes | None:
        """Return the next bytes; None if it ends before."""
        try:
            return await self._reader.readexactly(size)
        except (asyncio.IncompleteReadError, OSError):
            return None

    async def drain(self) -> None:
        """Wait for the end, and leave out what comes before."""
        while await self._read():
            pass

    async def _read(self) -> bytes:
        try:
            return await self._reader.read(_BLOCK_BYTES)
        except OSError:
            return b""
