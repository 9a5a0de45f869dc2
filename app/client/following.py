"""Following a job: its event log as it is written, over any number of connections."""

import json
from collections.abc import Callable
from enum import Enum, auto
from time import monotonic
from typing import Any, Final

from app.client import steps
from app.client.errors import HeadraceError, UnexpectedResponse
from app.client.exchange import Exchange, parsed
from app.client.sse import Frame, Parser
from app.client.steps import Emit, Flow, Pause, Request
from app.client.values import Event, Job

EVENT_STREAM: Final = "text/event-stream"
NO_CONTENT: Final = 204
"""The job has ended, and there is nothing left of its log to send."""


class Ending(Enum):
    """How one connection ended that was not cut."""

    PROPER = auto()
    SHUTDOWN = auto()
    """The server goes away."""
    REFUSED = auto()
    """The server does not go on with this stream: its token has expired, for one."""


_FAREWELLS: Final = {"shutdown": Ending.SHUTDOWN, "error": Ending.REFUSED}

OnInterruption = Callable[[int, float], None]


class Following:
    """One client's place in one job's log.

    The place is the number of the last event handed out. Each connection asks for what comes after it, and
    whatever comes a second time is passed over: so every event is handed out once, in order.
    """

    def __init__(
        self, exchange: Exchange, path: str, *, after: int, on_interruption: OnInterruption | None = None
    ) -> None:
        self._exchange = exchange
        self._path = path
        self._place = after
        self._is_at_end = False
        self._retry_state = exchange.retry_state(exchange.retry_config.away_seconds)
        self._on_interruption = on_interruption

    def run(self) -> Flow[None]:
        """Emit every event after the place until the job's last one."""
        while True:
            ending, failure = None, None
            try:
                ending = yield from self._stream()
                if ending is Ending.PROPER and (self._is_at_end or (yield from self._is_over())):
                    return
            except HeadraceError as error:
                failure = error
            if ending is Ending.REFUSED and not self._retry_state.failures:
                self._retry_state.failures += 1
                continue  # with a new token; nothing is broken
            seconds = self._retry_state.pause_seconds(failure)
            if self._on_interruption is not None:
                self._on_interruption(self._place, seconds)
            yield Pause(seconds)

    def _stream(self) -> Flow[Ending]:
        """Emit what one connection brings, until it ends."""
        answer = yield from self._exchange.open_once(
            Request(
                "GET",
                f"{self._path}/stream",
                headers={
                    "accept": EVENT_STREAM,
                    "cache-control": "no-store",
                    "last-event-id": str(self._place),
                },
                read_seconds=self._exchange.retry_config.silence_seconds,
            )
        )
        if answer.status == NO_CONTENT:
            return Ending.PROPER
        if not answer.headers.get("content-type", "").startswith(EVENT_STREAM):
            raise UnexpectedResponse(
                "What should be a stream is none: is the URL right?", status=answer.status
            )
        self._retry_state.answered()
        opened_at = monotonic()
        parser = Parser(str(self._place))
        while piece := (yield from steps.read()):
            frames = list(parser.feed(piece))
            self._take_in(parser, monotonic() - opened_at)
            for frame in frames:
                if frame.event in _FAREWELLS:
                    return _FAREWELLS[frame.event]
                event = _event(frame)
                if event is None or event.seq <= self._place:
                    continue
                self._place = event.seq
                self._is_at_end = event.is_final
                self._retry_state.progressed()
                yield Emit(event)
        return Ending.PROPER

    def _take_in(self, parser: Parser, open_seconds: float) -> None:
        if parser.retry_seconds is not None:
            self._retry_state.ask_for(parser.retry_seconds)
        if open_seconds > self._exchange.retry_config.longest_pause_seconds:
            self._retry_state.progressed()  # a quiet job, not a broken line

    def _is_over(self) -> Flow[bool]:
        """Whether the job has ended and its log too: asked when a stream ended without a word."""
        job = parsed(Job.parse, (yield from self._exchange.once(Request("GET", self._path))))
        if not job.is_final:
            return False
        page = Request("GET", f"{self._path}/events", params={"limit": "1"})
        return parsed(last_seq_of, (yield from self._exchange.once(page))) <= self._place


def last_seq_of(page: Any) -> int:
    """The number of the last event of a job, from a page of its events."""
    return int(page["last_seq"])


def _event(frame: Frame) -> Event | None:
    """The event in a frame; None for a kind of frame that is not about an event of the log."""
    if frame.event not in ("update", "complete"):
        return None
    try:
        return Event.parse(json.loads(frame.data))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnexpectedResponse("The stream has an event that is none of Headrace's.") from error
