"""Reads for the overview: what waits, runs and has ended, in buckets of a minute to two hours."""

# ruff: noqa: S608  # SQL put together from constants; values are parameters

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self
from uuid import UUID

import asyncpg

from app.analytics.buckets import bucket_of, percentile
from app.analytics.facts import ALL_USERS, QUEUES, facts
from app.analytics.queries import NOT_FOLDED, OWNED, WATERMARK, consistent, span_of
from app.analytics.ranges import OverviewRange, Step, TimeRange
from app.analytics.tables import ONCE
from app.core.rows import Row
from app.core.sql import Statement

COUNTED: Final = 10_001
"""Counts of waiting and running jobs end here, shown as "10,000+"."""

MAX_MARKS: Final = 10


@dataclass(frozen=True)
class Layout:
    """The buckets of a range: how many, how long, and from which step of the statistics."""

    buckets: int
    width: timedelta
    step: Step


LAYOUTS: Final = {
    OverviewRange.HOUR: Layout(60, timedelta(minutes=1), Step.MINUTE),
    OverviewRange.DAY: Layout(96, timedelta(minutes=15), Step.MINUTE),
    OverviewRange.WEEK: Layout(84, timedelta(hours=2), Step.HOUR),
}

# What ended in each of the last buckets? One row for each, the present one included.
_BUCKETS: Final = Statement(f"""
WITH RECURSIVE {QUEUES}, tail AS MATERIALIZED (
    {facts(NOT_FOLDED, OWNED)}
), items AS (
    SELECT at, jobs, attempts, outcome, job_status, wait_seconds_max FROM job_stats
    WHERE owner_id = :owner_id AND step = :step AND at >= :since AND {ONCE}
    UNION ALL
    SELECT ended_at, jobs, attempts, outcome, job_status, wait_seconds_max FROM tail
), summed AS (
    SELECT date_bin(:width::interval, at, 'epoch') AS bucket,
        sum(jobs) FILTER (WHERE job_status = 'completed') AS completed,
        sum(jobs) FILTER (WHERE job_status = 'failed') AS failed,
        sum(jobs) FILTER (WHERE job_status = 'cancelled') AS cancelled,
        sum(attempts) FILTER (WHERE outcome = 'rescued') AS rescued,
        max(wait_seconds_max) AS longest
    FROM items GROUP BY bucket
), waited AS (
    SELECT date_bin(:width::interval, at, 'epoch') AS bucket, duration, sum(attempts)::bigint AS attempts
    FROM (
        SELECT at, bucket AS duration, attempts FROM job_durations
        WHERE owner_id = :owner_id AND step = :step AND at >= :since AND {ONCE} AND measure = 'wait'
        UNION ALL
        SELECT ended_at, {bucket_of("wait_seconds")}, 1 FROM tail WHERE attempts > 0
    ) durations GROUP BY 1, duration
), histograms AS (
    SELECT bucket, jsonb_object_agg(duration, attempts) AS counts FROM waited GROUP BY bucket
)
SELECT at, coalesce(s.completed, 0)::bigint AS completed, coalesce(s.failed, 0)::bigint AS failed,
    coalesce(s.cancelled, 0)::bigint AS cancelled, coalesce(s.rescued, 0)::bigint AS rescued,
    coalesce(s.longest, 0) AS longest, coalesce(h.counts, '{{}}') AS counts,
    now() AS as_of, {WATERMARK} AS folded_until
FROM generate_series(:since::timestamptz, now(), :width) AS series (at)
LEFT JOIN summed s ON s.bucket = at LEFT JOIN histograms h ON h.bucket = at
ORDER BY at""")

# How many jobs of this owner wait with each priority, and since when is the first of them due?
_PENDING_OF_OWNER: Final = Statement(f"""
SELECT priority, count(*) AS jobs,
    extract(epoch FROM now() - min(run_at) FILTER (WHERE run_at <= now()))::float8 AS oldest_seconds
FROM (
    SELECT priority, run_at FROM jobs WHERE owner_id = :owner_id AND status = 'pending' AND parent_id IS NULL
    LIMIT {COUNTED}
) counted GROUP BY priority""")

# The same for all users, at the last measurement.
_PENDING: Final = Statement(f"""
SELECT priority, least(sum(due + delayed), {COUNTED})::bigint AS jobs,
    extract(epoch FROM max(measured_at - oldest_due_at))::float8 AS oldest_seconds
FROM queue_stats CROSS JOIN system_stats WHERE due + delayed > 0 GROUP BY priority""")

# How many jobs run, and how many rows per second do they process together?
_RUNNING: Final = Statement(f"""
SELECT count(*) AS jobs, coalesce(sum((done - attempt_first_row)
    / greatest(extract(epoch FROM now() - attempt_started_at), 0.001)), 0)::float8 AS rows_per_second
FROM (
    SELECT * FROM jobs WHERE status = 'running' AND parent_id IS NULL AND {OWNED} LIMIT {COUNTED}
) running""")

# In which minutes were attempts taken from lost workers, the last first?
_MARKED: Final = Statement(f"""
WITH RECURSIVE {QUEUES}
SELECT at FROM job_stats
WHERE owner_id = :owner_id AND step = 'minute' AND at >= :since AND outcome = 'rescued'
UNION
SELECT date_trunc('minute', ended_at, 'UTC') FROM ({facts(NOT_FOLDED, OWNED)}) tail WHERE outcome = 'rescued'
ORDER BY at DESC LIMIT {MAX_MARKS}""")

# From which workers were attempts taken in this minute, and how many?
_LOST: Final = Statement(f"""
WITH RECURSIVE {QUEUES}
SELECT :minute::timestamptz AS at, a.worker_name AS worker, count(*) AS jobs
FROM queues q CROSS JOIN LATERAL (
    SELECT worker_name FROM job_attempts
    WHERE queue = q.name AND ended_at >= :minute AND ended_at < :until AND outcome = 'rescued' AND {OWNED}
) a
GROUP BY a.worker_name ORDER BY worker""")


@dataclass(frozen=True)
class Bucket:
    """What ended in one bucket. `counts` is the histogram of how long its attempts waited."""

    at: datetime
    completed: int
    failed: int
    cancelled: int
    rescued: int
    counts: Mapping[int, int]
    longest: float

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of the query."""
        return cls(
            at=row["at"],
            completed=row["completed"],
            failed=row["failed"],
            cancelled=row["cancelled"],
            rescued=row["rescued"],
            counts={int(bucket): count for bucket, count in row["counts"].items()},
            longest=row["longest"],
        )

    def waited(self, share: float) -> float | None:
        """The seconds that this share of the attempts did not wait longer than."""
        return percentile(self.counts, share, longest=self.longest)


@dataclass(frozen=True)
class Buckets:
    """The buckets of a range, the oldest first."""

    as_of: datetime
    buckets: tuple[Bucket, ...]

    def waited(self, share: float) -> float | None:
        """The seconds that this share of all attempts did not wait longer than."""
        counts: Counter[int] = Counter()
        for bucket in self.buckets:
            counts.update(bucket.counts)
        return percentile(counts, share, longest=max(bucket.longest for bucket in self.buckets))


@dataclass(frozen=True)
class Pending:
    """The jobs that wait with one priority, and for how long the first of them has been due."""

    priority: str
    jobs: int
    oldest_seconds: float | None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of the query."""
        return cls(row["priority"], row["jobs"], row["oldest_seconds"])


@dataclass(frozen=True)
class Running:
    """The jobs that run."""

    jobs: int
    rows_per_second: float

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read the row of the query."""
        return cls(row["jobs"], row["rows_per_second"])


@dataclass(frozen=True)
class Mark:
    """Attempts that were taken from one lost worker in one minute. `worker` is None if it is not known."""

    at: datetime
    worker: str | None
    jobs: int

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of the query."""
        return cls(row["at"], row["worker"], row["jobs"])


async def buckets(connection: asyncpg.Connection, owner_id: UUID, wanted: OverviewRange) -> Buckets:
    """Return what ended in each of the buckets of a range."""
    layout = LAYOUTS[wanted]
    span = await span_of(connection, owner_id, TimeRange.HOUR)
    since = _start(span.now, layout)
    rows = await consistent(
        lambda folded_until: _BUCKETS.fetch(
            connection,
            owner_id=owner_id,
            step=layout.step,
            width=layout.width,
            since=since,
            folded_until=folded_until,
        ),
        span.folded_until,
    )
    return Buckets(rows[0]["as_of"], tuple(Bucket.from_row(row) for row in rows)[-layout.buckets :])


async def pending(connection: asyncpg.Connection, owner_id: UUID) -> list[Pending]:
    """Return the jobs of an owner that wait, counted up to COUNTED.

    For ALL_USERS, as last measured: each shard that waits, and not the job that it belongs to.
    """
    if owner_id == ALL_USERS:
        return [Pending.from_row(row) for row in await _PENDING.fetch(connection)]
    return [Pending.from_row(row) for row in await _PENDING_OF_OWNER.fetch(connection, owner_id=owner_id)]


async def running(connection: asyncpg.Connection, owner_id: UUID) -> Running:
    """Return how many jobs of an owner run, counted up to COUNTED."""
    row = await _RUNNING.fetchrow(connection, owner_id=owner_id)
    assert row is not None  # noqa: S101  # a row of aggregates
    return Running.from_row(row)


async def marks(connection: asyncpg.Connection, owner_id: UUID, since: datetime) -> list[Mark]:
    """Return the last minutes in which attempts were taken from lost workers, the last first."""
    span = await span_of(connection, owner_id, TimeRange.HOUR)
    minutes = await _MARKED.fetch(connection, owner_id=owner_id, since=since, folded_until=span.folded_until)
    found: list[Mark] = []
    for row in minutes:
        until = row["at"] + timedelta(minutes=1)
        lost = await _LOST.fetch(connection, owner_id=owner_id, minute=row["at"], until=until)
        found += [Mark.from_row(mark) for mark in lost]
    return found[:MAX_MARKS]


def _start(now: datetime, layout: Layout) -> datetime:
    """Return the start of the first bucket; those of each width begin at multiples of it since 1970."""
    seconds = int(layout.width.total_seconds())
    into = timedelta(seconds=int(now.timestamp()) % seconds, microseconds=now.microsecond)
    return now - into - layout.width * (layout.buckets - 1)
