"""Reads of queues: how many jobs run, and what a waiting job waits for."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self

import asyncpg

from app.core.rows import Row
from app.core.sql import Statement
from app.jobs.job import Job

MAX_COUNTED: Final = 10_000
"""Jobs ahead in the queue are counted up to this number; beyond it, the exact position is not known."""

RECENT_ATTEMPTS: Final = 50

# How many jobs are running?
_RUNNING: Final = Statement("SELECT count(*) FROM jobs WHERE status = 'running'")

# What does this pending job wait for: which jobs are ahead of it, and which workers serve its queue?
# The limits are literals: with parameters, Postgres would make a new plan each time, which takes longer than
# the query itself.
_CIRCUMSTANCES: Final = Statement(f"""
WITH ahead AS (
    SELECT owner_id FROM jobs
    WHERE queue = :queue AND status = 'pending' AND (sort_key, id) < (:sort_key, :job_id) AND run_at <= now()
    ORDER BY sort_key, id LIMIT {MAX_COUNTED}
), serving AS (
    SELECT id, slots, kinds FROM workers
    WHERE seen_at > now() - :lease::interval AND stopping_at IS NULL AND :queue = ANY (queues)
), recent AS (
    SELECT a.ended_at - a.started_at AS duration FROM job_attempts a
    WHERE a.queue = :queue ORDER BY a.ended_at DESC LIMIT {RECENT_ATTEMPTS}
)
SELECT now() AS now,
    (SELECT count(*) FROM ahead) AS ahead,
    (SELECT count(*) FROM ahead WHERE owner_id = :owner_id) AS own_ahead,
    (SELECT count(*) FROM serving) AS workers,
    (SELECT coalesce(sum(slots), 0) FROM serving) AS slots,
    (SELECT count(*) FROM jobs j JOIN serving s ON s.id = j.worker_id WHERE j.status = 'running') AS busy,
    (SELECT count(*) FROM jobs WHERE status = 'running' AND owner_id = :owner_id) AS own_running,
    (SELECT count(*) FROM serving WHERE :kind = ANY (kinds)) AS able_workers,
    (SELECT extract(epoch FROM avg(duration))::float8 FROM recent) AS attempt_seconds""")


@dataclass(frozen=True)
class Circumstances:
    """What a pending job waits for, at the moment `now` of the database's clock.

    `ahead` jobs are due before it, `own_ahead` of them its owner's. `workers` serve its queue with `slots`,
    of which `busy` are taken, and `able_workers` of them know its kind. `own_running` jobs of its owner run.
    Recent attempts in the queue took `attempt_seconds` on average; None if there were none.
    """

    now: datetime
    ahead: int
    own_ahead: int
    workers: int
    slots: int
    busy: int
    own_running: int
    able_workers: int
    attempt_seconds: float | None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read the row of the query."""
        return cls(
            now=row["now"],
            ahead=row["ahead"],
            own_ahead=row["own_ahead"],
            workers=row["workers"],
            slots=row["slots"],
            busy=row["busy"],
            own_running=row["own_running"],
            able_workers=row["able_workers"],
            attempt_seconds=row["attempt_seconds"],
        )


async def running(connection: asyncpg.Connection) -> int:
    """Return how many jobs are running."""
    count: int = await _RUNNING.fetchval(connection)
    return count


async def circumstances(connection: asyncpg.Connection, job: Job, *, lease: timedelta) -> Circumstances:
    """Return what a pending job waits for. A worker counts if it was seen within the lease."""
    row = await _CIRCUMSTANCES.fetchrow(
        connection,
        queue=job.queue,
        sort_key=job.sort_key,
        job_id=job.id,
        lease=lease,
        owner_id=job.owner_id,
        kind=job.kind,
    )
    assert row is not None  # noqa: S101  # a query without FROM has exactly one row
    return Circumstances.from_row(row)
