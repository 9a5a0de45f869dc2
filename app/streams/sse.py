"""Server-sent events: how a log is written to one client, and how that ends.

Not by FastAPI's own writer, although the bytes are the same: that one puts two tasks and two queues between
a log and its client, and logs an error with a traceback whenever a client leaves in the middle of a frame.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Final, Generic, Protocol, TypeVar

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.streams.followers import ClientLeft, HubClosed, StreamEnded
from app.streams.times import StreamTimes

GOODBYE_SECONDS: Final = 0.5
"""How long a client may take to read the last frame."""

RETRY_MILLISECONDS: Final = 2000

_KEEP_ALIVE: Final = b": ping\n\n"

log = structlog.get_logger(__name__)

Item_co = TypeVar("Item_co", covariant=True)


class Followed(Protocol[Item_co]):
    """What there is to follow."""

    ended: asyncio.Future[StreamEnded]

    def events(self) -> AsyncIterator[Item_co]:
        """What is sent, in order, until its end; raises StreamEnded."""

    def end(self, reason: StreamEnded) -> None:
        """Have the follower raise this instead of going on."""


class EventStream(Response, Generic[Item_co]):
    """The answer that follows a log until its end, or until the client, the server or the right to it goes.

    A client that takes nothing for `times.stalled_seconds` is given up.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        opening: bytes,
        followed: Followed[Item_co] | None,
        to_frame: Callable[[Item_co], bytes],
        times: StreamTimes = StreamTimes(),  # noqa: B008  # frozen
    ) -> None:
        self._times = times
        self.status_code = 200
        self.background = None
        self._opening = opening
        self._followed = followed
        self._to_frame = to_frame
        # The second is for nginx, which would collect frames otherwise.
        self.init_headers({"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send everything."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        watching = asyncio.create_task(self._watch(receive, send))
        try:
            async with asyncio.timeout(None) as timeout:
                writer = _Writer(send, timeout, self._followed, self._times.stalled_seconds)
                await self._write_log(writer)
        except TimeoutError:
            log.info("stream_stalled")
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _write_log(self, writer: "_Writer") -> None:
        await writer.write(self._opening)
        if self._followed is not None:
            try:
                async with aclosing(self._followed.events()) as events:  # type: ignore[type-var]  # a generator
                    async for event in events:
                        await writer.write(self._to_frame(event))
            except StreamEnded as end:
                await writer.write(_farewell(end))
        await writer.write(b"", is_last=True)

    async def _watch(self, receive: Receive, send: Send) -> None:
        """Notice that the client leaves, and show it and every proxy on the way that we are still there."""
        while True:
            try:
                async with asyncio.timeout(self._times.keep_alive_seconds):
                    message = await receive()
            except TimeoutError:
                await send(_body(_KEEP_ALIVE))
                continue
            if message["type"] == "http.disconnect":
                break
        if self._followed is not None:
            self._followed.end(ClientLeft())


class _Writer:
    """Sends frames, each in bounded time; all that follow the end of the stream in a short one."""

    def __init__(
        self, send: Send, timeout: asyncio.Timeout, followed: Followed[Any] | None, limit_seconds: float
    ) -> None:
        self._send = send
        self._timeout = timeout
        self._limit_seconds = limit_seconds
        if followed is not None:
            followed.ended.add_done_callback(self._hurry)

    async def write(self, data: bytes, *, is_last: bool = False) -> None:
        self._allow(self._limit_seconds)
        await self._send(_body(data, more=not is_last))
        self._timeout.reschedule(None)

    def _hurry(self, _: object) -> None:
        self._limit_seconds = GOODBYE_SECONDS
        if self._timeout.when() is not None:
            self._allow(GOODBYE_SECONDS)

    def _allow(self, seconds: float) -> None:
        self._timeout.reschedule(asyncio.get_running_loop().time() + seconds)


def opening(*, event: str | None = None, event_id: str | None = None) -> bytes:
    """The first frame: how soon to come back, and what else there is to say."""
    retry = b"retry: %d\n" % RETRY_MILLISECONDS
    if event is not None:
        return retry + frame(event, b"{}", event_id)
    return retry + _id(event_id) + b": welcome\n\n"


def frame(event: str, data: bytes, event_id: str | None = None) -> bytes:
    """One event. The data is one line; JSON as msgspec and Postgres write it always is."""
    return b"event: %s\ndata: %s\n%s\n" % (event.encode(), data, _id(event_id))


def _id(event_id: str | None) -> bytes:
    return b"" if event_id is None else b"id: %s\n" % event_id.encode()


def _farewell(end: StreamEnded) -> bytes:
    """The last frame of a stream that ends before its log. Without an id: the client resumes where it was."""
    if isinstance(end, HubClosed):
        return frame("shutdown", b"bye")
    if isinstance(end, ClientLeft):
        return b""
    return frame("error", b'{"code":"access_ended"}')


def _body(data: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}
