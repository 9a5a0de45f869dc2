"""Uvicorn's HTTP/1.1 protocol, with limits that uvicorn lacks.

The head of a request is limited in size and time, connections are counted, and a body is read only as the
application asks for it. If a request is refused while its body still arrives, the connection is closed so
that the client can read the response ("lingering close"): the server closes its sending side, discards input
for a limited time, and only then closes the socket. When a socket is closed with unread data, the kernel
sends a reset, and the client may lose the response.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, cast

import structlog
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from app.core import metrics
from app.core.errors import (
    AppError,
    MalformedRequest,
    RequestHeadTooLarge,
    RequestTimeout,
    TooManyConnections,
)
from app.http import problems
from app.http.connection_limits import ConnectionCounter
from app.http.security_headers import missing_headers

LINGER_SECONDS: Final = 30.0
LINGER_BYTES: Final = 256 * 1024 * 1024
MAX_HEADERS: Final = 100

# Chunk framing: in tiny chunks, each byte of the body costs five more bytes.
MAX_FRAMING_RATIO: Final = 16

log = structlog.get_logger(__name__)

# uvicorn's warning about a malformed request says nothing that `connection_refused` does not.
_quiet: Final = logging.getLogger("uvicorn.error.protocol")
_quiet.setLevel(logging.ERROR)

_refused: Final = metrics.counters(
    metrics.CONNECTIONS_REFUSED,
    [error.code for error in (MalformedRequest, RequestHeadTooLarge, RequestTimeout, TooManyConnections)],
)


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `bounded` makes a subclass with limits."""

    counter: ConnectionCounter
    max_head_bytes: int
    head_seconds: float
    linger_seconds: float = LINGER_SECONDS
    linger_bytes: int = LINGER_BYTES

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _quiet
        self._is_in_head = True
        self._head_bytes = 0
        self._framing_bytes = 0
        self._body_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._is_counted = False
        self._ignores_input = False
        self._discarded_bytes: int | None = None

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        """Count the connection and wait for the head of a request."""
        super().connection_made(transport)
        self._closing = _ClosingTransport(transport, self._finish)
        self._is_counted = self.counter.add(self._peer)
        if not self._is_counted:
            self._refuse(TooManyConnections())
            return
        self._timer = self.loop.call_later(self.head_seconds, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting the connection."""
        self._forget()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """Hand over the connection, which counts until the WebSocket is closed."""
        self._cancel_timer()
        super().handle_websocket_upgrade()
        successor = cast("Any", self.transport.get_protocol())
        connection_lost = successor.connection_lost

        def connection_lost_and_forgotten(exc: Exception | None) -> None:
            self._forget()
            connection_lost(exc)

        successor.connection_lost = connection_lost_and_forgotten

    def _forget(self) -> None:
        self._cancel_timer()
        if self._is_counted:
            self._is_counted = False
            self.counter.remove(self._peer)

    @property
    def _peer(self) -> str:
        return self.client[0] if self.client else ""

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Input

    def data_received(self, data: bytes) -> None:
        """Parse the next bytes, within the limits."""
        if self._discarded_bytes is not None:
            self._discard(data)
            return
        if self._ignores_input:
            return
        if self._is_in_head:
            self._head_bytes += len(data)
        else:
            self._framing_bytes += len(data)
        super().data_received(data)
        if self._is_over():
            return
        if self._is_in_head:
            self._bound_head()
        elif (
            self._framing_bytes - self._body_bytes
            > self.max_head_bytes + MAX_FRAMING_RATIO * self._body_bytes
        ):
            self._refuse(RequestHeadTooLarge(limit=self.max_head_bytes))
        elif self._is_responding:
            # The application resumes reading when it needs the rest.
            self.flow.pause_reading()

    def _is_over(self) -> bool:
        return self._discarded_bytes is not None or self._ignores_input or self.transport.is_closing()

    def _bound_head(self) -> None:
        if self._head_bytes > self.max_head_bytes:
            self._refuse(RequestHeadTooLarge(limit=self.max_head_bytes))
        elif self._head_bytes and self._timer is None:
            self._timer = self.loop.call_later(self.head_seconds, self._head_is_late)

    def on_headers_complete(self) -> None:
        """Serve the request, unless its head is too large."""
        self._cancel_timer()
        # Bytes that arrived in the same piece, such as the body, are not part of the head.
        is_long = self._head_bytes > self.max_head_bytes and self._size_of_head() > self.max_head_bytes
        self._is_in_head = False
        self._head_bytes = self._framing_bytes = self._body_bytes = 0
        if is_long or len(self.headers) > MAX_HEADERS:
            raise _HeadTooLargeError
        super().on_headers_complete()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header. Trailers, which follow the body, are ignored."""
        if self._is_in_head:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """Store a part of the body for the application."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for the next request."""
        super().on_message_complete()
        self._is_in_head = True
        self._head_bytes = 0

    def send_400_response(self, msg: str) -> None:
        """Respond to input that is not a valid request."""
        # httptools hides the exception of a callback; only `on_headers_complete` raises one.
        is_long = self._is_head_too_large()
        self._refuse(RequestHeadTooLarge(limit=self.max_head_bytes) if is_long else MalformedRequest())

    def _size_of_head(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _is_head_too_large(self) -> bool:
        if not hasattr(self, "url"):  # no request has begun
            return False
        return len(self.headers) > MAX_HEADERS or self._size_of_head() > self.max_head_bytes

    def _head_is_late(self) -> None:
        self._timer = None
        if self._head_bytes:
            self._refuse(RequestTimeout(seconds=int(self.head_seconds)))
        else:
            self.transport.close()

    # Output

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.transport = cast("asyncio.Transport", self._closing)
        super()._start_asgi_task(cycle, cast("Any", _Request(cycle, app)))

    def on_response_complete(self) -> None:
        """Continue with the next request, unless this was the last one."""
        if self._discarded_bytes is None:
            super().on_response_complete()
        else:
            self.server_state.total_requests += 1

    def _refuse(self, error: AppError) -> None:
        """Respond instead of the application, and close."""
        if self._is_responding:
            # Another response is being sent, and the client waits for it; it is the last one.
            self._ignores_input = True
            self.cycle.keep_alive = False
            self.flow.resume_reading()
            return
        log.info("connection_refused", code=error.code)
        _refused[error.code].inc()
        self.transport.write(_encode(problems.error_response({"type": "http", "path": ""}, error)))
        self._linger()

    @property
    def _is_responding(self) -> bool:
        # uvicorn declares a cycle, and has none before the first request.
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is not None and not cycle.response_complete

    def _finish(self) -> None:
        """Close after a response: at once, or after discarding what the client still sends."""
        if self.cycle.more_body and not self.cycle.disconnected:
            self._linger()
        else:
            self.transport.close()

    def _linger(self) -> None:
        if self.transport.is_closing() or self._discarded_bytes is not None:
            return
        self._unset_keepalive_if_required()
        self._cancel_timer()
        if not self.transport.can_write_eof():  # TLS cannot close one side
            self.transport.close()
            return
        self._discarded_bytes = 0
        self.transport.write_eof()
        self.flow.resume_reading()
        self._timer = self.loop.call_later(self.linger_seconds, self.transport.close)

    def _discard(self, data: bytes) -> None:
        self._discarded_bytes = (self._discarded_bytes or 0) + len(data)
        if self._discarded_bytes > self.linger_bytes:
            self.transport.close()


class _HeadTooLargeError(Exception):
    """Stops the parser."""


class _ClosingTransport:
    """The transport of a request, whose `close` may linger."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close


class _Request:
    """The application, for one request."""

    __slots__ = ("_app", "_cycle")

    def __init__(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:
        self._cycle = cycle
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # A small body has arrived with its head, and is complete before this begins.
        await self._app(scope, receive, self._send if self._cycle.more_body else send)
        if self._cycle.response_started and not self._cycle.response_complete:
            # The reason has been logged. The client must not mistake a partial response for a complete one.
            self._cycle.disconnected = True
            self._cycle.transport.close()

    async def _send(self, message: Message) -> None:
        if self._cycle.more_body:
            self._cycle.keep_alive = False
        await self._cycle.send(cast("Any", message))


def _encode(response: Response) -> bytes:
    head = [STATUS_LINE[response.status_code]]
    for name, value in [*response.raw_headers, *missing_headers(response.raw_headers)]:
        head += [name, b": ", value, b"\r\n"]
    return b"".join([*head, b"connection: close\r\n\r\n", bytes(response.body)])


def bounded(counter: ConnectionCounter, *, max_head_bytes: int, head_seconds: float) -> type[BoundedProtocol]:
    """The protocol of one server, with its limits."""
    limits = {"counter": counter, "max_head_bytes": max_head_bytes, "head_seconds": head_seconds}
    return type("Protocol", (BoundedProtocol,), limits)
