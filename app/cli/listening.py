"""The port of the API. Apart from the API itself: whoever only starts it should not have to import it."""

import socket

from app.cli.errors import CannotStart


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; raises CannotStart if the address cannot be had."""
    try:
        return socket.create_server((host, port), backlog=2048)
    except OSError as error:
        raise CannotStart(f"cannot listen on {host}:{port}: {error.strerror}") from error
