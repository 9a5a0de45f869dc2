"""The limit on a user's unfinished jobs, and on their bytes: exact near the limit, free far below it.

Parallel requests that count before they insert would exceed any limit, so the count is made under a lock on
the user's row. The lock also makes requests of one user wait for each other's commits. Far below the limit,
by more than a second of requests can add, the last count is accurate enough and no lock is taken.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Final
from uuid import UUID

import asyncpg

from app.core.database import Database
from app.jobs import queries
from app.jobs.errors import TooManyActiveJobs
from app.quotas import queries as quotas
from app.quotas.service import StorageQuota

SLACK: Final = 10_000
COUNT_LIFETIME_SECONDS: Final = 1.0
MAX_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Count:
    active: int
    limit: int
    counted_at: float  # by the quota's clock


class Quota:
    """Admits new jobs of a user up to the limits: these, unless others are set for the user."""

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
        self._storage = storage
        self._count_lifetime_seconds = count_lifetime_seconds
        self._clock = clock
        self._counts: dict[UUID, _Count] = {}

    @asynccontextmanager
    async def admit(self, owner_id: UUID, jobs: int = 1) -> AsyncIterator[asyncpg.Connection]:
        """Yield a connection on which to create that many jobs, in a transaction if there are several.

        Raises TooManyActiveJobs, and QuotaExceeded for what they store.
        """
        is_stored_far_below = self._storage is None or self._storage.is_far_below(owner_id)
        if jobs == 1 and self._is_far_below(owner_id) and is_stored_far_below:
            async with self._database.connection() as connection:
                yield connection
            return
        async with self._database.transaction() as connection:
            await self._check(connection, owner_id, jobs)
            if self._storage is None:
                yield connection
                return
            async with self._storage.checked(connection, owner_id):
                yield connection

    def _is_far_below(self, owner_id: UUID) -> bool:
        count = self._counts.get(owner_id)
        if count is None:
            return False
        is_recent = self._clock() - count.counted_at < self._count_lifetime_seconds
        return is_recent and count.active + SLACK < count.limit

    async def _check(self, connection: asyncpg.Connection, owner_id: UUID, jobs: int) -> None:
        own = await quotas.lock(connection, owner_id)
        limit = self._limit if own is None or own.max_active_jobs is None else own.max_active_jobs
        active = await queries.active_of_owner(connection, owner_id, limit=limit)
        if active + jobs > limit:
            raise TooManyActiveJobs(active=active, limit=limit)
        if len(self._counts) >= MAX_REMEMBERED:
            self._counts.clear()
        self._counts[owner_id] = _Count(active, limit, self._clock())
