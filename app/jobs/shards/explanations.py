"""Why a job with shards is in its present state: what its shards do, and what those wait for."""

from datetime import UTC, datetime
from typing import Any, Final

import asyncpg

from app.jobs import explanations
from app.jobs.explanations import STOPPING, ClaimConditions, Outlook, Reason, explanation
from app.jobs.job import Job
from app.jobs.schemas import Explanation
from app.jobs.shards import queries
from app.jobs.states import Status

MAX_SLOWEST: Final = 3
MAX_RETRYING: Final = 10


async def explain(connection: asyncpg.Connection, job: Job, conditions: ClaimConditions) -> Explanation:
    """Explain why a job with shards is in its state."""
    if job.has_ended:
        return await explanations.explain(connection, job, conditions)
    counts = await queries.counts(connection, job.id)
    if job.cancel_requested_at is not None:
        return explanation(job, Reason("cancel_requested", STOPPING, {"shards": counts}))
    outlook = None
    next_shard = None if counts[Status.RUNNING] else await queries.next_pending(connection, job.id)
    if next_shard is not None:
        outlook = await explanations.foresee(connection, next_shard, conditions)
    if job.status is Status.PENDING and outlook is not None:
        return _of_next(job, outlook.reason, outlook)
    return _of_next(job, await _running(connection, job, counts, outlook), outlook)


def _of_next(job: Job, reason: Reason, outlook: Outlook | None) -> Explanation:
    """Return the explanation of a job whose next shard has this outlook, if its shards only wait."""
    return explanation(
        job,
        reason,
        position=None if outlook is None else outlook.position,
        jobs_of_mine_ahead=None if outlook is None else outlook.mine_ahead,
        estimated_start_at=None if outlook is None else outlook.estimated_start_at,
        estimated_completion=job.estimated_completion(datetime.now(UTC)),
    )


async def _running(
    connection: asyncpg.Connection, job: Job, counts: dict[Status, int], outlook: Outlook | None
) -> Reason:
    retrying = await queries.retrying(connection, job.id, limit=MAX_RETRYING)
    facts: dict[str, Any] = {
        "shards": counts,
        "slowest": [
            {
                "shard": shard.number,
                "job_id": shard.job_id,
                "worker": shard.worker,
                "rows": shard.rows,
                "seconds": round(shard.seconds, 1),
                "rows_per_second": round(shard.rows_per_second, 1),
            }
            for shard in await queries.slowest(connection, job.id, limit=MAX_SLOWEST)
        ],
        "retrying": [
            {
                "shard": shard.number,
                "job_id": shard.job_id,
                "failures": shard.failures,
                "max_attempts": shard.max_attempts,
                "run_at": shard.run_at,
                "error": shard.error,
            }
            for shard in retrying
        ],
    }
    sentence = _sentence(counts)
    if outlook is not None:
        facts["waiting"] = {"code": outlook.reason.code, "facts": outlook.reason.facts}
        sentence = f"{sentence} The first that waits: {outlook.reason.sentence}"
    return Reason("running_shards", sentence, facts)


def _sentence(counts: dict[Status, int]) -> str:
    total, done = sum(counts.values()), counts[Status.COMPLETED]
    parts = [
        f"{done} of {total} shards {'is' if done == 1 else 'are'} done",
        f"{counts[Status.RUNNING]} {'runs' if counts[Status.RUNNING] == 1 else 'run'}",
        f"{counts[Status.PENDING]} {'waits' if counts[Status.PENDING] == 1 else 'wait'}",
    ]
    if failed := counts[Status.FAILED]:
        parts.append(f"{failed} {'has' if failed == 1 else 'have'} failed")
    return ", ".join(parts) + "."
