"""Response that writes an event log to one client as server-sent events.

Replaces FastAPI's own implementation, which uses two tasks and two queues per stream and logs a traceback
whenever a client disconnects in the middle of a frame.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any, Final, Generic, Protocol, TypeVar

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.streams.followers import ClientDisconnected, HubClosed, StreamEnded
from app.streams.meter import Meter
from app.streams.times import StreamTimes

CLOSE_SECONDS: Final = 0.5
"""Timeout for sending the last frame."""

RETRY_MILLISECONDS: Final = 2000

_KEEP_ALIVE: Final = b": ping\n\n"

log = structlog.get_logger(__name__)

Item_co = TypeVar("Item_co", covariant=True)


class EventSource(Protocol[Item_co]):
    """Source of the events of one stream, such as a `JobFollower`."""

    ended: asyncio.Future[StreamEnded]

    def runs(self) -> AsyncGenerator[Sequence[Item_co], None]:
        """Yield events in order until the end of the log, those together that are at hand.

        Raises StreamEnded.
        """

    def end(self, reason: StreamEnded) -> None:
        """Make `events` raise `reason`."""


class EventStream(Response, Generic[Item_co]):
    """Streams events until the log ends, the client disconnects, its access ends or the server shuts down.

    Drops a client that reads nothing for `times.stalled_seconds`.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        opening: bytes,
        source: EventSource[Item_co] | None,
        to_frame: Callable[[Item_co], bytes],
        time_of: Callable[[Item_co], datetime],
        times: StreamTimes = StreamTimes(),  # noqa: B008  # frozen
        *,
        extras: AsyncGenerator[bytes, None] | None = None,
    ) -> None:
        """`extras` are frames without an id, sent between the events."""
        self._times = times
        self._extras = extras
        self.status_code = 200
        self.background = None
        self._opening = opening
        self._source = source
        self._to_frame = to_frame
        self._time_of = time_of
        # `X-Accel-Buffering` stops nginx from buffering the stream.
        self.init_headers({"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        tasks = [asyncio.create_task(self._watch_connection(receive, send))]
        try:
            async with asyncio.timeout(None) as timeout:
                writer = _FrameWriter(send, timeout, self._source, self._times.stalled_seconds)
                await writer.write(self._opening)
                if self._extras is not None:
                    tasks.append(asyncio.create_task(self._send_extras(self._extras, send)))
                await self._write_frames(writer)
        except TimeoutError:
            log.info("stream_stalled")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _write_frames(self, writer: "_FrameWriter") -> None:
        if self._source is not None:
            try:
                meter = Meter("sse")
                async with aclosing(self._source.runs()) as runs:
                    async for run in runs:
                        await writer.write(b"".join(map(self._to_frame, run)))
                        for event in run:
                            meter.written(self._time_of(event))
            except StreamEnded as reason:
                await writer.write(_final_frame(reason))
        await writer.write(b"", is_last=True)

    async def _send_extras(self, extras: AsyncGenerator[bytes, None], send: Send) -> None:
        """Send the frames beside the events. Each waits, like an event, until the client has room for it."""
        try:
            async with aclosing(extras):
                async for frame in extras:
                    async with asyncio.timeout(self._times.stalled_seconds):
                        await send(_body(frame))
        except TimeoutError:
            log.info("stream_stalled")
            if self._source is not None:
                self._source.end(ClientDisconnected())

    async def _watch_connection(self, receive: Receive, send: Send) -> None:
        """Send keep-alive comments, so that proxies keep the connection, and detect disconnects."""
        while True:
            try:
                async with asyncio.timeout(self._times.keep_alive_seconds):
                    message = await receive()
            except TimeoutError:
                await send(_body(_KEEP_ALIVE))
                continue
            if message["type"] == "http.disconnect":
                break
        if self._source is not None:
            self._source.end(ClientDisconnected())


class _FrameWriter:
    """Writes frames with a timeout for each, which shrinks to `CLOSE_SECONDS` once the source has ended."""

    def __init__(
        self, send: Send, timeout: asyncio.Timeout, source: EventSource[Any] | None, timeout_seconds: float
    ) -> None:
        self._send = send
        self._timeout = timeout
        self._timeout_seconds = timeout_seconds
        if source is not None:
            source.ended.add_done_callback(self._shorten_timeout)

    async def write(self, data: bytes, *, is_last: bool = False) -> None:
        self._set_deadline(self._timeout_seconds)
        await self._send(_body(data, more=not is_last))
        self._timeout.reschedule(None)

    def _shorten_timeout(self, _: object) -> None:
        self._timeout_seconds = CLOSE_SECONDS
        if self._timeout.when() is not None:
            self._set_deadline(CLOSE_SECONDS)

    def _set_deadline(self, seconds: float) -> None:
        self._timeout.reschedule(asyncio.get_running_loop().time() + seconds)


def opening(*, event: str | None = None, event_id: str | None = None) -> bytes:
    """Encode the first frame: the reconnection delay, with an optional event and id."""
    retry = b"retry: %d\n" % RETRY_MILLISECONDS
    if event is not None:
        return retry + frame(event, b"{}", event_id)
    return retry + _id_line(event_id) + b": welcome\n\n"


def frame(event: str, data: bytes, event_id: str | None = None) -> bytes:
    """Encode one event. `data` must be a single line; JSON from msgspec and Postgres always is."""
    return b"event: %s\ndata: %s\n%s\n" % (event.encode(), data, _id_line(event_id))


def _id_line(event_id: str | None) -> bytes:
    return b"" if event_id is None else b"id: %s\n" % event_id.encode()


def _final_frame(reason: StreamEnded) -> bytes:
    """Encode the last frame of a stream that ends before its log.

    It has no id, so that the client resumes after the last event it received.
    """
    if isinstance(reason, HubClosed):
        return frame("shutdown", b"bye")
    if isinstance(reason, ClientDisconnected):
        return b""
    return frame("error", b'{"code":"access_ended"}')


def _body(data: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}
