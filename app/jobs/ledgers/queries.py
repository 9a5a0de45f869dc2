"""Reads of the stored batches of a job by attempt."""

from typing import Final
from uuid import UUID

import asyncpg

from app.core.sql import Statement
from app.jobs.ledgers.schemas import StoredRun

# Which batches of this job did each attempt store? They are consecutive.
_RUNS: Final = Statement("""
SELECT attempt, min(index) AS first, max(index) AS last, sum(row_count)::bigint AS rows
FROM job_batches WHERE job_id = :job_id GROUP BY attempt ORDER BY first""")


async def runs(connection: asyncpg.Connection, job_id: UUID) -> list[StoredRun]:
    """Return what each attempt at a job has stored, in order; attempts that stored nothing are left out."""
    return [
        StoredRun(attempt=row["attempt"], first=row["first"], last=row["last"], rows=row["rows"])
        for row in await _RUNS.fetch(connection, job_id=job_id)
    ]
