"""Who has streams open: how many at most, and for how long each may stay.

A stream outlives the check of the token that opened it. So every open stream is looked at again from time to
time, and ended when its token has expired or its account is closed.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg

from app.core import metrics
from app.core.database import Database
from app.core.errors import DatabaseUnavailable
from app.core.sql import Statement
from app.streams import tickets
from app.streams.errors import TooManyStreams
from app.streams.tickets import Resumable

RECHECK_SECONDS: Final = 30.0

# Which of these users have an account that is not closed?
_ACTIVE: Final = Statement("SELECT id FROM users WHERE id = ANY (:user_ids) AND is_active")


@dataclass(frozen=True)
class StreamUser:
    """Who opens a stream. `expires_at` is that of the token, or of the one that a ticket was issued for.

    By the wall clock; None if it is not known.
    """

    id: UUID
    expires_at: float | None
    only_job: UUID | None = None
    resumable: Resumable | None = None


@dataclass(frozen=True, eq=False)
class _Open:
    user: StreamUser
    end: Callable[[], None]


class Admission:
    """Counts the open streams of this process, and ends those whose right to be open is over."""

    def __init__(
        self,
        database: Database,
        *,
        per_user: int,
        per_process: int,
        recheck_seconds: float = RECHECK_SECONDS,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._recheck_seconds = recheck_seconds
        self._wall = wall
        self._per_user = per_user
        self._per_process = per_process
        self._open: set[_Open] = set()
        self._of_user: Counter[UUID] = Counter()

    @contextmanager
    def admit(self, user: StreamUser, transport: str, end: Callable[[], None]) -> Iterator[None]:
        """Let a stream be open during the body; `end` is called if it may not be any longer.

        Raises TooManyStreams.
        """
        self.ensure_room(user.id)
        stream = _Open(user, end)
        self._open.add(stream)
        self._of_user[user.id] += 1
        gauge = metrics.STREAMS_OPEN.labels(transport)
        gauge.inc()
        try:
            yield
        finally:
            gauge.dec()
            self._open.discard(stream)
            self._of_user[user.id] -= 1
            if not self._of_user[user.id]:
                del self._of_user[user.id]

    @property
    def is_empty(self) -> bool:
        """Whether no stream is open."""
        return not self._open

    def ensure_room(self, user_id: UUID) -> None:
        """Raise TooManyStreams if this user, or this process, may not have another."""
        for streams, limit in (
            (self._of_user[user_id], self._per_user),
            (len(self._open), self._per_process),
        ):
            if streams >= limit:
                raise TooManyStreams(streams=streams, limit=limit)

    async def recheck_forever(self) -> None:
        """End what has lost its right to be open, until cancelled."""
        while True:
            await asyncio.sleep(self._recheck_seconds)
            with suppress(DatabaseUnavailable):
                await self.recheck()

    async def recheck(self) -> None:
        """End the streams of expired tokens and of closed accounts, and keep the others resumable.

        Raises DatabaseUnavailable.
        """
        if not self._open:
            return
        resumable = [stream.user.resumable.ticket_hash for stream in self._open if stream.user.resumable]
        async with self._database.connection() as connection:
            active = await _active(connection, list(self._of_user))
            if resumable:
                await tickets.renew(connection, resumable)
        for stream in tuple(self._open):
            is_expired = stream.user.expires_at is not None and stream.user.expires_at < self._wall()
            if is_expired or stream.user.id not in active:
                stream.end()


async def _active(connection: asyncpg.Connection, user_ids: list[UUID]) -> set[UUID]:
    return {row["id"] for row in await _ACTIVE.fetch(connection, user_ids=user_ids)}
