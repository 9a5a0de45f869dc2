"""What every request passes through: its id, the size of its body, how long it took, what became of it.

One plain ASGI class: a request is wrapped once, and a stream flows through untouched.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog
from prometheus_client import Histogram
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core import ids, metrics
from app.core.errors import AppError, BodyTooLarge, RequestTimeout, ServerBusy, ShuttingDown
from app.http import problems
from app.http.budget import FREE_BYTES, SmallBodies

VERSIONED_PREFIX: Final = "/api/v1"
UNMATCHED: Final = "unmatched"
SERVICE_RESTART: Final = 1012  # the close code of a WebSocket whose server restarts
CLIENT_GONE: Final = 499  # nginx's number for a client that left before it was answered

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SANE_ID: Final = re.compile(rb"[A-Za-z0-9_.-]{1,64}")
_BODY: Final = "headrace.body"

log = structlog.get_logger(__name__)


class RequestMiddleware:
    """Gives every request an id, and measures, bounds and logs those that are HTTP."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        bounds: "BodyBounds",
        small_bodies: SmallBodies | None = None,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._app = app
        self._bounds = bounds
        self._small_bodies = small_bodies or SmallBodies()
        self._is_stopping = is_stopping
        self._timers = _Timers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        _drop_version(scope)
        headers = dict(scope["headers"])
        request_id = _request_id(headers)
        scope["request_id"] = request_id
        bound = structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            if scope["type"] == "http":
                await self._serve(scope, headers, receive, send)
            else:
                await self._converse(scope, receive, send)
        finally:
            structlog.contextvars.reset_contextvars(**bound)

    async def _serve(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        body = _Body(receive, headers, self._bounds, self._small_bodies)
        scope[_BODY] = body
        exchange = _Exchange(scope, send, body, self._timers)
        try:
            await self._app(scope, body.receive, exchange.send)
        except ClientDisconnect:
            if not exchange.is_answered:
                exchange.record(CLIENT_GONE)
        except (asyncio.CancelledError, Exception) as error:
            if self._is_ended_by_the_server():
                # Whatever a library made of the cancellation. Raised on, it would be a 500 and a traceback.
                if not exchange.is_answered:
                    await problems.answer(scope, ShuttingDown())(scope, receive, exchange.send)
                return
            if isinstance(error, asyncio.CancelledError):
                raise
            if exchange.is_answered:
                # To return without the rest makes the server close the connection: the client must not
                # take half an answer for a whole one.
                log.error("answer_broken_off", exc_info=error)
                return
            # Not left to Starlette, which would answer outside of here: without id, log and metric.
            await problems.answer(scope, error)(scope, receive, exchange.send)
        finally:
            body.release()

    async def _converse(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except (asyncio.CancelledError, Exception):
            if not self._is_ended_by_the_server():
                raise
            await _close_socket(scope, send)

    def _is_ended_by_the_server(self) -> bool:
        """Whether the server has cancelled the current request because the process stops."""
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0 and self._is_stopping()


async def _close_socket(scope: Scope, send: Send) -> None:
    """End a WebSocket because the process stops: 503 in place of the handshake, or 1012 after it."""
    response = problems.answer(scope, ShuttingDown())
    start = {"status": response.status_code, "headers": response.raw_headers}
    try:
        await send({"type": "websocket.http.response.start", **start})
        await send({"type": "websocket.http.response.body", "body": response.body})
    except RuntimeError:  # the handshake is over
        with contextlib.suppress(Exception):  # and maybe the connection too
            await send({"type": "websocket.close", "code": SERVICE_RESTART})


def _drop_version(scope: Scope) -> None:
    """Take `/api/v1` off the path: every path is also there under it."""
    if scope["path"].startswith(VERSIONED_PREFIX + "/"):
        scope["path"] = scope["path"].removeprefix(VERSIONED_PREFIX)
        scope["raw_path"] = scope.get("raw_path", b"").removeprefix(VERSIONED_PREFIX.encode())


def allow_body(scope: Scope, max_bytes: int) -> None:
    """Let the body of this request be an upload of this size; to be called before any of it is read."""
    body: _Body = scope[_BODY]
    body.allow(max_bytes, body.bounds.upload_seconds)


def allow_json(scope: Scope, max_bytes: int) -> None:
    """Set another limit for the body of this request; to be called before any of it is read.

    What it has as a small one is still counted; whoever calls this counts the rest.
    """
    body: _Body = scope[_BODY]
    body.allow(max_bytes, body.bounds.seconds, counted_bytes=body.bounds.max_bytes)


def declared_bytes(scope: Scope) -> int:
    """How long the body of this request is said to be; 0 if nothing is said."""
    body: _Body = scope[_BODY]
    return body.declared_bytes


def body_limit(scope: Scope) -> int:
    """How large the body of this request may be."""
    body: _Body = scope[_BODY]
    return body.max_bytes


def hold_body(scope: Scope, size: int) -> None:
    """Say that the body of this request, which is encoded, is held with this many bytes by now."""
    body: _Body = scope[_BODY]
    body.hold(size)


def forget_length(scope: Scope) -> None:
    """Do not judge the body of this request by its declared length: it is encoded."""
    body: _Body = scope[_BODY]
    body.declared_bytes = 0


def _request_id(headers: dict[bytes, bytes]) -> str:
    given = headers.get(b"x-request-id")
    if given is not None and _SANE_ID.fullmatch(given):
        return given.decode()
    return ids.new_id().hex


@dataclass(frozen=True)
class BodyBounds:
    """What the body of a request may be, unless its route asks for more, and how fast it has to come.

    `seconds` and `upload_seconds` bound the time that is spent waiting for the client. After `grace_seconds`
    the client must have sent `bytes_per_second` on average.
    """

    max_bytes: int
    seconds: float = 300.0
    upload_seconds: float = 7200.0
    grace_seconds: float = 10.0
    bytes_per_second: int = 4096


class _Body:
    """The body of one request, counted and timed as it arrives.

    Nothing is read before the route asks for it, so a client that sent `Expect: 100-continue` and means
    to send too much is refused without sending any of it.
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
        """How large the body may be."""
        return self._max_bytes

    def allow(self, max_bytes: int, seconds: float, *, counted_bytes: int = 0) -> None:
        """Allow more, or less. What is beyond `counted_bytes` the caller has to bound."""
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._max_counted_bytes = counted_bytes

    async def receive(self) -> Message:
        """The next message; raises the 413 and the 408 as soon as it is certain."""
        if self.declared_bytes > self._max_bytes:
            raise self._refusal(BodyTooLarge(limit=self._max_bytes))
        if not self._is_expected:  # or no more
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
        """Count this much of the body among those that are held. Raises the 503."""
        counted = min(size, self._max_counted_bytes) - FREE_BYTES
        if counted <= self._counted_bytes:
            return
        more, self._counted_bytes = counted - self._counted_bytes, counted
        try:
            self._small_bodies.add(more)
        except ServerBusy as error:
            raise self._refusal(error) from None

    def release(self) -> None:
        """Say that what was received is not held any longer."""
        if self._counted_bytes:
            self._small_bodies.remove(self._counted_bytes)

    def _refusal(self, error: AppError) -> problems.ProblemHTTPException:
        self.is_refused = True
        return problems.ProblemHTTPException(error)


class _Timers:
    """The histograms of REQUEST_SECONDS by their labels: finding one there costs more than filling it."""

    def __init__(self) -> None:
        self._timers: dict[tuple[str, str, int], Histogram] = {}

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Note how long one request took."""
        labels = (method if method in _METHODS else "other", route, status)
        timer = self._timers.get(labels)
        if timer is None:
            timer = self._timers[labels] = metrics.REQUEST_SECONDS.labels(*labels)
        timer.observe(seconds)


class _Exchange:
    """One request and what is sent back for it."""

    __slots__ = ("_body", "_scope", "_send", "_started_at", "_timers", "is_answered")

    def __init__(self, scope: Scope, send: Send, body: _Body, timers: _Timers) -> None:
        self._scope = scope
        self._send = send
        self._body = body
        self._timers = timers
        self._started_at = time.perf_counter()
        self.is_answered = False

    async def send(self, message: Message) -> None:
        """Pass on a part of the answer; its start is the moment that is measured."""
        if message["type"] == "http.response.start":
            self.is_answered = True
            message["headers"] = [*message.get("headers", ()), *self._headers()]
            self.record(message["status"])
        await self._send(message)

    def _headers(self) -> list[tuple[bytes, bytes]]:
        headers = [(b"x-request-id", self._scope["request_id"].encode())]
        if self._body.is_refused:
            # Or the server would read all of it, to get to the next request.
            headers.append((b"connection", b"close"))
        return headers

    def record(self, status: int) -> None:
        """Count and log the request with the status it ended in."""
        seconds = time.perf_counter() - self._started_at
        scope = self._scope
        route = getattr(scope.get("route"), "path", UNMATCHED)
        self._timers.observe(scope["method"], route, status, seconds)
        log.info(
            "request", method=scope["method"], path=scope["path"], status=status, ms=round(seconds * 1000, 2)
        )
