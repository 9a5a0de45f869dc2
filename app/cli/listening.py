"""Opens the port of the API. Does not import the API: `headrace dev` only passes the socket on."""

import socket

from app.cli.errors import CannotStart


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises CannotStart if the address is not available."""
    try:
        return socket.create_server((host, port), backlog=2048)
    except OSError as error:
        raise CannotStart(f"cannot listen on {host}:{port}: {error.strerror}") from error


def url_of(listener: socket.socket) -> str:
    """Return the URL of an API that listens on this socket."""
    return "http://{}:{}".format(*listener.getsockname()[:2])
