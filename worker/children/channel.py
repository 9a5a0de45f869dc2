"""The child's end of the wire: plain blocking calls, because a child does one thing at a time."""

import os
import socket
from collections import deque
from typing import NoReturn

from worker.children import messages
from worker.children.messages import ToChild

_READ_BYTES = 64 * 1024


class Channel:
    """Speaks to the worker. Ends the process when the worker is gone: nobody wants the work any more."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._reader = messages.MessageReader(messages.decode_to_child, messages.MAX_TO_CHILD_BYTES)
        self._received: deque[ToChild] = deque()

    def send(self, framed: bytes | bytearray) -> None:
        """Send what `messages.frame` made."""
        try:
            self._connection.sendall(framed)
        except OSError:
            _leave()

    def receive(self) -> ToChild:
        """The next message, however long it takes."""
        while not self._received:
            self._read(0)
        return self._received.popleft()

    def receive_nowait(self) -> ToChild | None:
        """The next message if there is one."""
        if not self._received:
            self._read(socket.MSG_DONTWAIT)
        return self._received.popleft() if self._received else None

    def _read(self, flags: int) -> None:
        try:
            data = self._connection.recv(_READ_BYTES, flags)
        except BlockingIOError:
            return
        except OSError:
            _leave()
        if not data:
            _leave()
        self._received.extend(self._reader.feed(data))


def _leave() -> NoReturn:
    # Neither an exception, which a handler could swallow, nor the exit hooks of libraries we do not know.
    os._exit(0)
