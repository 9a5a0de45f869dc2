"""Reads of the shards of a job."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self
from uuid import UUID

import asyncpg

from app.core.rows import Row
from app.core.sql import Statement
from app.jobs.job import Attempt, Job
from app.jobs.names import names, worker_name
from app.jobs.schemas import JobError, UsageView
from app.jobs.states import Status

MAX_ATTEMPTS: Final = 1000
"""So many attempts at the shards of a job are listed, the newest."""

# What is stored of each shard of this job?
_STORED: Final = Statement("""
SELECT id, first_row, next_batch, done, errors FROM jobs WHERE parent_id = :parent_id ORDER BY shard_no""")

# Which shards has this job, from a number on?
_PAGE: Final = Statement(f"""
SELECT s.*, {worker_name("s")} AS worker FROM jobs s
WHERE s.parent_id = :parent_id AND s.shard_no >= :first AND (:status::text IS NULL OR s.status = :status)
ORDER BY s.shard_no LIMIT :limit""")

# How many shards of this job are in each status?
_COUNTS: Final = Statement("""
SELECT status, count(*) AS shards FROM jobs WHERE parent_id = :parent_id GROUP BY status""")


# Which shard of this job waits, and is claimed first?
_NEXT_PENDING: Final = Statement(f"""
SELECT *, {names("jobs")} FROM jobs WHERE parent_id = :parent_id AND status = 'pending'
ORDER BY run_at > now(), sort_key, id LIMIT 1""")

# Which running shards of this job process the fewest rows per second, since their attempts began?
_SLOWEST: Final = Statement(f"""
SELECT *, rows / seconds AS rows_per_second FROM (
    SELECT s.shard_no, s.id, {worker_name("s")} AS worker, s.done - s.attempt_first_row AS rows,
        greatest(extract(epoch FROM now() - s.attempt_started_at)::float8, 0.001) AS seconds
    FROM jobs s WHERE s.parent_id = :parent_id AND s.status = 'running'
) running ORDER BY rows_per_second, seconds DESC, shard_no LIMIT :limit""")

# Which shards of this job have failed, and wait for their next attempt?
_RETRYING: Final = Statement("""
SELECT s.*, NULL AS worker FROM jobs s
WHERE s.parent_id = :parent_id AND s.status = 'pending' AND s.failures > 0
ORDER BY s.shard_no LIMIT :limit""")

# How many shards does a retry of these jobs of an owner make pending?
_REOPENED: Final = Statement("""
SELECT count(*) FROM jobs
WHERE parent_id = ANY (:parent_ids) AND owner_id = :owner_id
    AND (status IN ('failed', 'cancelled') OR :from_start::boolean AND status = 'completed')""")

# Which attempts at the shards of this job ended last?
_ATTEMPTS: Final = Statement(f"""
SELECT a.*, coalesce(a.worker_name, w.name) AS worker, s.shard_no
FROM jobs s JOIN job_attempts a ON a.job_id = s.id LEFT JOIN workers w ON w.id = a.worker_id
WHERE s.parent_id = :parent_id
ORDER BY a.ended_at DESC, s.shard_no DESC, a.attempt DESC LIMIT {MAX_ATTEMPTS}""")

# What have the ended attempts at the shards of this job used together?
_USAGE: Final = Statement("""
SELECT count(*) AS attempts, sum(a.rows)::bigint AS rows, sum(a.cpu_seconds) AS cpu_seconds,
    coalesce(sum(extract(epoch FROM a.ended_at - a.started_at)), 0)::float8 AS run_seconds,
    max(a.memory_peak_bytes) AS memory_peak_bytes
FROM jobs s JOIN job_attempts a ON a.job_id = s.id WHERE s.parent_id = :parent_id""")


@dataclass(frozen=True)
class StoredShard:
    """The first `rows` rows of a shard, in `batches`; the shard begins with row `first_row` of the input.

    A job without shards is read as one.
    """

    job_id: UUID
    first_row: int
    batches: int
    rows: int
    errors: int

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read the row of a shard."""
        return cls(row["id"], row["first_row"], row["next_batch"], row["done"], row["errors"])

    @property
    def end(self) -> int:
        """The number of the row after its last one."""
        return self.first_row + self.rows


@dataclass(frozen=True)
class ListedShard:
    """A shard as a list shows it. `worker` is the name of the worker on which it runs."""

    number: int
    job_id: UUID
    first_row: int
    rows: int
    status: Status
    done: int
    errors: int
    attempt: int
    failures: int
    max_attempts: int
    worker: str | None
    run_at: datetime
    attempt_started_at: datetime | None
    error: JobError | None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of `jobs` that is a shard, with the name of its worker."""
        return cls(
            number=row["shard_no"],
            job_id=row["id"],
            first_row=row["first_row"],
            rows=row["total"],
            status=Status(row["status"]),
            done=row["done"],
            errors=row["errors"],
            attempt=row["attempt"],
            failures=row["failures"],
            max_attempts=row["max_attempts"],
            worker=row["worker"],
            run_at=row["run_at"],
            attempt_started_at=row["attempt_started_at"],
            error=row["error"],
        )


@dataclass(frozen=True)
class RunningShard:
    """A shard that runs: its present attempt has processed `rows` in `seconds`."""

    number: int
    job_id: UUID
    worker: str | None
    rows: int
    seconds: float
    rows_per_second: float

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of the query."""
        return cls(
            number=row["shard_no"],
            job_id=row["id"],
            worker=row["worker"],
            rows=row["rows"],
            seconds=row["seconds"],
            rows_per_second=row["rows_per_second"],
        )


async def stored(connection: asyncpg.Connection, parent_id: UUID) -> list[StoredShard]:
    """Return what is stored of each shard of a job, in order."""
    return [StoredShard.from_row(row) for row in await _STORED.fetch(connection, parent_id=parent_id)]


async def page(
    connection: asyncpg.Connection, parent_id: UUID, status: Status | None, *, first: int, limit: int
) -> list[ListedShard]:
    """Return the shards of a job from a number on, those with this status; None: with any."""
    rows = await _PAGE.fetch(connection, parent_id=parent_id, status=status, first=first, limit=limit)
    return [ListedShard.from_row(row) for row in rows]


async def counts(connection: asyncpg.Connection, parent_id: UUID) -> dict[Status, int]:
    """Return how many shards of a job are in each status."""
    rows = await _COUNTS.fetch(connection, parent_id=parent_id)
    return dict.fromkeys(Status, 0) | {Status(row["status"]): row["shards"] for row in rows}


async def next_pending(connection: asyncpg.Connection, parent_id: UUID) -> Job | None:
    """Return the shard of a job that is claimed next; None if none waits."""
    row = await _NEXT_PENDING.fetchrow(connection, parent_id=parent_id)
    return None if row is None else Job.from_row(row)


async def slowest(connection: asyncpg.Connection, parent_id: UUID, *, limit: int) -> list[RunningShard]:
    """Return the running shards of a job that process the fewest rows per second."""
    return [
        RunningShard.from_row(row)
        for row in await _SLOWEST.fetch(connection, parent_id=parent_id, limit=limit)
    ]


async def retrying(connection: asyncpg.Connection, parent_id: UUID, *, limit: int) -> list[ListedShard]:
    """Return the shards of a job that wait for their next attempt after a failure, in order."""
    rows = await _RETRYING.fetch(connection, parent_id=parent_id, limit=limit)
    return [ListedShard.from_row(row) for row in rows]


async def reopened(
    connection: asyncpg.Connection, owner_id: UUID, parent_ids: Sequence[UUID], *, from_start: bool
) -> int:
    """Return how many shards become pending if these jobs of an owner, which have ended, are retried."""
    found: int = await _REOPENED.fetchval(
        connection, owner_id=owner_id, parent_ids=list(parent_ids), from_start=from_start
    )
    return found


async def attempts(connection: asyncpg.Connection, parent_id: UUID) -> list[Attempt]:
    """Return the ended attempts at the shards of a job, the newest first, at most MAX_ATTEMPTS."""
    rows = await _ATTEMPTS.fetch(connection, parent_id=parent_id)
    return [Attempt.from_row(row) for row in rows]


async def usage(connection: asyncpg.Connection, parent_id: UUID) -> UsageView:
    """Return what all ended attempts at the shards of a job have used together."""
    row = await _USAGE.fetchrow(connection, parent_id=parent_id)
    assert row is not None  # noqa: S101  # a row of aggregates
    return UsageView(
        attempts=row["attempts"],
        run_seconds=row["run_seconds"],
        rows=row["rows"],
        cpu_seconds=row["cpu_seconds"],
        memory_peak_bytes=row["memory_peak_bytes"],
    )
