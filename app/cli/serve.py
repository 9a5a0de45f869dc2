"""`headrace serve`: the API alone."""

import gc
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from logging import getLogger
from typing import Final

import structlog
import uvicorn
from uvicorn.lifespan.on import LifespanOn

from app.cli.errors import CannotStart
from app.cli.listening import listen, url_of
from app.cli.output import print_json
from app.core import garbage, hardening, logging
from app.core.component import Component
from app.core.config import load_settings
from app.core.errors import ConfigurationError
from app.http.addresses import parse_networks
from app.http.connection_limits import ConnectionCounter
from app.http.protocol import bounded
from app.main import create_app
from app.streams.commands import MAX_FRAME_BYTES

FILES_BESIDE_CONNECTIONS: Final = 1024
"""Open files besides client connections: database, Redis, uploads."""

SWITCH_SECONDS: Final = 0.0005
"""How long a thread that computes may keep the event loop waiting. Python's default is ten times as long, and
a request waits several times."""

_FAILED: Final = CannotStart("the API ended with an error, which is in the log", code="application_failed")

log = structlog.get_logger(__name__)


class Server(uvicorn.Server):
    """A uvicorn server that stops when its application fails, and calls `on_started` once it serves.

    uvicorn itself would continue to serve, without the application's loops, streams and connections.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        on_started: Callable[[], None],
        refusal: Callable[[], ConfigurationError | None] = lambda: None,
    ) -> None:
        super().__init__(config)
        self._on_started = on_started
        self._refusal = refusal

    @property
    def has_lost_application(self) -> bool:
        """Whether the application has failed; the error is in the log."""
        return isinstance(self.lifespan, LifespanOn) and self.lifespan.error_occurred

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to serve.

        Raises ConfigurationError or CannotStart if the application does not start.

        Excludes everything loaded so far from garbage collection. Otherwise a full collection takes 0.1 s,
        during which no request is served, and any client could trigger one with a body of many arrays.
        """
        try:
            await super().startup(sockets)
        except SystemExit:  # uvicorn's, with an exit code of its own
            raise self._refusal() or _FAILED from None
        gc.collect()
        gc.freeze()
        self._on_started()

    async def on_tick(self, counter: int) -> bool:
        """Whether to stop; uvicorn calls this ten times a second."""
        return self.has_lost_application or await super().on_tick(counter)


def run(*, host: str, port: int, fd: int | None, ready_fd: int | None, as_json: bool) -> None:
    """Serve until SIGTERM or SIGINT. Raises CannotStart if the port is taken or the application fails.

    Once it serves, it says where, and writes a byte to `ready_fd`.
    """
    settings = load_settings()
    hardening.drop_secrets()
    sys.setswitchinterval(SWITCH_SECONDS)
    logging.configure(settings, Component.API)
    _allow_files(settings.max_connections + FILES_BESIDE_CONNECTIONS)
    listener = listen(host, port) if fd is None else socket.socket(fileno=fd)

    def on_started() -> None:
        url = url_of(listener)
        log.info("listening", url=url)
        if as_json:
            print_json({"url": url})
        if ready_fd is not None:
            os.write(ready_fd, b"1")

    with garbage.paused():
        api = create_app(settings)
    # A wrong setting is reported once, as the error of the command.
    getLogger("uvicorn.error").addFilter(lambda _record: api.refusal is None)
    config = uvicorn.Config(
        api,
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
    server = Server(config, on_started, lambda: api.refusal)
    server.run(sockets=[listener])
    if server.has_lost_application:
        raise _FAILED


def _allow_files(wanted: int) -> None:
    """Raise the soft limit on open files to `wanted`, within the hard limit: each connection is a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
