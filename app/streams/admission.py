"""Admission control for streams: limits per user and per process, and periodic reauthorisation.

The token is checked when a stream opens, but a stream may outlive it. Open streams are therefore rechecked
periodically and ended once their token has expired or their account is closed.
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
from app.streams.meter import TRANSPORTS
from app.streams.tickets import Resumable

RECHECK_SECONDS: Final = 30.0

# Which of these users have an account that is not closed?
_ACTIVE: Final = Statement("SELECT id FROM users WHERE id = ANY (:user_ids) AND is_active")


@dataclass(frozen=True)
class StreamUser:
    """The authenticated user of a stream.

    `expires_at` is the expiry of the token that opened the stream, or of the token that its ticket was issued
    for, as a Unix timestamp; None if unknown. `only_job` is the job that a ticket is restricted to.
    """

    id: UUID
    expires_at: float | None
    only_job: UUID | None = None
    resumable: Resumable | None = None


@dataclass(frozen=True, eq=False)
class _OpenStream:
    user: StreamUser
    end: Callable[[], None]


class Admission:
    """Limits the open streams of this process and ends those that are no longer authorised."""

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
        self._open: set[_OpenStream] = set()
        self._streams_by_user: Counter[UUID] = Counter()
        self._gauges = {transport: metrics.STREAMS_OPEN.labels(transport) for transport in TRANSPORTS}
        self._last_success = metrics.LOOP_LAST_SUCCESS.labels("recheck")

    @contextmanager
    def admit(self, user: StreamUser, transport: str, end: Callable[[], None]) -> Iterator[None]:
        """Count a stream as open during the body. `end` is called if its authorisation ends earlier.

        Raises TooManyStreams.
        """
        self.ensure_capacity(user.id)
        stream = _OpenStream(user, end)
        self._open.add(stream)
        self._streams_by_user[user.id] += 1
        gauge = self._gauges[transport]
        gauge.inc()
        try:
            yield
        finally:
            gauge.dec()
            self._open.discard(stream)
            self._streams_by_user[user.id] -= 1
            if not self._streams_by_user[user.id]:
                del self._streams_by_user[user.id]

    @property
    def is_empty(self) -> bool:
        """Whether no stream is open."""
        return not self._open

    def ensure_capacity(self, user_id: UUID) -> None:
        """Raise TooManyStreams if the user or the process has reached its limit."""
        for streams, limit in (
            (self._streams_by_user[user_id], self._per_user),
            (len(self._open), self._per_process),
        ):
            if streams >= limit:
                raise TooManyStreams(streams=streams, limit=limit)

    async def recheck_forever(self) -> None:
        """Recheck all open streams at intervals, until cancelled."""
        while True:
            await asyncio.sleep(self._recheck_seconds)
            with suppress(DatabaseUnavailable):
                await self.recheck()
                self._last_success.set_to_current_time()

    async def recheck(self) -> None:
        """End streams whose token has expired or whose account is closed; renew the others' resume tokens.

        Raises DatabaseUnavailable.
        """
        if not self._open:
            return
        resumable = [stream.user.resumable.ticket_hash for stream in self._open if stream.user.resumable]
        async with self._database.connection() as connection:
            active = await _find_active(connection, list(self._streams_by_user))
            if resumable:
                await tickets.renew(connection, resumable)
        for stream in tuple(self._open):
            is_expired = stream.user.expires_at is not None and stream.user.expires_at < self._wall()
            if is_expired or stream.user.id not in active:
                stream.end()


async def _find_active(connection: asyncpg.Connection, user_ids: list[UUID]) -> set[UUID]:
    return {row["id"] for row in await _ACTIVE.fetch(connection, user_ids=user_ids)}
