"""Reserved loopback ports: no other process can take one between choosing and using it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

HOST = "127.0.0.1"


@contextmanager
def reserved() -> Iterator[int]:
    """Reserve a port during the body. Nothing listens on it until a socket from `bound` does."""
    with bound(0) as holder:
        port: int = holder.getsockname()[1]
        yield port


def bound(port: int) -> socket.socket:
    """Return a socket bound to a free (0) or reserved port, without listening."""
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    opened.bind((HOST, port))
    return opened
