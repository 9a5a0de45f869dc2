"""`headrace serve`: the API alone."""

import gc
import resource
import signal
import socket
from typing import Final

import uvicorn
from uvicorn.lifespan.on import LifespanOn

from app.cli.errors import CannotStart
from app.cli.listening import listen, url_of
from app.cli.output import print_json
from app.core import hardening, logging
from app.core.component import Component
from app.core.config import load_settings
from app.http.addresses import parse_networks
from app.http.connection_limits import ConnectionCounter
from app.http.protocol import bounded
from app.main import create_app
from app.streams.commands import MAX_FRAME_BYTES

FILES_BESIDE_CONNECTIONS: Final = 1024
"""Open files besides client connections: database, Redis, uploads."""


class Server(uvicorn.Server):
    """A uvicorn server that stops when its application fails.

    uvicorn itself would continue to serve, without the application's loops, streams and connections.
    """

    @property
    def has_lost_application(self) -> bool:
        """Whether the application has failed; the error is in the log."""
        return isinstance(self.lifespan, LifespanOn) and self.lifespan.error_occurred

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to serve.

        Excludes everything loaded so far from garbage collection. Otherwise a full collection takes 0.1 s,
        during which no request is served, and any client could trigger one with a body of many arrays.
        """
        await super().startup(sockets)
        gc.collect()
        gc.freeze()

    async def on_tick(self, counter: int) -> bool:
        """Whether to stop; uvicorn calls this ten times a second."""
        return self.has_lost_application or await super().on_tick(counter)


def run(*, host: str, port: int, fd: int | None, as_json: bool) -> None:
    """Serve until SIGTERM or SIGINT. Raises CannotStart if the port is taken or the application fails."""
    settings = load_settings()
    hardening.drop_secrets()
    logging.configure(settings, Component.API)
    _allow_files(settings.max_connections + FILES_BESIDE_CONNECTIONS)
    listener = listen(host, port) if fd is None else socket.socket(fileno=fd)
    if as_json:
        print_json({"url": url_of(listener)})
    config = uvicorn.Config(
        create_app(settings),
        lifespan="on",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=settings.stop_seconds,
        server_header=False,
        http=bounded(
            ConnectionCounter(
                limit=settings.max_connections,
                limit_per_address=settings.max_connections_per_address,
                trusted=parse_networks(settings.trusted_proxies),
            ),
            max_head_bytes=settings.max_header_bytes,
            head_seconds=settings.header_seconds,
        ),
        proxy_headers=False,  # uvicorn trusts any client at 127.0.0.1; TRUSTED_PROXIES decides instead
        ws="websockets-sansio",
        ws_max_size=MAX_FRAME_BYTES,
        ws_per_message_deflate=False,  # frames are small, and zlib would hold 30 KiB for each client
    )
    # After it has stopped, uvicorn raises the signal again for the previous handler. A stop on request is no
    # error, so the exit code is 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    server = Server(config)
    server.run(sockets=[listener])
    if server.has_lost_application:
        raise CannotStart("the API ended with an error, which is in the log", code="application_failed")


def _allow_files(wanted: int) -> None:
    """Raise the soft limit on open files to `wanted`, within the hard limit: each connection is a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
