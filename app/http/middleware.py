"""The middleware of every request: its id, limits on its body, metrics and the log line.

It is one plain ASGI class, so that each request is wrapped only once, and streams pass through untouched.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core import ids, metrics, tracing
from app.core.errors import AppError, BodyTooLarge, RequestTimeout, ServerBusy, ShuttingDown
from app.http import problems
from app.http.body_budget import FREE_BYTES, SmallBodies
from app.http.rate_limits import headers_of
from app.http.request_metrics import RequestMetrics, path_of

SERVICE_RESTART: Final = 1012  # WebSocket close code: the server restarts
CLIENT_GONE: Final = 499  # nginx's status for a client that disconnected before the response

_SANE_ID: Final = re.compile(rb"[A-Za-z0-9_.-]{1,64}")
_BODY: Final = "headrace.body"

_USER: Final = "headrace.user"
_HAS_WAITED: Final = "headrace.has_waited"

log = structlog.get_logger(__name__)


class RequestMiddleware:
    """Gives every request an id; limits, measures and logs HTTP requests.

    The metrics of `routes` exist from the start; the sequence may be filled until the application starts.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        bounds: "BodyBounds",
        routes: Sequence[BaseRoute] = (),
        small_bodies: SmallBodies | None = None,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._app = app
        self._bounds = bounds
        self._small_bodies = small_bodies or SmallBodies()
        self._is_stopping = is_stopping
        self._metrics = RequestMetrics(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        scope["request_id"] = request_id = _request_id(scope)
        bound = structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            if scope["type"] == "http":
                await self._serve(scope, receive, send)
            else:
                await self._converse(scope, receive, send)
        finally:
            structlog.contextvars.reset_contextvars(**bound)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = _Body(receive, dict(scope["headers"]), self._bounds, self._small_bodies)
        scope[_BODY] = body
        exchange = _Exchange(scope, send, body, self._metrics)
        metrics.REQUESTS_IN_FLIGHT.inc()
        try:
            await self._app(scope, body.receive, exchange.send)
        except ClientDisconnect:
            if not exchange.is_answered:
                exchange.record(CLIENT_GONE)
        except (asyncio.CancelledError, Exception) as error:
            if self._is_ended_by_the_server():
                # A library may have replaced the cancellation. Re-raised, it would be a 500 with a traceback.
                if not exchange.is_answered:
                    await problems.error_response(scope, ShuttingDown())(scope, receive, exchange.send)
                return
            if isinstance(error, asyncio.CancelledError):
                raise
            if exchange.is_answered:
                # Returning early makes the server close the connection, so that the client does not take a
                # partial response for a complete one.
                log.error("response_aborted", exc_info=error)
                return
            # Starlette would respond outside of this middleware: without request id, log line and metric.
            await problems.error_response(scope, error)(scope, receive, exchange.send)
        finally:
            metrics.REQUESTS_IN_FLIGHT.dec()
            body.release()

    async def _converse(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except (asyncio.CancelledError, Exception):
            if not self._is_ended_by_the_server():
                raise
            await _close_socket(scope, send)

    def _is_ended_by_the_server(self) -> bool:
        """Whether the server has cancelled this request because the process shuts down."""
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0 and self._is_stopping()


async def _close_socket(scope: Scope, send: Send) -> None:
    """Close a WebSocket on shutdown: with a 503 instead of the handshake, or with 1012 after it."""
    response = problems.error_response(scope, ShuttingDown())
    start = {"status": response.status_code, "headers": response.raw_headers}
    try:
        await send({"type": "websocket.http.response.start", **start})
        await send({"type": "websocket.http.response.body", "body": response.body})
    except RuntimeError:  # the handshake is over
        with contextlib.suppress(Exception):  # and maybe the connection too
            await send({"type": "websocket.close", "code": SERVICE_RESTART})


def name_user(scope: Scope, user_id: UUID) -> None:
    """Record who sent the request, for its line in the log."""
    scope[_USER] = user_id


def exclude_from_timing(scope: Scope) -> None:
    """Record that the request waits on purpose: its duration says nothing about the speed of the process."""
    scope[_HAS_WAITED] = True


def allow_body(scope: Scope, max_bytes: int) -> None:
    """Allow an upload of this size. Call it before the body is read."""
    body: _Body = scope[_BODY]
    body.allow(max_bytes, body.bounds.upload_seconds)


def allow_json(scope: Scope, max_bytes: int) -> None:
    """Set another limit for a JSON body. Call it before the body is read.

    Its first bytes still count as a small body; the caller must account for the rest.
    """
    body: _Body = scope[_BODY]
    body.allow(max_bytes, body.bounds.seconds, counted_bytes=body.bounds.max_bytes)


def declared_bytes(scope: Scope) -> int:
    """The declared length of the body; 0 if it is not declared."""
    body: _Body = scope[_BODY]
    return body.declared_bytes


def body_limit(scope: Scope) -> int:
    """The size limit of the body."""
    body: _Body = scope[_BODY]
    return body.max_bytes


def hold_body(scope: Scope, size: int) -> None:
    """Account for the decompressed bytes of a compressed body so far."""
    body: _Body = scope[_BODY]
    body.hold(size)


def forget_length(scope: Scope) -> None:
    """Ignore the declared length of a compressed body."""
    body: _Body = scope[_BODY]
    body.declared_bytes = 0


def _request_id(scope: Scope) -> str:
    given: list[bytes] = [value for name, value in scope["headers"] if name == b"x-request-id"]
    if given and _SANE_ID.fullmatch(given[-1]):
        return given[-1].decode()
    return ids.new_id().hex


@dataclass(frozen=True)
class BodyBounds:
    """Limits on the size and the duration of a request body, unless its route allows more.

    `seconds` and `upload_seconds` limit the time spent waiting for the client. After `grace_seconds`, the
    client must have sent `bytes_per_second` on average.
    """

    max_bytes: int
    seconds: float = 300.0
    upload_seconds: float = 7200.0
    grace_seconds: float = 10.0
    bytes_per_second: int = 4096


class _Body:
    """The body of one request, limited in size and time as it arrives.

    Nothing is read before the route reads it, so that a client that sends `Expect: 100-continue` with too
    large a body is refused before it sends any of it.
    """

    __slots__ = (
        "_counted_bytes",
        "_is_expected",
        "_max_bytes",
        "_max_counted_bytes",
        "_receive",
        "_received_bytes",
        "_seconds",
        "_small_bodies",
        "_waited_seconds",
        "bounds",
        "declared_bytes",
        "is_refused",
    )

    def __init__(
        self, receive: Receive, headers: dict[bytes, bytes], bounds: BodyBounds, small_bodies: SmallBodies
    ) -> None:
        length = headers.get(b"content-length", b"")
        self.declared_bytes = int(length) if length.isdigit() else 0
        self.bounds = bounds
        self.is_refused = False
        self._is_expected = self.declared_bytes > 0 or b"transfer-encoding" in headers
        self._receive = receive
        self._received_bytes = 0
        self._counted_bytes = 0
        self._small_bodies = small_bodies
        self._max_bytes = self._max_counted_bytes = bounds.max_bytes
        self._seconds = bounds.seconds
        self._waited_seconds = 0.0

    @property
    def max_bytes(self) -> int:
        """The size limit of the body."""
        return self._max_bytes

    def allow(self, max_bytes: int, seconds: float, *, counted_bytes: int = 0) -> None:
        """Change the limits. The caller must account for bytes beyond `counted_bytes`."""
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._max_counted_bytes = counted_bytes

    async def receive(self) -> Message:
        """The next message. Raises BodyTooLarge and RequestTimeout as soon as they are certain."""
        if self.declared_bytes > self._max_bytes:
            raise self._refusal(BodyTooLarge(limit=self._max_bytes))
        if not self._is_expected:  # or it is complete
            return await self._receive()
        message = await self._receive_in_time()
        self._is_expected = message.get("more_body", False)
        self._received_bytes += len(message.get("body", b""))
        if self._received_bytes > self._max_bytes:
            raise self._refusal(BodyTooLarge(limit=self._max_bytes))
        self.hold(self._received_bytes)
        return message

    async def _receive_in_time(self) -> Message:
        bounds = self.bounds
        allowed = min(self._seconds, bounds.grace_seconds + self._received_bytes / bounds.bytes_per_second)
        started_at = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(allowed - self._waited_seconds):
                return await self._receive()
        except TimeoutError:
            raise self._refusal(RequestTimeout(seconds=round(allowed))) from None
        finally:
            self._waited_seconds += asyncio.get_running_loop().time() - started_at

    def hold(self, size: int) -> None:
        """Account for this many bytes of the body in memory. Raises ServerBusy."""
        counted = min(size, self._max_counted_bytes) - FREE_BYTES
        if counted <= self._counted_bytes:
            return
        more, self._counted_bytes = counted - self._counted_bytes, counted
        try:
            self._small_bodies.add(more)
        except ServerBusy as error:
            raise self._refusal(error) from None

    def release(self) -> None:
        """Release the memory of the body."""
        if self._counted_bytes:
            self._small_bodies.remove(self._counted_bytes)

    def _refusal(self, error: AppError) -> problems.ProblemHTTPException:
        self.is_refused = True
        return problems.ProblemHTTPException(error)


class _Exchange:
    """One request and its response."""

    __slots__ = ("_body", "_metrics", "_scope", "_send", "_started_at", "is_answered")

    def __init__(self, scope: Scope, send: Send, body: _Body, request_metrics: RequestMetrics) -> None:
        self._scope = scope
        self._send = send
        self._body = body
        self._metrics = request_metrics
        self._started_at = time.perf_counter()
        self.is_answered = False

    async def send(self, message: Message) -> None:
        """Send a part of the response. The duration is measured up to its start."""
        if message["type"] == "http.response.start":
            self.is_answered = True
            message["headers"] = [*message.get("headers", ()), *self._headers()]
            self.record(message["status"])
        await self._send(message)

    def _headers(self) -> list[tuple[bytes, bytes]]:
        headers = [(b"x-request-id", self._scope["request_id"].encode()), *headers_of(self._scope)]
        if (span := tracing.current()) is not None:
            headers.append((b"x-trace-id", span.trace_id.encode()))
        if self._body.is_refused:
            # Otherwise the server would read the whole body, to reach the next request.
            headers.append((b"connection", b"close"))
        return headers

    def record(self, status: int) -> None:
        """Count and log the request with its status."""
        seconds = time.perf_counter() - self._started_at
        scope = self._scope
        method, route = scope["method"], scope.get("route")
        self._metrics.record(method, route, status, seconds, is_timed=_HAS_WAITED not in scope)
        template = path_of(route)
        # Probes and scrapes would be most of the log.
        write = log.debug if status < 300 and template in problems.UNLIMITED else log.info
        write(
            "request",
            method=method,
            path=scope["path"],
            route=template,
            status=status,
            ms=round(seconds * 1000, 2),
            **({"user_id": str(scope[_USER])} if _USER in scope else {}),
        )
