"""Reads of what needs attention. Each returns few rows, and reads as few as it can.

A query about one owner and the same about all are two statements: in one, the planner could not use the index
that begins with the owner.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Self
from uuid import UUID

import asyncpg

from app.attention.schemas import AttentionCode
from app.core.rows import Row
from app.core.sql import ScopedStatement, Statement
from app.jobs.model_name import MODEL_REFERENCE

MAX_COUNTED: Final = 10_001
MAX_OF_EACH: Final = 20
FAILURES_IN_A_ROW: Final = 2
"""A schedule needs attention when this many jobs in a row have failed."""

_IS_LIVE: Final = "w.seen_at > now() - :lease::interval"


# Which errors and models do the dead letters of this owner have in common?
_DEAD_LETTERS: Final = ScopedStatement.of(
    lambda owned: (
        f"""
SELECT error ->> 'code' AS error, model, count(*) AS count, min(finished_at) AS since,
    (array_agg(id ORDER BY id DESC))[1] AS job_id
FROM (
    SELECT id, error, {MODEL_REFERENCE} AS model, finished_at FROM jobs j
    WHERE {owned} status = 'failed' AND dismissed_at IS NULL AND parent_id IS NULL
    ORDER BY id DESC LIMIT {MAX_COUNTED}
) dead
GROUP BY error ->> 'code', model ORDER BY count DESC, job_id DESC LIMIT {MAX_OF_EACH}"""
    )
)

# In which queues, that no worker serves, are jobs of this owner due? It goes from queue to queue, however
# many jobs wait in each. A job is never due before its sort key. Of a job with shards, these are due; here
# and below, they count as that one job.
_QUEUES_WITHOUT_WORKER: Final = ScopedStatement.of(
    lambda owned: (
        f"""
WITH RECURSIVE queues (name) AS (
    (SELECT queue FROM jobs WHERE {owned} status = 'pending' AND shards IS NULL ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (
        SELECT j.queue FROM jobs j
        WHERE {owned} j.status = 'pending' AND j.shards IS NULL AND j.queue > queues.name
        ORDER BY j.queue LIMIT 1)
    FROM queues WHERE queues.name IS NOT NULL
)
SELECT queues.name AS queue, due.count, due.since
FROM queues CROSS JOIN LATERAL (
    SELECT count(DISTINCT id) AS count, min(run_at) AS since FROM (
        SELECT coalesce(parent_id, id) AS id, run_at FROM jobs
        WHERE {owned} status = 'pending' AND shards IS NULL AND queue = queues.name
            AND sort_key <= now() AND run_at <= now()
        LIMIT {MAX_COUNTED}
    ) waiting
) due
WHERE queues.name IS NOT NULL AND due.count > 0 AND NOT EXISTS (
    SELECT FROM workers w
    WHERE {_IS_LIVE} AND w.stopping_at IS NULL AND queues.name = ANY (w.queues))
    AND NOT EXISTS (SELECT FROM paused_queues p WHERE p.name = queues.name)
ORDER BY due.count DESC, queue LIMIT {MAX_OF_EACH}"""
    )
)

# In which paused queues do jobs of this owner wait?
_PAUSED_QUEUES: Final = ScopedStatement.of(
    lambda owned: (
        f"""
SELECT p.name AS queue, u.username AS name, p.reason, p.paused_at AS since, waiting.count
FROM paused_queues p LEFT JOIN users u ON u.id = p.paused_by CROSS JOIN LATERAL (
    SELECT count(DISTINCT id) AS count FROM (
        SELECT coalesce(parent_id, id) AS id FROM jobs
        WHERE {owned} status = 'pending' AND shards IS NULL AND queue = p.name LIMIT {MAX_COUNTED}
    ) counted
) waiting
WHERE waiting.count > 0 ORDER BY p.paused_at, p.name LIMIT {MAX_OF_EACH}"""
    )
)


def _workers(state: str, since: str) -> Statement:
    return Statement(f"""
SELECT w.name AS worker, {since} AS since,
    (SELECT count(DISTINCT coalesce(j.parent_id, j.id)) FROM jobs j
        WHERE j.worker_id = w.id AND j.status = 'running') AS count
FROM workers w WHERE {state} ORDER BY since DESC LIMIT {MAX_OF_EACH}""")


# Which workers have not renewed their lease, and how many jobs have not been taken from them yet?
_LOST: Final = _workers(f"NOT {_IS_LIVE}", "w.seen_at")

# Which workers are about to stop, and how many jobs still run on them?
_DRAINING: Final = _workers(f"{_IS_LIVE} AND w.stopping_at IS NOT NULL", "w.stopping_at")

# Of which schedules of this owner have the last jobs failed?
_FAILING_SCHEDULES: Final = ScopedStatement.of(
    lambda owned: (
        f"""
SELECT s.id AS schedule_id, s.name, last.failures AS count, last.since
FROM schedules s CROSS JOIN LATERAL (
    SELECT count(*) AS failures, min(finished_at) AS since
    FROM (
        SELECT status, finished_at, bool_and(status = 'failed') OVER (ORDER BY id DESC) AS is_failing
        FROM (
            SELECT id, status, finished_at FROM jobs
            WHERE schedule_id = s.id AND status IN ('completed', 'failed')
            ORDER BY id DESC LIMIT {MAX_OF_EACH}
        ) recent
    ) ended WHERE is_failing
) last
WHERE {owned} s.status = 'active' AND last.failures >= {FAILURES_IN_A_ROW}
ORDER BY last.failures DESC, s.id LIMIT {MAX_OF_EACH}"""
    )
)

# Which schedules of this owner had ticks without a job during the last day?
_SKIPPED: Final = ScopedStatement.of(
    lambda owned: (
        f"""
SELECT s.id AS schedule_id, s.name, sum(coalesce(f.count, 1))::bigint AS count, min(f.fire_at) AS since
FROM schedules s JOIN schedule_firings f ON f.schedule_id = s.id
WHERE {owned} s.status = 'active' AND f.outcome IN ('skipped', 'missed', 'refused')
    AND f.fire_at > now() - interval '1 day'
GROUP BY s.id ORDER BY count DESC, s.id LIMIT {MAX_OF_EACH}"""
    )
)

# To which subscriptions of this owner do deliveries fail?
_FAILING_DELIVERIES: Final = Statement(f"""
SELECT id AS subscription_id, name, failures AS count, failing_since AS since
FROM subscriptions
WHERE owner_id = :owner_id AND status = 'active' AND failing_since IS NOT NULL
ORDER BY failing_since, id LIMIT {MAX_OF_EACH}""")


@dataclass(frozen=True)
class Finding:
    """One thing that needs attention."""

    code: AttentionCode
    count: int
    since: datetime
    facts: dict[str, Any]

    @classmethod
    def from_row(cls, row: Row, code: AttentionCode, *facts: str) -> Self:
        """Read a row of one of the queries, with these columns as facts."""
        return cls(code, row["count"], row["since"], {fact: row[fact] for fact in facts})


async def of_jobs(connection: asyncpg.Connection, owner_id: UUID | None, lease: timedelta) -> list[Finding]:
    """Return what needs the attention of an owner of jobs, None: of the owners of all."""

    async def read(
        statement: ScopedStatement, code: AttentionCode, *facts: str, **values: object
    ) -> list[Finding]:
        rows = await statement.fetch(connection, owner_id, **values)
        return [Finding.from_row(row, code, *facts) for row in rows]

    return [
        *await read(_DEAD_LETTERS, AttentionCode.DEAD_LETTERS, "error", "model", "job_id"),
        *await read(_QUEUES_WITHOUT_WORKER, AttentionCode.QUEUE_WITHOUT_WORKER, "queue", lease=lease),
        *await read(_PAUSED_QUEUES, AttentionCode.QUEUE_PAUSED, "queue", "name", "reason"),
        *await read(_FAILING_SCHEDULES, AttentionCode.SCHEDULE_FAILING, "schedule_id", "name"),
        *await read(_SKIPPED, AttentionCode.SCHEDULE_SKIPPED, "schedule_id", "name"),
    ]


async def of_workers(connection: asyncpg.Connection, lease: timedelta) -> list[Finding]:
    """Return the workers that are lost or about to stop."""
    lost = await _LOST.fetch(connection, lease=lease)
    draining = await _DRAINING.fetch(connection, lease=lease)
    return [
        *(Finding.from_row(row, AttentionCode.WORKER_LOST, "worker") for row in lost),
        *(Finding.from_row(row, AttentionCode.WORKER_DRAINING, "worker") for row in draining),
    ]


async def of_subscriptions(connection: asyncpg.Connection, owner_id: UUID) -> list[Finding]:
    """Return the subscriptions of an owner to which deliveries fail."""
    rows = await _FAILING_DELIVERIES.fetch(connection, owner_id=owner_id)
    code = AttentionCode.DELIVERY_FAILING
    return [Finding.from_row(row, code, "subscription_id", "name") for row in rows]
