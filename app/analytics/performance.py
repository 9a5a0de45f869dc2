"""Reads of how the worker pool performs now: minutes, queues, and what the live workers use."""

# ruff: noqa: S608  # SQL put together from constants; values are parameters

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self
from uuid import UUID

import asyncpg

from app.analytics.facts import QUEUES, facts
from app.analytics.folding import SYSTEM_CODE
from app.analytics.queries import EXECUTED, NOT_FOLDED, OWNED, WATERMARK, consistent, span_of
from app.analytics.ranges import TimeRange
from app.core.rows import Row
from app.core.sql import Statement
from app.jobs import faults
from app.jobs.queues.queries import BUSY_SLOTS

MINUTES: Final = 60
RECENT_MINUTES: Final = 5

# How many jobs ended in each of the minutes from this instant on? One row for each minute.
_MINUTES: Final = Statement(f"""
WITH RECURSIVE {QUEUES}, tail AS MATERIALIZED (
    {facts(NOT_FOLDED, OWNED)}
), items AS (
    SELECT at, jobs, rows, job_status, outcome, code = '{SYSTEM_CODE}' AS is_of_system
    FROM job_stats WHERE owner_id = :owner_id AND step = 'minute' AND at >= :since
    UNION ALL
    SELECT date_trunc('minute', ended_at, 'UTC'), jobs, rows, job_status, outcome,
        code = ANY (:system_codes::text[]) FROM tail
)
SELECT minute,
    coalesce(sum(jobs) FILTER (WHERE job_status = 'completed'), 0)::bigint AS completed,
    coalesce(sum(jobs) FILTER (WHERE job_status = 'failed'), 0)::bigint AS failed,
    coalesce(sum(jobs) FILTER (WHERE job_status = 'failed' AND is_of_system), 0)::bigint AS failed_by_system,
    coalesce(sum(jobs) FILTER (WHERE job_status = 'cancelled'), 0)::bigint AS cancelled,
    coalesce(sum(jobs) FILTER (WHERE {EXECUTED}), 0)::bigint AS executed,
    coalesce(sum(rows), 0)::bigint AS rows,
    now() AS as_of, {WATERMARK} AS folded_until
FROM generate_series(:since::timestamptz, now(), interval '1 minute') minute
LEFT JOIN items i ON i.at = minute
GROUP BY minute ORDER BY minute""")

# How many jobs of each queue were due, delayed and running at the last measurement?
_QUEUES: Final = Statement("""
SELECT queue, sum(due)::bigint AS due, sum(delayed)::bigint AS delayed, sum(running)::bigint AS running,
    extract(epoch FROM max(measured_at - oldest_due_at))::float8 AS oldest_due_seconds
FROM queue_stats CROSS JOIN system_stats GROUP BY queue ORDER BY queue""")

# What do the workers have and use that hold a valid lease?
# Slots for predictions alone are left out, and so are the jobs in them.
_FLEET: Final = Statement(f"""
WITH busy AS ({BUSY_SLOTS})
SELECT count(*) AS workers, coalesce(sum(w.slots), 0)::bigint AS slots,
    coalesce(sum(least(w.slots, b.slots)) FILTER (WHERE b.slots IS NOT NULL), 0)::bigint AS busy,
    coalesce(sum(w.cpu_percent), 0) AS cpu_percent, coalesce(sum(w.rss_bytes), 0)::bigint AS rss_bytes
FROM workers w LEFT JOIN busy b ON b.worker_id = w.id
WHERE w.seen_at > now() - :lease::interval""")


@dataclass(frozen=True)
class Minute:
    """What ended in one minute. `executed` jobs ran; `failed_by_system` are part of `failed`."""

    at: datetime
    completed: int
    failed: int
    failed_by_system: int
    cancelled: int
    executed: int
    rows: int

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of the query."""
        return cls(
            at=row["minute"],
            completed=row["completed"],
            failed=row["failed"],
            failed_by_system=row["failed_by_system"],
            cancelled=row["cancelled"],
            executed=row["executed"],
            rows=row["rows"],
        )


@dataclass(frozen=True)
class Minutes:
    """The last minutes, of which the present one has just begun."""

    as_of: datetime
    minutes: tuple[Minute, ...]

    @property
    def recent(self) -> Sequence[Minute]:
        """The last whole minutes."""
        return self.minutes[-RECENT_MINUTES - 1 : -1]

    @property
    def executed_per_second(self) -> float:
        """How many jobs ran and ended per second, in the last whole minutes."""
        return sum(minute.executed for minute in self.recent) / (60 * RECENT_MINUTES)


@dataclass(frozen=True)
class Queue:
    """The unfinished jobs of one queue."""

    queue: str
    due: int
    delayed: int
    running: int
    oldest_due_seconds: float | None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of the query."""
        return cls(row["queue"], row["due"], row["delayed"], row["running"], row["oldest_due_seconds"])


@dataclass(frozen=True)
class Fleet:
    """The live workers: how many slots they have, how many of them run jobs, and what they use.

    Slots for predictions alone, and the jobs in them, are not counted.
    """

    workers: int
    slots: int
    busy: int
    cpu_percent: float
    rss_bytes: int

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read the row of the query."""
        return cls(row["workers"], row["slots"], row["busy"], row["cpu_percent"], row["rss_bytes"])


async def minutes(connection: asyncpg.Connection, owner_id: UUID, *, count: int = MINUTES) -> Minutes:
    """Return what ended in the last `count` minutes, the present one included."""
    span = await span_of(connection, owner_id, TimeRange.HOUR)
    since = span.now.replace(second=0, microsecond=0) - timedelta(minutes=count - 1)
    rows = await consistent(
        lambda folded_until: _MINUTES.fetch(
            connection,
            owner_id=owner_id,
            since=since,
            folded_until=folded_until,
            system_codes=sorted(faults.SYSTEM),
        ),
        span.folded_until,
    )
    return Minutes(rows[0]["as_of"], tuple(Minute.from_row(row) for row in rows)[-count:])


async def queues(connection: asyncpg.Connection) -> list[Queue]:
    """Return the queues that had unfinished jobs at the last measurement."""
    return [Queue.from_row(row) for row in await _QUEUES.fetch(connection)]


async def fleet(connection: asyncpg.Connection, lease: timedelta) -> Fleet:
    """Return what the live workers have and use."""
    row = await _FLEET.fetchrow(connection, lease=lease)
    assert row is not None  # noqa: S101  # a row of aggregates
    return Fleet.from_row(row)
