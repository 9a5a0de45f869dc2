"""Reads jobs for requests. Jobs that are asked for at the same time share a statement.

A statement starts after the last of its requests has come, so each of them sees what was committed before it.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from app.core.database import Database
from app.core.grouping import Grouping
from app.jobs import queries, service
from app.jobs.job import Job

MAX_INLINE_RESULTS: Final = 1000
"""A completed job includes its predictions if they are at most this many rows, and 1 MiB."""

MAX_AT_ONCE: Final = 8
"""Jobs in one statement, each perhaps with 1 MiB of predictions."""


class JobReader:
    """Reads the jobs of one process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._read: Grouping[UUID, Job | None] = Grouping(self._read_together, max_at_once=MAX_AT_ONCE)

    async def run_forever(self) -> None:
        """Read jobs together for requests that come while others are read, until cancelled."""
        await self._read.run_forever()

    async def read_own(self, owner_id: UUID | None, job_id: UUID) -> Job:
        """Return a job of this owner, None: of any, with its outputs if they are few.

        Raises JobNotFound, NotYourJob.
        """
        return service.ensure_own(owner_id, job_id, await self._read(job_id))

    async def _read_together(self, job_ids: Sequence[UUID]) -> Sequence[Job | None]:
        async with self._database.connection() as connection:
            if len(job_ids) == 1:
                return [await queries.job(connection, job_ids[0], inline_rows=MAX_INLINE_RESULTS)]
            found = await queries.jobs_by_id(connection, job_ids, inline_rows=MAX_INLINE_RESULTS)
        return [found.get(job_id) for job_id in job_ids]
