"""How many unfinished jobs a user may have, and how many bytes: exact near the limit, free far below it.

Counting first and inserting then lets parallel requests past any limit, so the count is made under a lock on
the user's row. That lock would also make one user's requests wait for each other's commits. So far below the
limit, further than all requests of a second could bring anybody, the last count is good enough without.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Final
from uuid import UUID

import asyncpg

from app.core.database import Database
from app.jobs.errors import TooManyActiveJobs
from app.quotas.service import StorageQuota

SLACK: Final = 10_000
COUNT_LIFETIME_SECONDS: Final = 1.0
MAX_REMEMBERED: Final = 10_000

_COUNT: Final = """
SELECT count(*) FROM (
    SELECT FROM jobs WHERE owner_id = $1 AND status IN ('pending', 'running') LIMIT $2
) active"""


@dataclass(frozen=True, slots=True)
class _Count:
    active: int
    counted_at: float  # by the quota's clock


class Quota:
    """Lets a user's new jobs in, up to the limits."""

    def __init__(
        self,
        database: Database,
        limit: int,
        storage: StorageQuota | None = None,
        *,
        count_lifetime_seconds: float = COUNT_LIFETIME_SECONDS,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._database = database
        self._limit = limit
        self._storage = storage or StorageQuota(0)
        self._count_lifetime_seconds = count_lifetime_seconds
        self._clock = clock
        self._counts: dict[UUID, _Count] = {}

    @asynccontextmanager
    async def admit(self, owner_id: UUID, jobs: int = 1) -> AsyncIterator[asyncpg.Connection]:
        """A connection on which to create so many jobs, in a transaction if there is more than one.

        Raises TooManyActiveJobs, and QuotaExceeded for what they store.
        """
        if jobs == 1 and self._is_far_below(owner_id) and self._storage.is_far_below(owner_id):
            async with self._database.connection() as connection:
                yield connection
            return
        async with self._database.transaction() as connection:
            await self._check(connection, owner_id, jobs)
            async with self._storage.checked(connection, owner_id):
                yield connection

    def _is_far_below(self, owner_id: UUID) -> bool:
        count = self._counts.get(owner_id)
        if count is None:
            return False
        is_recent = self._clock() - count.counted_at < self._count_lifetime_seconds
        return is_recent and count.active + SLACK < self._limit

    async def _check(self, connection: asyncpg.Connection, owner_id: UUID, jobs: int) -> None:
        # NO KEY: the lock that a new job's foreign key takes on this row does not wait for it.
        await connection.execute("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE", owner_id)
        active: int = await connection.fetchval(_COUNT, owner_id, self._limit)
        if active + jobs > self._limit:
            raise TooManyActiveJobs(active=active, limit=self._limit)
        if len(self._counts) >= MAX_REMEMBERED:
            self._counts.clear()
        self._counts[owner_id] = _Count(active, self._clock())
