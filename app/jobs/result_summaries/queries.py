"""Reads of summaries."""

from typing import Final

import asyncpg
import msgspec

from app.core.sql import Statement
from app.jobs.job import Job
from app.jobs.result_summaries.schemas import ResultSummary

# Which summary has this job, if its results are still those that were summed up?
_KEPT: Final = Statement("""
SELECT summary FROM job_result_summaries
WHERE job_id = :job_id AND attempt = :attempt AND done = :done""")


async def kept(connection: asyncpg.Connection, job: Job) -> ResultSummary | None:
    """Return the summary of the results that a job has now; None if there is none."""
    found = await _KEPT.fetchval(connection, job_id=job.id, attempt=job.attempt, done=job.done)
    return None if found is None else msgspec.convert(found, ResultSummary)
