"""Followers: each client's place in a log, and how it gets from there to the present.

A follower hears of events by hints and trusts them only as far as they fit. Whatever it yields is the log, in
its order, nothing lost and nothing twice; what it misses it reads from Postgres.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final, Protocol
from uuid import UUID

from app.core import metrics
from app.core.errors import DatabaseUnavailable
from app.jobs.events import Event
from app.jobs.queries import EventPage
from app.streams.mailbox import Mailbox
from app.streams.owner_log import EventFilter, OwnerPlace, Page, PlacedEvent

MAX_WAITING_EVENTS: Final = 256
RETRY_SECONDS: Final = 1.0

# How long to wait for transactions that are still open: first, and at most.
RECHECK_SECONDS: Final = 0.005
RECHECK_MAX_SECONDS: Final = 0.25


class StreamEnded(Exception):
    """The stream ends before its log does."""


class HubClosed(StreamEnded):
    """The process is going away; the client resumes elsewhere from where it was."""


class AccessEnded(StreamEnded):
    """The token that opened the stream has expired, or its account is closed."""


class ClientLeft(StreamEnded):
    """There is nobody any more to follow for."""


class Logs(Protocol):
    """Where followers read what they have not heard of; the hub does it for them."""

    async def read_job(self, job_id: UUID, after: int) -> EventPage:
        """A part of a job's log; raises DatabaseUnavailable."""

    async def read_owner(self, owner_id: UUID, after: OwnerPlace, wanted: EventFilter) -> Page:
        """A part of an owner's log; raises DatabaseUnavailable."""


class Follower:
    """What both sorts of followers have in common: they can be told to end."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[StreamEnded] = asyncio.get_running_loop().create_future()

    def end(self, reason: StreamEnded) -> None:
        """Have the follower raise this instead of going on."""
        if not self.ended.done():
            self.ended.set_result(reason)
        self.look_again()

    def look_again(self) -> None:
        """Have the follower read the log: something may be missing."""
        raise NotImplementedError

    def ensure_open(self) -> None:
        """Raise the reason for the end, if there is one."""
        if self.ended.done():
            raise self.ended.result()

    async def pause(self) -> None:
        """Wait before Postgres is asked again, but not beyond the end."""
        await asyncio.wait([self.ended], timeout=RETRY_SECONDS)


class JobFollower(Follower):
    """Follows the log of one job, by the numbers of its events."""

    def __init__(self, logs: Logs, job_id: UUID, after: int) -> None:
        super().__init__()
        self.job_id = job_id
        self.place = after
        self._logs = logs
        self._waiting: Mailbox[Event | None] = Mailbox(MAX_WAITING_EVENTS)
        self._is_stale = True

    def offer(self, event: Event) -> None:
        """Take an event that was heard of; when there is no room for it the log will have to do."""
        if not self._waiting.put_nowait(event):
            self.look_again()

    def look_again(self) -> None:
        """Have the follower read the log: something may be missing."""
        self._is_stale = True
        self._waiting.put_nowait(None)  # with no room for it, there is something to wake for already

    async def events(self) -> AsyncIterator[Event]:
        """Every event after the follower's place, in order, until the job's last one; raises StreamEnded."""
        while True:
            self.ensure_open()
            if self._is_stale:
                is_at_end = False
                async for event in self._read_log():
                    yield event
                    is_at_end = event.type.is_final
                # A job that was tried again has an end in the middle of its log: only the last one counts.
                if is_at_end:
                    return
            heard = await self._waiting.get()
            if heard is None or heard.seq <= self.place:
                continue
            if heard.seq > self.place + 1:
                metrics.STREAM_RESYNCS.inc()
                self._is_stale = True
                continue
            self.place = heard.seq
            yield heard
            if heard.type.is_final:
                return

    async def _read_log(self) -> AsyncIterator[Event]:
        """Everything the log has after this place. Postgres being away is waited out, not an end."""
        self._is_stale = False
        while True:
            self.ensure_open()
            try:
                found = await self._logs.read_job(self.job_id, self.place)
            except DatabaseUnavailable:
                await self.pause()
                continue
            for event in found.events:
                self.place = event.seq
                yield event
            if found.is_last:
                return


class OwnerFollower(Follower):
    """Follows the log of all jobs of an owner. A hint only says that there is something to read."""

    def __init__(self, logs: Logs, owner_id: UUID, after: OwnerPlace, wanted: EventFilter) -> None:
        super().__init__()
        self.owner_id = owner_id
        self.place = after
        self._logs = logs
        self._wanted = wanted
        self._woken = asyncio.Event()

    def offer(self, event: Event) -> None:
        """Hear of an event. The log shows it once no older transaction is open any more."""
        self._woken.set()

    def look_again(self) -> None:
        """Have the follower read the log: something may be missing."""
        self._woken.set()

    async def events(self) -> AsyncIterator[PlacedEvent]:
        """Every event after the follower's place, in the order of the log; raises StreamEnded."""
        recheck_seconds = RECHECK_SECONDS
        while True:
            self.ensure_open()
            self._woken.clear()
            try:
                page = await self._logs.read_owner(self.owner_id, self.place, self._wanted)
            except DatabaseUnavailable:
                await self.pause()
                continue
            for placed in page.events:
                self.place = placed.place
                yield placed
            if page.events:
                recheck_seconds = RECHECK_SECONDS
            if page.is_to_be_continued:
                # Nobody says when an open transaction ends.
                await self._wait(recheck_seconds)
                recheck_seconds = min(2 * recheck_seconds, RECHECK_MAX_SECONDS)
            elif page.is_last:
                await self._wait(None)

    async def _wait(self, seconds: float | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
