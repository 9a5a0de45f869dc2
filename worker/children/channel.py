"""The child's end of the connection to its worker. Blocking, because a child runs one job at a time."""

import os
import socket
from collections import deque
from typing import NoReturn

from worker.children import messages
from worker.children.messages import ToChild
from worker.framing import MessageReader

_READ_BYTES = 64 * 1024


class Channel:
    """Sends and receives messages. Exits the process when the worker is gone: its results would be lost."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._reader = MessageReader(messages.decode_to_child, messages.MAX_TO_CHILD_BYTES)
        self._received: deque[ToChild] = deque()

    def send(self, framed: bytes | bytearray) -> None:
        """Send one or more frames made by `messages.frame`."""
        try:
            self._connection.sendall(framed)
        except OSError:
            _exit()

    def receive(self) -> ToChild:
        """Wait for the next message, without a timeout, and return it."""
        while not self._received:
            self._read(0)
        return self._received.popleft()

    def receive_nowait(self) -> ToChild | None:
        """Return the next message; None if there is none yet."""
        if not self._received:
            self._read(socket.MSG_DONTWAIT)
        return self._received.popleft() if self._received else None

    def _read(self, flags: int) -> None:
        try:
            data = self._connection.recv(_READ_BYTES, flags)
        except BlockingIOError:
            return
        except OSError:
            _exit()
        if not data:
            _exit()
        self._received.extend(self._reader.feed(data))


def _exit() -> NoReturn:
    # A handler could swallow an exception, and exit hooks of libraries could hang.
    os._exit(0)
