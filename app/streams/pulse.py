"""What a stream of server-sent events may carry beside its events: the server's time, and counts of jobs.

Both are computed once for all streams: the time every second, the counts of an owner when a stream opens and
at most every two seconds after an event that changes them. Owners that are due at the same time are counted
together. A stream that does not keep up gets the latest of each.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from enum import StrEnum
from math import inf
from time import monotonic
from typing import Final
from uuid import UUID

import msgspec

from app.core import metrics
from app.core.database import Database
from app.core.errors import DatabaseUnavailable
from app.jobs import queries
from app.jobs.dead_letters import queries as dead_letters
from app.jobs.events import Event
from app.jobs.filters import JobFilter
from app.jobs.states import EventType, Status
from app.streams import sse

COUNT_SECONDS: Final = 2.0

COUNT_SECONDS_OF_ALL: Final = 10.0
"""For the jobs of all users, whose counts no index answers."""

ROUND_SECONDS: Final = 0.25
"""Owners that become due within this time are counted together."""

MAX_OWNERS_AT_ONCE: Final = 64
"""Owners that one statement counts, each up to some ten thousand jobs by status."""

_UNCOUNTED: Final = frozenset({EventType.PROGRESS, EventType.CANCEL_REQUESTED})
"""Events that leave a job in its status."""

_encode: Final = msgspec.json.Encoder().encode


class Extra(StrEnum):
    """What a stream may carry beside its events."""

    CLOCK = "clock"
    STATS = "stats"


class Stats(msgspec.Struct, frozen=True):
    """How many jobs an owner has, by status, and how many dead letters."""

    counts: dict[Status, int]
    dead_letters: int


class Listener:
    """The extra frames of one stream: the latest of each kind that it has not sent."""

    def __init__(self) -> None:
        self._frames: dict[Extra, bytes] = {}
        self._woken = asyncio.Event()

    def offer(self, extra: Extra, frame: bytes) -> None:
        """Queue a frame in place of an earlier one of the same kind."""
        self._frames[extra] = frame
        self._woken.set()

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """Yield the frames, for ever."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            waiting, self._frames = self._frames, {}
            for frame in waiting.values():
                yield frame


class _Counts:
    """The counts of one owner's jobs: when they were computed, and who wants them."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.listeners: set[Listener] = set()
        self.is_stale = True
        self.computed_at = -inf
        self.frame: bytes | None = None

    @property
    def due_at(self) -> float:
        return self.computed_at + self.seconds if self.is_stale else inf


class Pulse:
    """Sends the extra frames of all streams in one process."""

    def __init__(self, database: Database, *, owners_at_once: int = MAX_OWNERS_AT_ONCE) -> None:
        self._database = database
        self._owners_at_once = owners_at_once
        self._clocks: set[Listener] = set()
        self._counts: dict[UUID | None, _Counts] = {}
        self._woken = asyncio.Event()
        self._last_success = metrics.LOOP_LAST_SUCCESS.labels("pulse")

    @contextmanager
    def listening(self, owner_id: UUID | None, extras: frozenset[Extra]) -> Iterator[Listener]:
        """Yield a listener of these extras; the counts are those of an owner, None: of all users."""
        listener = Listener()
        if Extra.CLOCK in extras:
            self._clocks.add(listener)
        if Extra.STATS in extras:
            self._add(owner_id, listener)
        try:
            yield listener
        finally:
            self._clocks.discard(listener)
            if Extra.STATS in extras:
                self._counts[owner_id].listeners.discard(listener)
                if not self._counts[owner_id].listeners:
                    del self._counts[owner_id]

    def changed(self, owner_id: UUID | None, event: Event) -> None:
        """Compute the counts of an owner soon, if a stream wants them and the event may have changed them."""
        counts = self._counts.get(owner_id)
        if counts is not None and not counts.is_stale and event.type not in _UNCOUNTED:
            counts.is_stale = True
            self._woken.set()

    async def tick(self, date: datetime) -> None:
        """Send the time of this second."""
        frame = sse.frame("time_update", _encode({"date": date}))
        for listener in tuple(self._clocks):
            listener.offer(Extra.CLOCK, frame)

    async def run_forever(self) -> None:
        """Compute the counts that are due, until cancelled."""
        while True:
            if not await self._compute_due():
                await asyncio.sleep(COUNT_SECONDS)
                continue
            self._last_success.set_to_current_time()
            await asyncio.sleep(ROUND_SECONDS)
            next_at = min((counts.due_at for counts in self._counts.values()), default=inf)
            with suppress(TimeoutError):
                async with asyncio.timeout(min(max(next_at - monotonic(), 0.0), COUNT_SECONDS)):
                    await self._woken.wait()
            self._woken.clear()

    async def _compute_due(self) -> bool:
        """Compute the counts that are due; return whether Postgres was there."""
        now = monotonic()
        due = [owner_id for owner_id, counts in self._counts.items() if counts.due_at <= now]
        owner_ids = [owner_id for owner_id in due if owner_id is not None]
        try:
            for first in range(0, len(owner_ids), self._owners_at_once):
                self._send(await self._count(owner_ids[first : first + self._owners_at_once]))
            if None in due:
                self._send(await self._count_all())
        except DatabaseUnavailable:
            for owner_id in due:
                if owner_id in self._counts:
                    self._counts[owner_id].is_stale = True
            return False
        return True

    def _add(self, owner_id: UUID | None, listener: Listener) -> None:
        seconds = COUNT_SECONDS_OF_ALL if owner_id is None else COUNT_SECONDS
        counts = self._counts.setdefault(owner_id, _Counts(seconds))
        counts.listeners.add(listener)
        if counts.frame is not None:
            listener.offer(Extra.STATS, counts.frame)
        counts.is_stale = True
        self._woken.set()

    async def _count(self, owner_ids: list[UUID]) -> dict[UUID | None, Stats]:
        self._begin(*owner_ids)
        async with self._database.connection() as connection:
            by_status = await queries.counts_of_owners(connection, owner_ids)
            dead = await dead_letters.counts_of_owners(connection, owner_ids, limit=queries.COUNT_LIMIT)
        return {owner_id: Stats(by_status[owner_id], dead[owner_id]) for owner_id in owner_ids}

    async def _count_all(self) -> dict[UUID | None, Stats]:
        self._begin(None)
        async with self._database.session() as session:
            by_status = await queries.counts(session, None, JobFilter())
        async with self._database.connection() as connection:
            dead = await dead_letters.count(connection, None, limit=queries.COUNT_LIMIT)
        return {None: Stats(by_status, dead)}

    def _begin(self, *owner_ids: UUID | None) -> None:
        """Note that counts are fresh, before they are computed: a change meanwhile makes them stale again."""
        for owner_id in owner_ids:
            if (counts := self._counts.get(owner_id)) is not None:
                counts.is_stale, counts.computed_at = False, monotonic()

    def _send(self, found: Mapping[UUID | None, Stats]) -> None:
        for owner_id, stats in found.items():
            counts = self._counts.get(owner_id)
            if counts is None:  # its last stream has closed meanwhile
                continue
            counts.frame = sse.frame("stats", _encode(stats))
            for listener in tuple(counts.listeners):
                listener.offer(Extra.STATS, counts.frame)
