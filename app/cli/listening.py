"""Opens the port of the API. Does not import the API: `headrace dev` only passes the socket on."""

import socket

from app.cli.errors import CannotStart


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, for an IPv4 or IPv6 address. Raises CannotStart if the address is not available."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise CannotStart(f"cannot listen on {host}:{port}: {error.strerror}") from error


def url_of(listener: socket.socket) -> str:
    """Return the URL of an API that listens on this socket."""
    if listener.family == socket.AF_UNIX:
        return f"unix:{listener.getsockname()}"
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if listener.family == socket.AF_INET6 else f"http://{host}:{port}"
