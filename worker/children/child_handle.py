"""The worker's handle on one child: send, receive, kill."""

import asyncio
import signal
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import psutil

from worker.children import messages
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
"""Past this a child has to wait until its messages are taken, so that it cannot fill the worker's memory."""

KILL_SECONDS: Final = 5.0
"""How long a kill may take. A process that hangs in the kernel for longer is given up."""

LAST_WORDS_SECONDS: Final = 1.0
"""How long the end of a process and the end of its connection may lie apart."""


T = TypeVar("T")


class Child:
    """One child process: fresh, idle, or running one attempt.

    A fresh one has no tenancy yet and is not confined; from its first job on it has both, for good.
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
        self.room: Path | None = None
        self._when_ended: list[Callable[[], None]] = []
        self._inbox = inbox
        self._request_kill = request_kill
        self._exit_code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def is_alive(self) -> bool:
        """Whether it neither has ended nor is about to."""
        return self.kill_reason is None and not self._exit_code.done() and not self._inbox.is_closed

    @property
    def rss_bytes(self) -> int:
        """The memory it has resident, shared pages included; 0 once it is gone."""
        try:
            return psutil.Process(self.pid).memory_info().rss
        except psutil.NoSuchProcess:
            return 0

    def send(self, message: ToChild) -> None:
        """Send a message; one that comes too late, to a child that is gone, is dropped."""
        if isinstance(message, Start):
            if not self.is_confined:
                raise RuntimeError("a job may start in a confined child only")
            self.is_running = True
            self.jobs_started += 1
        self._inbox.write(messages.frame(message))

    def bind(self, tenancy: Tenancy, files: Mapping[str, Path]) -> None:
        """Give a fresh child its tenancy. Beside those of its job it may read `files`, by their keys."""
        if self.tenancy is not None:
            raise RuntimeError("a child is bound once")
        self.tenancy = tenancy
        self.files = dict(files)

    def confine(self, files: Mapping[str, Path], scratch: Path) -> None:
        """Have the child give up all but its files, these, its permissions and, if it may write, a folder."""
        if self.is_confined or self.tenancy is None:
            raise RuntimeError("a child is confined once, when it has a tenancy")
        there = {key: path for key, path in self.files.items() if path.exists()}
        self.files = {**there, **files}
        self.tenancy = replace(self.tenancy, files=frozenset(self.files))
        permissions = tuple(sorted(self.tenancy.permissions))
        self.room = scratch if self.tenancy.may_write else None
        room = None if self.room is None else str(self.room)
        self.send(Confine(permissions, tuple(str(path) for path in self.files.values()), room))
        self.is_confined = True

    def when_ended(self, callback: Callable[[], None]) -> None:
        """Call this once the process is gone."""
        self._when_ended.append(callback)

    async def receive(self) -> FromChild:
        """The next message, however long the child computes.

        Raises ChildDied when there will be none, with what the child said before its end already received,
        and ChildProtocolError when it sent garbage.
        """
        while (message := self.receive_nowait()) is None:
            if self._inbox.is_closed:
                raise await self._death()
            await self._inbox.wait()
        return message

    def receive_nowait(self) -> FromChild | None:
        """The next message if there is one. Raises ChildProtocolError."""
        message = self._inbox.take()
        if isinstance(message, Done | Yielded | Failed):
            self.is_running = False
            self.has_failed = self.has_failed or isinstance(message, Failed)
        return message

    async def alive_during(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` gives, if the idle child lives that long. Raises ChildDied if it does not."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait((task, self._exit_code), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise await self._death()
            return await task
        finally:
            task.cancel()
            await asyncio.wait((task,))

    def kill(self, reason: KillReason) -> None:
        """End the child and all it started, at once; `receive` then raises ChildDied with this reason."""
        if self.kill_reason is None and not self._exit_code.done():
            self.kill_reason = reason
            self._request_kill(self.pid)

    async def wait_killed(self) -> int:
        """Wait until the child, which was told to end, has ended and is reaped; its exit code."""
        try:
            return await asyncio.wait_for(asyncio.shield(self._exit_code), KILL_SECONDS)
        except TimeoutError:
            return -signal.SIGKILL

    def ended(self, exit_code: int) -> None:
        """Note that the child has ended. Called by the pool."""
        self._exit_code.set_result(exit_code)
        for callback in self._when_ended:
            callback()
        # The end of the connection comes by itself, unless something that the child started and that
        # escaped from its group holds it open.
        asyncio.get_running_loop().call_later(LAST_WORDS_SECONDS, self.close)

    def close(self) -> None:
        """Close the connection. A child that is idle, or commits, ends when it sees that."""
        self._inbox.close()

    async def _death(self) -> ChildDied:
        try:
            exit_code = await asyncio.wait_for(asyncio.shield(self._exit_code), LAST_WORDS_SECONDS)
        except TimeoutError:  # it has closed its connection and lives on
            self.kill(KillReason.PROTOCOL)
            exit_code = await self.wait_killed()
        return ChildDied(self.pid, self.kill_reason, exit_code)


class Inbox(asyncio.Protocol):
    """The worker's end of one connection: messages as they came, until the child closes it."""

    def __init__(self) -> None:
        self.is_closed = False
        self._reader = messages.MessageReader(messages.decode_from_child, messages.MAX_FROM_CHILD_BYTES)
        self._messages: deque[FromChild] = deque()
        self._fault: NotAMessage | None = None
        self._unread_bytes = 0
        self._is_paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport

    def write(self, framed: bytearray) -> None:
        """Send a frame."""
        if not self.is_closed:
            self._transport.write(framed)

    def take(self) -> FromChild | None:
        """The next message if there is one. Raises ChildProtocolError after the last good one."""
        if self._messages:
            return self._messages.popleft()
        if self._fault is not None:
            raise ChildProtocolError(str(self._fault)) from self._fault
        self._unread_bytes = 0
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()
        return None

    async def wait(self) -> None:
        """Wait until there is a message, or none will come any more."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def close(self) -> None:
        """Close the connection."""
        self._transport.abort()

    # The loop calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast(asyncio.Transport, transport)  # what every loop gives for a stream socket

    def data_received(self, data: bytes) -> None:
        """Take in what the child wrote."""
        try:
            self._messages += self._reader.feed(data)
        except NotAMessage as fault:
            self._fault = fault
            self._transport.abort()
            return
        self._unread_bytes += len(data)
        # Not in the middle of a large message: nobody would ask for the rest.
        if self._messages:
            if self._unread_bytes > MAX_UNREAD_BYTES:
                self._is_paused = True
                self._transport.pause_reading()
            self._wake()

    def connection_lost(self, _error: Exception | None) -> None:
        """Note the end."""
        self.is_closed = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
