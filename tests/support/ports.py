"""Loopback ports that stay ours, so that no other process gets one between the choice and its use."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

HOST = "127.0.0.1"


@contextmanager
def reserved() -> Iterator[int]:
    """A port on which nothing listens, unless we do ourselves with `bound`."""
    with bound(0) as holder:
        port: int = holder.getsockname()[1]
        yield port


def bound(port: int) -> socket.socket:
    """A socket at this port, which may be one that we have reserved; 0 is a free one. It does not listen."""
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    opened.bind((HOST, port))
    return opened
