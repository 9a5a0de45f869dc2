"""Followers: cursors over an event log that yield each event exactly once and in order.

Hints deliver events early. A follower yields a hinted event only if it is the next one in the log, and reads
everything else from Postgres.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, suppress
from typing import Final, Protocol
from uuid import UUID

from app.core import metrics
from app.core.errors import DatabaseUnavailable
from app.jobs.events import Event
from app.jobs.queries import EventPage
from app.streams.mailbox import Mailbox
from app.streams.owner_log import EventFilter, LogEntry, OwnerPosition, Page, coalesce

MAX_WAITING_EVENTS: Final = 256
RETRY_SECONDS: Final = 1.0

RUN_BYTES: Final = 64 * 1024
"""The data of events that are written together; the time limit of a write is for all of them."""

# Initial and maximum interval between reads while an open transaction holds back the owner's log.
RECHECK_SECONDS: Final = 0.005
RECHECK_MAX_SECONDS: Final = 0.25


class StreamEnded(Exception):
    """The stream ends before the end of its log."""


class HubClosed(StreamEnded):
    """The process is shutting down; the client can resume on another one."""


class AccessEnded(StreamEnded):
    """The token that opened the stream has expired, or its account is closed."""


class ClientDisconnected(StreamEnded):
    """The client has disconnected."""


class LogReader(Protocol):
    """Reads event logs from Postgres; implemented by the hub."""

    async def read_job(self, job_id: UUID, after: int) -> EventPage:
        """Read the next page of a job's log; raises DatabaseUnavailable."""

    async def read_owner(self, owner_id: UUID | None, after: OwnerPosition, wanted: EventFilter) -> Page:
        """Read the next page of an owner's log, None: of all users.

        Raises DatabaseUnavailable and HubClosed.
        """


class Follower:
    """Base class of followers: how they are ended and woken."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[StreamEnded] = asyncio.get_running_loop().create_future()

    def end(self, reason: StreamEnded) -> None:
        """Make `events` raise `reason`. Only the first call counts."""
        if not self.ended.done():
            self.ended.set_result(reason)
        self.resync()

    def resync(self) -> None:
        """Make the follower read the log, because it may have missed events."""
        raise NotImplementedError

    def ensure_open(self) -> None:
        """Raise the StreamEnded that was passed to `end`, if any."""
        if self.ended.done():
            raise self.ended.result()

    async def pause(self) -> None:
        """Wait before the next attempt to reach Postgres; return early if the follower is ended."""
        await asyncio.wait([self.ended], timeout=RETRY_SECONDS)


class JobFollower(Follower):
    """Follows the log of one job. Its position is the `seq` of the last event yielded."""

    def __init__(self, logs: LogReader, job_id: UUID, after: int) -> None:
        super().__init__()
        self.job_id = job_id
        self.position = after
        self._logs = logs
        self._waiting: Mailbox[Event | None] = Mailbox(MAX_WAITING_EVENTS)
        self._is_stale = True

    def offer(self, event: Event) -> None:
        """Queue a hinted event; if the queue is full, have the follower read the log instead."""
        if not self._waiting.put_nowait(event):
            self.resync()

    def resync(self) -> None:
        """Make the follower read the log, because it may have missed events."""
        self._is_stale = True
        self._waiting.put_nowait(None)  # wakes the follower; if the queue is full, it is awake already

    async def events(self) -> AsyncIterator[Event]:
        """Yield every event after the current position, in order, to the job's last; raises StreamEnded."""
        while True:
            self.ensure_open()
            if self._is_stale:
                is_at_end = False
                async for event in self._read_log():
                    yield event
                    is_at_end = event.is_final
                # The log of a retried job contains earlier final events: stop only at the last one.
                if is_at_end:
                    return
            hinted = await self._waiting.get()
            if hinted is None or hinted.seq <= self.position:
                continue
            if hinted.seq > self.position + 1:
                metrics.STREAM_RESYNCS.inc()
                self._is_stale = True
                continue
            self.position = hinted.seq
            yield hinted
            if hinted.is_final:
                return

    async def runs(self) -> AsyncGenerator[Sequence[Event], None]:
        """Yield the same events, each alone."""
        async for event in self.events():
            yield (event,)

    async def _read_log(self) -> AsyncIterator[Event]:
        """Yield every event in the log after the current position. Retries while Postgres is unavailable."""
        self._is_stale = False
        while True:
            self.ensure_open()
            try:
                page = await self._logs.read_job(self.job_id, self.position)
            except DatabaseUnavailable:
                await self.pause()
                continue
            for event in page.events:
                self.position = event.seq
                yield event
            if page.is_last:
                return


class OwnerFollower(Follower):
    """Follows the log of all jobs of an owner. Hints only trigger a read of the log.

    With `poll_seconds` it reads the log at that interval instead, coalesces the events of each interval (see
    `owner_log.coalesce`), and may follow the jobs of all users (`owner_id` None).
    """

    def __init__(
        self,
        logs: LogReader,
        owner_id: UUID | None,
        after: OwnerPosition,
        wanted: EventFilter,
        poll_seconds: float | None = None,
    ) -> None:
        super().__init__()
        self._poll_seconds = poll_seconds
        self.owner_id = owner_id
        self.position = after
        self._logs = logs
        self._wanted = wanted
        self._woken = asyncio.Event()

    def offer(self, event: Event) -> None:
        """Read the log soon. It contains `event` once no older transaction is open."""
        self._woken.set()

    def resync(self) -> None:
        """Make the follower read the log, because it may have missed events."""
        self._woken.set()

    async def events(self) -> AsyncIterator[LogEntry]:
        """Yield every event after the current position, in log order; raises StreamEnded."""
        async with aclosing(self.runs()) as runs:
            async for run in runs:
                for entry in run:
                    yield entry

    async def runs(self) -> AsyncGenerator[Sequence[LogEntry], None]:
        """Yield the same events, those together that are at hand: not more than a client takes at once."""
        recheck_seconds = RECHECK_SECONDS
        while True:
            self.ensure_open()
            self._woken.clear()
            try:
                page = await self._logs.read_owner(self.owner_id, self.position, self._wanted)
            except DatabaseUnavailable:
                await self.pause()
                continue
            entries = page.events if self._poll_seconds is None else coalesce(page.events)
            for run in _split(entries):
                self.position = run[-1].position
                yield run
            if page.events:
                recheck_seconds = RECHECK_SECONDS
            if page.has_held_back:
                # The end of an open transaction sends no notification, so poll.
                await self._wait(self._poll_seconds or recheck_seconds)
                recheck_seconds = min(2 * recheck_seconds, RECHECK_MAX_SECONDS)
            elif page.is_last:
                await self._wait(self._poll_seconds)

    async def _wait(self, seconds: float | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()


def _split(entries: Sequence[LogEntry]) -> Iterator[Sequence[LogEntry]]:
    """Cut a page into runs of `RUN_BYTES`, or of one event that is larger."""
    run: list[LogEntry] = []
    size = 0
    for entry in entries:
        if run and size + len(entry.event.data) > RUN_BYTES:
            yield run
            run, size = [], 0
        run.append(entry)
        size += len(entry.event.data)
    if run:
        yield run
