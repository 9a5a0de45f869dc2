"""The SQL for what ended: one row for each ended attempt, and one for each job that ended without one.

The columns are those of `job_stats`. Text only: `folding` and `queries` add the rows up.
"""

from typing import Final
from uuid import UUID

from app.jobs.model_name import MODEL_NAME

# ruff: noqa: S608  # SQL put together from constants; values are parameters

ALL_USERS: Final = UUID(int=0)
"""The owner of the statistics about the jobs of all users."""

QUEUES: Final = """queues (name) AS (
    SELECT min(queue) FROM job_attempts
    UNION ALL
    SELECT (SELECT min(queue) FROM job_attempts WHERE queue > q.name) FROM queues q WHERE q.name IS NOT NULL
)"""
"""The queues in which attempts have ended, by a loose scan of an index. It needs WITH RECURSIVE."""

_IN_QUEUE: Final = """FROM queues q CROSS JOIN LATERAL (
            SELECT * FROM job_attempts WHERE queue = q.name AND {}) a"""

# Workers of an earlier version write attempts without owner, status and model. Their jobs have them, and an
# attempt that failed or was rescued has ended its job if the job failed in it.
_OWNER: Final = "coalesce(a.owner_id, (SELECT j.owner_id FROM jobs j WHERE j.id = a.job_id))"

_JOB_STATUS: Final = """coalesce(a.job_status, CASE
        WHEN a.outcome IN ('completed', 'cancelled') THEN a.outcome
        WHEN a.outcome IN ('failed', 'rescued') AND EXISTS (
            SELECT FROM job_events e WHERE e.job_id = a.job_id AND e.type = 'failed'
                AND (e.data ->> 'attempt')::int = a.attempt) THEN 'failed'
        ELSE 'pending' END)"""

_MODEL: Final = f"""CASE WHEN a.owner_id IS NOT NULL THEN coalesce(a.model, '')
        ELSE coalesce((SELECT {MODEL_NAME} FROM jobs j WHERE j.id = a.job_id), '') END"""

_ATTEMPT: Final = f"""
SELECT a.job_id, {_OWNER} AS owner_id, a.ended_at, a.kind, a.queue, {_MODEL} AS model, a.outcome,
    {_JOB_STATUS} AS job_status, coalesce(a.error ->> 'code', '') AS code, 1 AS attempts,
    extract(epoch FROM a.ended_at - a.started_at)::float8 AS run_seconds,
    greatest(extract(epoch FROM a.started_at - a.due_at)::float8, 0) AS wait_seconds,
    coalesce(a.rows, 0) AS rows, a.cpu_seconds, a.memory_peak_bytes"""

# The job that its owner has submitted: of an attempt at a shard, the parent.
_SUBMITTED: Final = "coalesce((SELECT j.parent_id FROM jobs j WHERE j.id = f.job_id), f.job_id)"

_END: Final = """
SELECT e.job_id, e.owner_id, e.ended_at, e.kind, e.queue, e.model,
    CASE WHEN e.status = 'cancelled' AND e.run_seconds IS NOT NULL THEN 'cancelled' ELSE '' END,
    e.status, e.code, 0, e.run_seconds,
    NULL::float8, 0, NULL::float8, NULL::bigint
FROM job_ends e"""


def facts(ended: str, owner: str = "true") -> str:
    """Return the SQL for what ended, with the sums that one row contributes to.

    `ended` is a condition on `ended_at`, which an index answers queue by queue, and `owner` one on
    `owner_id`. The query needs `QUEUES`.
    """
    return f"""
SELECT f.*, f.is_end::int AS jobs, f.run_seconds AS run_seconds_max, f.wait_seconds AS wait_seconds_max,
    (f.cpu_seconds IS NOT NULL)::int AS measured_attempts,
    (f.cpu_seconds IS NOT NULL AND f.is_end)::int AS measured_jobs,
    CASE WHEN f.cpu_seconds IS NULL THEN 0 ELSE f.rows END AS measured_rows,
    CASE WHEN f.code <> '' THEN {_SUBMITTED} END AS last_job_id
FROM (
    SELECT *, job_status IN ('completed', 'failed', 'cancelled') AS is_end FROM (
        {_ATTEMPT} {_IN_QUEUE.format(ended)}
        UNION ALL
        {_END} WHERE {ended}
    ) either WHERE {owner}
) f"""


def intervals(ended: str, owner: str = "true") -> str:
    """Return the SQL for when attempts ran: those whose end meets a condition, and those that still run."""
    return f"""
SELECT * FROM (
    SELECT {_OWNER} AS owner_id, a.started_at, a.ended_at {_IN_QUEUE.format(ended)}
    UNION ALL
    SELECT owner_id, attempt_started_at, NULL FROM jobs WHERE status = 'running' AND shards IS NULL
) ran WHERE {owner}"""
