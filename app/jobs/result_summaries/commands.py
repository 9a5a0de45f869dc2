"""Keeps summaries."""

from typing import Final

import asyncpg

from app.core.sql import Statement
from app.jobs.job import Job
from app.jobs.result_summaries.schemas import ResultSummary

# Keep the summary of a job whose results are still those that were summed up. No row if they are not.
# The lock keeps them from being pruned meanwhile, or the summary would outlive them.
_KEEP: Final = Statement("""
INSERT INTO job_result_summaries (job_id, attempt, done, summary)
SELECT id, attempt, done, :summary FROM jobs
WHERE id = :job_id AND attempt = :attempt AND done = :done AND pruned_at IS NULL FOR SHARE
ON CONFLICT (job_id) DO UPDATE SET
    attempt = EXCLUDED.attempt, done = EXCLUDED.done, summary = EXCLUDED.summary
RETURNING job_id""")


async def keep(connection: asyncpg.Connection, job: Job, summary: ResultSummary) -> bool:
    """Keep the summary of the results that this job had when it was read.

    Return False if it was retried, pruned or deleted meanwhile: then the summary may lack results.
    """
    kept = await _KEEP.fetchval(
        connection, job_id=job.id, attempt=job.attempt, done=job.done, summary=dict(summary)
    )
    return kept is not None
