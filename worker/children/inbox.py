"""The worker's end of the connection to one child: a queue of received messages."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, cast

from worker.children import messages
from worker.children.errors import ChildProtocolError
from worker.children.messages import FromChild
from worker.framing import MessageReader, NotAMessage

MAX_UNREAD_BYTES: Final = 1024 * 1024
"""Above this the worker pauses reading, so that a child cannot fill the worker's memory."""

_READ_BYTES: Final = 256 * 1024

_TURNS_TO_READ: Final = 2
"""In its next turn, an event loop polls a socket; asyncio's own reads it in the one after that."""


class Inbox(asyncio.Protocol):
    """The worker's end of one connection: a queue of received messages."""

    def __init__(self) -> None:
        self.is_closed = False
        self._reader = MessageReader(messages.decode_from_child, messages.MAX_FROM_CHILD_BYTES)
        self._messages: deque[FromChild] = deque()
        self._error: NotAMessage | None = None
        self._unread_bytes = 0
        self._is_paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None

    def write(self, framed: bytearray) -> None:
        """Send a frame. Drops it after a disconnect."""
        if self._transport is not None and not self.is_closed:
            self._transport.write(framed)

    def pop(self) -> FromChild | None:
        """Return the next message or None. Raises ChildProtocolError after the last valid message."""
        if self._messages:
            return self._messages.popleft()
        if self._error is not None:
            raise ChildProtocolError(str(self._error)) from self._error
        self._unread_bytes = 0
        self._resume_reading()
        return None

    async def wait(self) -> None:
        """Wait for a message or for the end of the connection."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def wait_at_most(self, seconds: float) -> bool:
        """Wait for a message; return False if none has come in time, or none will come."""
        if not self._messages and not self.is_closed:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self.wait()
        return bool(self._messages)

    @contextmanager
    def left_unread(self) -> Iterator[None]:
        """Leave in the socket what the child sends during the body, so that it wakes the worker once.

        A child that fills the socket waits. Do not call `pop` meanwhile: without a message it reads on.
        """
        self._pause_reading()
        try:
            yield
        finally:
            if self._unread_bytes <= MAX_UNREAD_BYTES:
                self._resume_reading()

    async def poll(self) -> None:
        """Have the event loop read what the child has sent."""
        for _ in range(_TURNS_TO_READ):
            await asyncio.sleep(0)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._transport is not None:
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
            self.close()
            return
        self._unread_bytes += len(data)
        # Without a complete message, `pop` would not run and reading would never resume.
        if self._messages:
            if self._unread_bytes > MAX_UNREAD_BYTES:
                self._pause_reading()
            self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        """Record the end of the connection, after what the child sent before it."""
        if error is not None:
            self._read_the_rest()
        self.is_closed = True
        self._wake()

    def _read_the_rest(self) -> None:
        """Read what is left in the socket: a transport does not once a write fails because the child died."""
        end = None if self._transport is None else self._transport.get_extra_info("socket")
        if end is None:
            return
        with suppress(OSError), end.dup() as connection:
            connection.setblocking(False)
            while self._error is None and (data := connection.recv(_READ_BYTES)):
                self.data_received(data)

    def _pause_reading(self) -> None:
        if not self._is_paused and self._transport is not None and not self._transport.is_closing():
            self._is_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._is_paused and self._transport is not None and not self._transport.is_closing():
            self._is_paused = False
            self._transport.resume_reading()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
