"""Follows a job: streams its events, over any number of connections."""

import json
from collections.abc import Callable
from enum import Enum, auto
from time import monotonic
from typing import Any, Final

from app.client import steps
from app.client.errors import HeadraceError, UnexpectedResponse
from app.client.exchange import Exchange, parse_json
from app.client.sse import Frame, Parser
from app.client.steps import Emit, Flow, Pause, Request
from app.client.values import Event, Job

EVENT_STREAM: Final = "text/event-stream"
NO_CONTENT: Final = 204
"""The job has ended, and its log has no further events."""


class Ending(Enum):
    """How the server ended a connection."""

    PROPER = auto()
    SHUTDOWN = auto()
    """The server shuts down."""
    REFUSED = auto()
    """The server ends this stream, for instance because the token has expired."""


_CLOSING_FRAMES: Final = {"shutdown": Ending.SHUTDOWN, "error": Ending.REFUSED}

OnInterruption = Callable[[int, float], None]


class Following:
    """Follows the event log of one job.

    Stores the number of the last event emitted. Each connection requests the events after it, and events that
    arrive twice are skipped, so every event is emitted once, in order.
    """

    def __init__(
        self, exchange: Exchange, path: str, *, after: int, on_interruption: OnInterruption | None = None
    ) -> None:
        self._exchange = exchange
        self._path = path
        self._last_seq = after
        self._is_at_end = False
        self._retry_state = exchange.retry_state(exchange.retry_config.away_seconds)
        self._on_interruption = on_interruption

    def run(self) -> Flow[None]:
        """Emit the remaining events until the last one of the job."""
        while True:
            ending, failure = None, None
            try:
                ending = yield from self._stream()
                if ending is Ending.PROPER and (self._is_at_end or (yield from self._is_complete())):
                    return
            except HeadraceError as error:
                failure = error
            if ending is Ending.REFUSED and not self._retry_state.failures:
                self._retry_state.failures += 1
                continue  # with a new token, at once
            seconds = self._retry_state.pause_seconds(failure)
            if self._on_interruption is not None:
                self._on_interruption(self._last_seq, seconds)
            yield Pause(seconds)

    def _stream(self) -> Flow[Ending]:
        """Emit the events of one connection until it ends."""
        response = yield from self._exchange.open_once(
            Request(
                "GET",
                f"{self._path}/stream",
                headers={
                    "accept": EVENT_STREAM,
                    "cache-control": "no-store",
                    "last-event-id": str(self._last_seq),
                },
                read_seconds=self._exchange.retry_config.silence_seconds,
            )
        )
        if response.status == NO_CONTENT:
            return Ending.PROPER
        if not response.headers.get("content-type", "").startswith(EVENT_STREAM):
            raise UnexpectedResponse(
                "The response is not an event stream: check the URL.", status=response.status
            )
        self._retry_state.answered()
        opened_at = monotonic()
        parser = Parser(str(self._last_seq))
        while chunk := (yield from steps.read()):
            frames = list(parser.feed(chunk))
            self._update_retry_state(parser, monotonic() - opened_at)
            for frame in frames:
                if frame.event in _CLOSING_FRAMES:
                    return _CLOSING_FRAMES[frame.event]
                event = _event(frame)
                if event is None or event.seq <= self._last_seq:
                    continue
                self._last_seq = event.seq
                self._is_at_end = event.is_final
                self._retry_state.progressed()
                yield Emit(event)
        return Ending.PROPER

    def _update_retry_state(self, parser: Parser, open_seconds: float) -> None:
        if parser.retry_seconds is not None:
            self._retry_state.set_minimum_pause(parser.retry_seconds)
        if open_seconds > self._exchange.retry_config.longest_pause_seconds:
            self._retry_state.progressed()  # the connection works: the job just has no events

    def _is_complete(self) -> Flow[bool]:
        """Whether the job has ended and all its events were emitted."""
        job = parse_json(Job.parse, (yield from self._exchange.once(Request("GET", self._path))))
        if not job.is_final:
            return False
        page = Request("GET", f"{self._path}/events", params={"limit": "1"})
        return parse_json(last_seq_of, (yield from self._exchange.once(page))) <= self._last_seq


def last_seq_of(page: Any) -> int:
    """The number of the last event of a job, from a page of its events."""
    return int(page["last_seq"])


def _event(frame: Frame) -> Event | None:
    """The event in a frame; None for a frame that is not an event of the log."""
    if frame.event not in ("update", "complete"):
        return None
    try:
        return Event.parse(json.loads(frame.data))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnexpectedResponse("The stream contains an invalid event.") from error
