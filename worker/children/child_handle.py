"""The worker's handle on one child process: send and receive messages, confine it, kill it."""

import asyncio
import signal
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import psutil

from app.core.sandbox.permissions import Permission
from app.jobs.transition_types import Measurements
from worker.children import messages
from worker.children.attempt_meter import AttemptMeter
from worker.children.errors import ChildDied, ChildProtocolError, KillReason
from worker.children.messages import (
    Confine,
    Done,
    Failed,
    FromChild,
    NotAMessage,
    Start,
    ToChild,
    Yielded,
)
from worker.children.tenancy import Tenancy

MAX_UNREAD_BYTES: Final = 1024 * 1024
"""Above this the worker pauses reading, so that a child cannot fill the worker's memory."""

KILL_SECONDS: Final = 5.0
"""How long to wait for a killed process. One that hangs in the kernel for longer is abandoned."""

DISCONNECT_SECONDS: Final = 1.0
"""How far apart the exit of a process and the end of its connection may be."""


T = TypeVar("T")


class Child:
    """One child process: fresh, idle, or running one attempt.

    A fresh child has no tenancy and is not confined. Its first job gives it both, for the rest of its life.
    """

    def __init__(self, pid: int, inbox: "Inbox", request_kill: Callable[[int], None]) -> None:
        self.pid: Final = pid
        self.jobs_started = 0
        self.is_running = False
        self.kill_reason: KillReason | None = None
        self.tenancy: Tenancy | None = None
        self.is_confined = False
        self.has_failed = False
        self.files: dict[str, Path] = {}
        self.folder: Path | None = None
        self._meter = AttemptMeter()
        self._exit_callbacks: list[Callable[[], None]] = []
        self._inbox = inbox
        self._request_kill = request_kill
        self._exit_code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def is_alive(self) -> bool:
        """Whether the process runs and has not been killed."""
        return self.kill_reason is None and not self._exit_code.done() and not self._inbox.is_closed

    @property
    def rss_bytes(self) -> int:
        """Its resident memory, including shared pages; 0 after its exit."""
        try:
            return psutil.Process(self.pid).memory_info().rss
        except psutil.NoSuchProcess:
            return 0

    @property
    def measurements(self) -> Measurements:
        """What the attempt that started last has used, so far or in all."""
        if self.is_running:
            self.sample(with_processor=True)
        return self._meter.measurements

    def reset_measurements(self) -> None:
        """Forget the last attempt."""
        self._meter.reset()

    def sample(self, *, with_processor: bool) -> int:
        """Measure the process while it runs an attempt, and return its resident memory."""
        rss_bytes = self.rss_bytes
        seconds = self._process_seconds() if with_processor else None
        self._meter.sample(rss_bytes=rss_bytes, process_seconds=seconds)
        return rss_bytes

    def _process_seconds(self) -> float | None:
        """Return the processor time of the process and of all that it has started; None after its exit."""
        try:
            process = psutil.Process(self.pid)
            times = [process.cpu_times()]
            if self.tenancy is not None and Permission.PROCESSES in self.tenancy.permissions:
                times += _times_of(process.children(recursive=True))
        except psutil.NoSuchProcess:
            return None
        return sum(time.user + time.system + time.children_user + time.children_system for time in times)

    def send(self, message: ToChild) -> None:
        """Send a message. Drops it if the child has disconnected."""
        if isinstance(message, Start):
            if not self.is_confined:
                raise RuntimeError("confine the child before a job starts in it")
            self.is_running = True
            self.jobs_started += 1
            self._meter.start(message.kind)
        self._inbox.write(messages.frame(message))

    def bind(self, tenancy: Tenancy, files: Mapping[str, Path]) -> None:
        """Give a fresh child its tenancy. It may also read `files`, which are by storage key."""
        if self.tenancy is not None:
            raise RuntimeError("the child has a tenancy already")
        self.tenancy = tenancy
        self.files = dict(files)

    def confine(self, files: Mapping[str, Path], folder: Path) -> None:
        """Restrict the child to its files and these, its permissions and, if it may write, one folder."""
        if self.is_confined or self.tenancy is None:
            raise RuntimeError("a child is confined once, after it was given a tenancy")
        existing = {key: path for key, path in self.files.items() if path.exists()}
        self.files = {**existing, **files}
        self.tenancy = replace(self.tenancy, files=frozenset(self.files))
        permissions = tuple(sorted(self.tenancy.permissions))
        self.folder = folder if self.tenancy.may_write else None
        scratch = None if self.folder is None else str(self.folder)
        self.send(Confine(permissions, tuple(str(path) for path in self.files.values()), scratch))
        self.is_confined = True

    def add_exit_callback(self, callback: Callable[[], None]) -> None:
        """Have this called once the process has exited."""
        self._exit_callbacks.append(callback)

    async def receive(self) -> FromChild:
        """Wait for the next message, without a timeout, and return it.

        Raises ChildDied after the last message of a child that has exited, and ChildProtocolError if the
        child sent bytes that are not a message.
        """
        while (message := self.receive_nowait()) is None:
            if self._inbox.is_closed:
                raise await self._child_died()
            await self._inbox.wait()
        return message

    def receive_nowait(self) -> FromChild | None:
        """Return the next message; None if there is none yet. Raises ChildProtocolError."""
        message = self._inbox.pop()
        if isinstance(message, Done | Yielded | Failed):
            self.is_running = False
            self.has_failed = self.has_failed or isinstance(message, Failed)
            self._meter.end(message.usage)
        return message

    async def run_while_alive(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work` and return its result. If the child exits first, cancels it and raises ChildDied."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait((task, self._exit_code), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise await self._child_died()
            return await task
        finally:
            task.cancel()
            await asyncio.wait((task,))

    def kill(self, reason: KillReason) -> None:
        """Kill the child and its process group. `receive` then raises ChildDied with the first reason."""
        if self.kill_reason is None and not self._exit_code.done():
            if self.is_running:  # what programs of the attempt have used is lost with them
                self.sample(with_processor=True)
            self.kill_reason = reason
            self._request_kill(self.pid)

    async def wait_exited(self) -> int:
        """Wait at most KILL_SECONDS until the child is reaped, and return its exit code."""
        try:
            return await asyncio.wait_for(asyncio.shield(self._exit_code), KILL_SECONDS)
        except TimeoutError:
            return -signal.SIGKILL

    def set_exited(self, exit_code: int, cpu_seconds: float, memory_peak_bytes: int) -> None:
        """Record that the process has exited, and run the exit callbacks. Called by the pool.

        Processor time and peak memory are those of the whole process.
        """
        self.is_running = False
        self._meter.exited(process_seconds=cpu_seconds, memory_peak_bytes=memory_peak_bytes)
        self._exit_code.set_result(exit_code)
        for callback in self._exit_callbacks:
            callback()
        # The kernel closes the connection, unless a process that the child started and that left its process
        # group holds it open.
        asyncio.get_running_loop().call_later(DISCONNECT_SECONDS, self.close)

    def close(self) -> None:
        """Close the connection. An idle child exits then, and a busy one at its next commit."""
        self._inbox.close()

    async def _child_died(self) -> ChildDied:
        try:
            exit_code = await asyncio.wait_for(asyncio.shield(self._exit_code), DISCONNECT_SECONDS)
        except TimeoutError:  # the child has closed its connection without exiting
            self.kill(KillReason.PROTOCOL)
            exit_code = await self.wait_exited()
        return ChildDied(self.pid, self.kill_reason, exit_code)


def _times_of(processes: list[psutil.Process]) -> list[Any]:
    """Return the processor times of those processes that still run."""
    times = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times.append(process.cpu_times())
    return times


class Inbox(asyncio.Protocol):
    """The worker's end of one connection: a queue of received messages."""

    def __init__(self) -> None:
        self.is_closed = False
        self._reader = messages.MessageReader(messages.decode_from_child, messages.MAX_FROM_CHILD_BYTES)
        self._messages: deque[FromChild] = deque()
        self._error: NotAMessage | None = None
        self._unread_bytes = 0
        self._is_paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport

    def write(self, framed: bytearray) -> None:
        """Send a frame. Drops it after a disconnect."""
        if not self.is_closed:
            self._transport.write(framed)

    def pop(self) -> FromChild | None:
        """Return the next message or None. Raises ChildProtocolError after the last valid message."""
        if self._messages:
            return self._messages.popleft()
        if self._error is not None:
            raise ChildProtocolError(str(self._error)) from self._error
        self._unread_bytes = 0
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()
        return None

    async def wait(self) -> None:
        """Wait for a message or for the end of the connection."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def close(self) -> None:
        """Close the connection."""
        self._transport.abort()

    # Callbacks of the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)  # true of every stream socket

    def data_received(self, data: bytes) -> None:
        """Decode messages; pause the transport when too many bytes are unread."""
        try:
            self._messages += self._reader.feed(data)
        except NotAMessage as error:
            self._error = error
            self._transport.abort()
            return
        self._unread_bytes += len(data)
        # Without a complete message, `pop` would not run and reading would never resume.
        if self._messages:
            if self._unread_bytes > MAX_UNREAD_BYTES:
                self._is_paused = True
                self._transport.pause_reading()
            self._wake()

    def connection_lost(self, _error: Exception | None) -> None:
        """Record the end of the connection."""
        self.is_closed = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
