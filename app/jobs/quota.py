"""The limit on a user's unfinished jobs, and on their bytes: exact near the limit, free far below it.

Parallel requests that count before they insert would exceed any limit, so the count is made under a lock on
the user's row. The lock also makes requests of one user wait for each other's commits. Far below the limit,
by more than a second of requests can add, the last count is accurate enough and no lock is taken.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Final
from uuid import UUID

import asyncpg

from app.core.database import Database
from app.jobs.errors import TooManyActiveJobs
from app.jobs.shards import queries as shards
from app.quotas import queries as quotas
from app.quotas.errors import QuotaExceeded
from app.quotas.service import SLACK_BYTES, StorageQuota

SLACK: Final = 10_000
FEW_JOBS: Final = 100
"""Jobs of a user that one transaction may create unchecked: so few at a time do not use up the slack."""

COUNT_LIFETIME_SECONDS: Final = 1.0
MAX_REMEMBERED: Final = 10_000


@dataclass(slots=True)
class _Count:
    active: int
    limit: int
    counted_at: float  # by the quota's clock
    is_being_renewed: bool = False


@dataclass(frozen=True, slots=True)
class Room:
    """How many jobs a user may still create, and how many bytes these may store with the error for more.

    `bytes_left` is None if there is no limit, or if the user is far below it.
    """

    jobs: int
    jobs_error: TooManyActiveJobs
    bytes_left: tuple[int, QuotaExceeded] | None


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
        free = jobs == 1 and self.is_free(owner_id)
        connections = self._database.connection() if free else self.admit_counted(owner_id, jobs)
        async with connections as connection:
            yield connection

    @asynccontextmanager
    async def admit_counted(self, owner_id: UUID, jobs: int = 1) -> AsyncIterator[asyncpg.Connection]:
        """Yield a connection like `admit`, in a transaction that has counted the jobs of the user.

        Raises TooManyActiveJobs, and QuotaExceeded for what they store.
        """
        async with self._database.transaction() as connection:
            await self._check(connection, owner_id, jobs)
            if self._storage is None:
                yield connection
                return
            async with self._storage.checked(connection, owner_id):
                yield connection

    @asynccontextmanager
    async def admit_retries(
        self, owner_id: UUID, job_ids: Sequence[UUID], *, from_start: bool = False
    ) -> AsyncIterator[asyncpg.Connection]:
        """Yield a connection on which to retry these jobs, as `admit` does for new ones.

        A job counts as one, and each shard that it makes pending as one more. Shards of a job that has ended
        change with its retry only, so they are counted before. Raises TooManyActiveJobs and QuotaExceeded.
        """
        async with self._database.connection() as connection:
            reopened = await shards.reopened(connection, owner_id, job_ids, from_start=from_start)
        async with self.admit(owner_id, len(job_ids) + reopened) as connection:
            yield connection

    def is_free(self, owner_id: UUID) -> bool:
        """Whether the next job of a user may be created on any connection; if not, use `admit_counted`.

        Once half of the lifetime of a count is over, one request counts again, so that the others need not
        wait for each other when it ends.
        """
        is_stored_far_below = self._storage is None or self._storage.is_far_below(owner_id)
        if not self._is_far_below(owner_id) or not is_stored_far_below:
            return False
        count = self._counts[owner_id]
        if count.is_being_renewed or self._clock() - count.counted_at < self._count_lifetime_seconds / 2:
            return True
        count.is_being_renewed = True
        return False

    async def check(self, connection: asyncpg.Connection, owner_id: UUID, jobs: int) -> None:
        """Check that a user may create that many jobs in the caller's transaction. Raises TooManyActiveJobs.

        An unfinished shard counts like an unfinished job.
        """
        if jobs > FEW_JOBS or not self._is_far_below(owner_id):
            await self._check(connection, owner_id, jobs)

    async def room(self, connection: asyncpg.Connection, owner_id: UUID, jobs: int = 1) -> Room:
        """Return what a user may still create in the caller's transaction, which creates that many jobs.

        Near a limit, and for many jobs, it locks the user's row, as `admit` does. To avoid deadlocks, lock
        users in the order of their ids, and schedules before users.
        """
        if jobs <= FEW_JOBS and self._is_far_below(owner_id):
            count = self._counts[owner_id]
        else:
            count = await self._count(connection, owner_id)
        return Room(
            jobs=max(0, count.limit - count.active),
            jobs_error=TooManyActiveJobs(active=count.active, limit=count.limit),
            bytes_left=await self._bytes_left(connection, owner_id),
        )

    async def _bytes_left(
        self, connection: asyncpg.Connection, owner_id: UUID
    ) -> tuple[int, QuotaExceeded] | None:
        if self._storage is None or self._storage.is_far_below(owner_id):
            return None
        left = await self._storage.bytes_left(connection, owner_id)
        if left is None or left[0] > SLACK_BYTES:
            return None
        await quotas.lock(connection, owner_id)
        return await self._storage.bytes_left(connection, owner_id)

    def _is_far_below(self, owner_id: UUID) -> bool:
        count = self._counts.get(owner_id)
        if count is None:
            return False
        is_recent = self._clock() - count.counted_at < self._count_lifetime_seconds
        return is_recent and count.active + SLACK < count.limit

    async def _check(self, connection: asyncpg.Connection, owner_id: UUID, jobs: int) -> None:
        count = await self._count(connection, owner_id)
        if count.active + jobs > count.limit:
            raise TooManyActiveJobs(active=count.active, limit=count.limit)

    async def _count(self, connection: asyncpg.Connection, owner_id: UUID) -> _Count:
        """Count the active jobs of a user under a lock on the user's row, and remember the count."""
        own = await quotas.lock(connection, owner_id)
        limit = self._limit if own is None or own.max_active_jobs is None else own.max_active_jobs
        active = await quotas.active_jobs(connection, owner_id, limit=limit)
        if len(self._counts) >= MAX_REMEMBERED:
            self._counts.clear()
        count = _Count(active, limit, self._clock())
        self._counts[owner_id] = count
        return count
