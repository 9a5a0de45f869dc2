"""Reads of the statistics. Each answer is of one snapshot, and has the attempt that ended a moment ago.

What was folded comes from the statistics, what was not from the attempts themselves. The caller reads the
watermark between the two first, because Postgres chooses the right index only for a value that it knows. Each
statement returns the watermark of its own snapshot, and is run again if the watermark has moved.
"""

# SQL put together from constants; values are parameters

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self
from uuid import UUID

import asyncpg

from app.analytics.buckets import bucket_of
from app.analytics.facts import ALL_USERS, QUEUES, facts, intervals
from app.analytics.figures import Figures, Group, Statistics
from app.analytics.ranges import LENGTHS, By, Step, TimeRange
from app.analytics.tables import ONCE, REPEATED
from app.core.rows import Row
from app.core.sql import Statement

MAX_GROUPS: Final = 50

# Up to when are attempts in the statistics, and when does a span of time begin that ends now?
# The span without a length begins with the first day of which this owner has statistics.
_SPAN: Final = Statement(f"""
WITH RECURSIVE {QUEUES}, watermark AS (
    SELECT coalesce(max(folded_until), 'epoch') AS folded_until FROM system_stats
)
SELECT now() AS now, folded_until, date_trunc(:step, CASE
    WHEN :length::interval IS NOT NULL THEN now() - :length
    ELSE least(
        (SELECT min(at) FROM job_stats WHERE owner_id = :owner_id AND step = 'day'),
        (SELECT min(f.ended_at) FROM queues q CROSS JOIN LATERAL (
            SELECT ended_at FROM job_attempts WHERE queue = q.name AND ended_at >= folded_until
            ORDER BY ended_at LIMIT 1) f),
        (SELECT min(ended_at) FROM job_ends),
        now())
    END, 'UTC') AS since
FROM watermark""")

OWNED: Final = f"(:owner_id = '{ALL_USERS}'::uuid OR owner_id = :owner_id)"
NOT_FOLDED: Final = "ended_at >= :folded_until AND ended_at >= :since"
WATERMARK: Final = "(SELECT coalesce(max(folded_until), 'epoch') FROM system_stats)"

EXECUTED: Final = "(outcome <> '' OR job_status IN ('completed', 'failed'))"
"""A job that ran. What ended without an attempt was cancelled before, or has shards: it ran if they did."""

_VALUES: Final = """jobs, attempts, run_seconds, run_seconds_max, wait_seconds, wait_seconds_max, rows,
        measured_attempts, measured_jobs, measured_rows, cpu_seconds, memory_peak_bytes, last_job_id,
        outcome, job_status"""

_SUMS: Final = f"""coalesce(sum(jobs), 0)::bigint AS jobs,
        coalesce(sum(jobs) FILTER (WHERE job_status = 'completed'), 0)::bigint AS completed,
        coalesce(sum(jobs) FILTER (WHERE job_status = 'failed'), 0)::bigint AS failed,
        coalesce(sum(jobs) FILTER (WHERE job_status = 'cancelled'), 0)::bigint AS cancelled,
        coalesce(sum(jobs) FILTER (WHERE {EXECUTED}), 0)::bigint AS executed,
        coalesce(sum(jobs) FILTER (WHERE job_status IN ('completed', 'failed')), 0)::bigint AS settled,
        coalesce(sum(run_seconds) FILTER (
            WHERE job_status IN ('completed', 'failed')), 0) AS settled_seconds,
        coalesce(sum(attempts), 0)::bigint AS attempts,
        coalesce(sum(attempts) FILTER (WHERE outcome = 'failed' AND job_status = 'pending'), 0)::bigint
            AS retried,
        coalesce(sum(attempts) FILTER (WHERE outcome = 'rescued'), 0)::bigint AS rescued,
        coalesce(sum(attempts) FILTER (WHERE outcome = 'released'), 0)::bigint AS released,
        coalesce(sum(rows), 0)::bigint AS rows,
        coalesce(sum(run_seconds), 0) AS run_seconds, max(run_seconds_max) AS run_seconds_max,
        coalesce(sum(wait_seconds), 0) AS wait_seconds, max(wait_seconds_max) AS wait_seconds_max,
        coalesce(sum(measured_attempts), 0)::bigint AS measured_attempts,
        coalesce(sum(measured_jobs), 0)::bigint AS measured_jobs,
        coalesce(sum(measured_rows), 0)::bigint AS measured_rows,
        coalesce(sum(cpu_seconds), 0) AS cpu_seconds, max(memory_peak_bytes) AS memory_peak_bytes,
        (array_agg(last_job_id ORDER BY at DESC) FILTER (WHERE last_job_id IS NOT NULL))[1] AS last_job_id"""

_TAIL: Final = f"""WITH RECURSIVE {QUEUES}, tail AS MATERIALIZED (
    {facts(NOT_FOLDED, OWNED)}
), tail_durations AS (
    SELECT *, 'run' AS measure, {bucket_of("run_seconds")} AS bucket FROM tail WHERE attempts > 0
    UNION ALL
    SELECT *, 'wait', {bucket_of("wait_seconds")} FROM tail WHERE attempts > 0
), items AS (
    SELECT at, {_VALUES} FROM job_stats
    WHERE owner_id = :owner_id AND step = :step AND at >= :since AND {ONCE}
    UNION ALL
    SELECT ended_at, {_VALUES} FROM tail
), durations AS (
    SELECT measure, bucket, sum(attempts)::bigint AS attempts FROM (
        SELECT measure, bucket, attempts FROM job_durations
        WHERE owner_id = :owner_id AND step = :step AND at >= :since AND {ONCE}
        UNION ALL
        SELECT measure, bucket, 1 FROM tail_durations
    ) counted GROUP BY measure, bucket
), total AS (
    SELECT 'total' AS section, NULL::text AS key, {_SUMS},
        (SELECT coalesce(jsonb_object_agg(bucket, attempts), '{{}}') FROM durations WHERE measure = 'run')
            AS run_counts,
        (SELECT coalesce(jsonb_object_agg(bucket, attempts), '{{}}') FROM durations WHERE measure = 'wait')
            AS wait_counts
    FROM items
)"""


_ABOUT_OWNER: Final = f"owner_id = :owner_id AND {ONCE}"


@dataclass(frozen=True)
class _Grouping:
    """The SQL of one way to group: the key in the statistics, the key of an attempt, and a condition.

    `of_all` says which rows have the key for all users: by default those about all users that count once.
    """

    stats: str
    attempt: str
    where: str = "true"
    has_durations: bool = True
    of_all: str = _ABOUT_OWNER


def _start_of(step: str, at: str) -> str:
    return f"""to_char(date_trunc('{step}', {at}, 'UTC') AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""


_GROUPINGS: Final = {
    By.KIND: _Grouping("kind", "kind"),
    By.QUEUE: _Grouping("queue", "queue"),
    By.MODEL: _Grouping("model", "model", has_durations=False, of_all=f"owner_id = :owner_id AND {REPEATED}"),
    By.ERROR: _Grouping("code", "code", where="code <> ''", has_durations=False),
    By.HOUR: _Grouping(_start_of("hour", "at"), _start_of("hour", "ended_at")),
    By.DAY: _Grouping(_start_of("day", "at"), _start_of("day", "ended_at")),
    By.USER: _Grouping(
        "owner_id::text", "owner_id::text", of_all=f"owner_id <> '{ALL_USERS}' AND {REPEATED}"
    ),
}


def _grouped(by: By, *, of_all: bool) -> Statement:
    """Return the statement for groups: of the jobs of all users, or of one owner."""
    how = _GROUPINGS[by]
    owner = how.of_all if of_all else _ABOUT_OWNER
    histograms = f"""
    SELECT section, key, measure, jsonb_object_agg(bucket, attempts) AS counts FROM (
        SELECT p.section, p.shown AS key, d.measure, d.bucket, sum(d.attempts)::bigint AS attempts FROM (
            SELECT {how.stats} AS key, measure, bucket, attempts FROM job_durations
            WHERE {owner} AND step = :step AND at >= :since
            UNION ALL
            SELECT {how.attempt}, measure, bucket, 1 FROM tail_durations
        ) d JOIN places p ON p.key = d.key GROUP BY p.section, p.shown, d.measure, d.bucket
    ) counted GROUP BY section, key, measure"""
    if not how.has_durations:
        histograms = "SELECT '' AS section, '' AS key, '' AS measure, NULL::jsonb AS counts WHERE false"
    order = "key DESC" if by.is_of_time else "sum(jobs) DESC, sum(attempts) DESC, key"
    username = "(SELECT username FROM users WHERE id = s.key::uuid)" if by is By.USER else "NULL::text"
    return Statement(f"""{_TAIL}, keyed AS (
    SELECT {how.stats} AS key, at, {_VALUES} FROM job_stats
    WHERE {owner} AND step = :step AND at >= :since AND {how.where}
    UNION ALL
    SELECT {how.attempt}, ended_at, {_VALUES} FROM tail WHERE {how.where}
), places AS (
    SELECT key, CASE WHEN place <= {MAX_GROUPS} THEN 'group' ELSE 'other' END AS section,
        CASE WHEN place <= {MAX_GROUPS} THEN key END AS shown, place
    FROM (SELECT key, row_number() OVER (ORDER BY {order}) AS place FROM keyed GROUP BY key) ranked
), sections AS (
    SELECT p.section, p.shown AS key, min(p.place) AS place, {_SUMS}
    FROM keyed k JOIN places p ON p.key = k.key GROUP BY p.section, p.shown
), histograms AS ({histograms}
), everything AS (
    SELECT t.*, 0::bigint AS place FROM total t
    UNION ALL
    SELECT section, key, {_columns_of_sums()},
        (SELECT counts FROM histograms h
            WHERE h.section = s.section AND h.key IS NOT DISTINCT FROM s.key AND h.measure = 'run'),
        (SELECT counts FROM histograms h
            WHERE h.section = s.section AND h.key IS NOT DISTINCT FROM s.key AND h.measure = 'wait'),
        place
    FROM sections s
)
SELECT s.*, {username} AS username, now() AS as_of, {WATERMARK} AS folded_until
FROM everything s ORDER BY place""")


def _columns_of_sums() -> str:
    return """jobs, completed, failed, cancelled, executed, settled, settled_seconds, attempts, retried,
        rescued, released, rows, run_seconds, run_seconds_max, wait_seconds, wait_seconds_max,
        measured_attempts, measured_jobs, measured_rows, cpu_seconds, memory_peak_bytes, last_job_id"""


# What are the sums over everything that ended since an instant?
_TOTALS: Final = Statement(
    f"{_TAIL} SELECT *, NULL::text AS username, now() AS as_of, {WATERMARK} AS folded_until FROM total"
)

# What are they in groups: the largest groups, or the latest in time, and the others together?
_GROUPED: Final = {by: _grouped(by, of_all=False) for by in By}

# The same over all users, where other rows have the key.
_GROUPED_OF_ALL: Final = {
    by: _grouped(by, of_all=True) for by, how in _GROUPINGS.items() if how.of_all != _ABOUT_OWNER
}

# What is the highest number of attempts that ran at the same moment since an instant?
_PEAK: Final = Statement(f"""
WITH RECURSIVE {QUEUES}, ran AS (
    {intervals(NOT_FOLDED, OWNED)}
), changes AS (
    SELECT greatest(started_at, :since) AS at, 1 AS change FROM ran
    UNION ALL
    SELECT ended_at, -1 FROM ran WHERE ended_at IS NOT NULL
)
SELECT greatest(
        (SELECT max(peak) FROM job_peaks WHERE owner_id = :owner_id AND hour >= :since),
        (SELECT max(attempts) FROM (
            SELECT sum(change) OVER (ORDER BY at, change ROWS UNBOUNDED PRECEDING) AS attempts FROM changes
        ) running),
        0)::bigint AS peak,
    {WATERMARK} AS folded_until""")

# How many jobs of this owner wait?
_WAITING_OF_OWNER: Final = Statement(
    "SELECT count(*) FROM jobs WHERE owner_id = :owner_id AND status = 'pending' AND parent_id IS NULL"
)

# How many jobs waited at the last measurement?
_WAITING: Final = Statement("SELECT coalesce(sum(due + delayed), 0)::bigint FROM queue_stats")


@dataclass(frozen=True)
class Span:
    """A span of time up to now, and up to when attempts are in the statistics."""

    now: datetime
    since: datetime
    folded_until: datetime

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read the row of the query."""
        return cls(row["now"], row["since"], row["folded_until"])


async def statistics(
    connection: asyncpg.Connection, owner_id: UUID, wanted: TimeRange, by: By | None = None
) -> Statistics:
    """Return the figures of a range. The owner ALL_USERS stands for all users.

    The groups by user lack those who were deleted, and `totals` has them.
    """
    step = Step.HOUR if by is By.HOUR else wanted.step
    span = await span_of(connection, owner_id, wanted)
    statement = _statement(by, owner_id)
    rows = await consistent(
        lambda folded_until: statement.fetch(
            connection, owner_id=owner_id, step=step, since=span.since, folded_until=folded_until
        ),
        span.folded_until,
    )
    others = [Figures.from_row(row) for row in rows if row["section"] == "other"]
    groups = [
        Group(row["key"], Figures.from_row(row), row["username"]) for row in rows if row["section"] == "group"
    ]
    if by is not None and by.is_of_time:
        groups.reverse()
    return Statistics(
        since=span.since,
        as_of=rows[0]["as_of"],
        totals=Figures.from_row(rows[0]),
        groups=tuple(groups),
        other=others[0] if others else None,
    )


async def peak(connection: asyncpg.Connection, owner_id: UUID, since: datetime) -> int:
    """Return the highest number of attempts that ran at the same moment since a whole hour."""
    span = await span_of(connection, owner_id, TimeRange.HOUR)  # for the watermark
    [row] = await consistent(
        lambda folded_until: _PEAK.fetch(
            connection, owner_id=owner_id, since=since, folded_until=folded_until
        ),
        span.folded_until,
    )
    highest: int = row["peak"]
    return highest


async def waiting(connection: asyncpg.Connection, owner_id: UUID) -> int:
    """Return how many jobs of an owner wait; for ALL_USERS, how many at the last measurement, by shards."""
    count: int
    if owner_id == ALL_USERS:
        count = await _WAITING.fetchval(connection)
    else:
        count = await _WAITING_OF_OWNER.fetchval(connection, owner_id=owner_id)
    return count


def _statement(by: By | None, owner_id: UUID) -> Statement:
    if by is None:
        return _TOTALS
    if owner_id == ALL_USERS and by in _GROUPED_OF_ALL:
        return _GROUPED_OF_ALL[by]
    return _GROUPED[by]


async def span_of(connection: asyncpg.Connection, owner_id: UUID, wanted: TimeRange) -> Span:
    """Return the span of a range that ends now."""
    row = await _SPAN.fetchrow(connection, owner_id=owner_id, step=wanted.step, length=LENGTHS.get(wanted))
    assert row is not None  # noqa: S101  # a row of aggregates
    return Span.from_row(row)


async def consistent(
    ask: Callable[[datetime], Awaitable[list[asyncpg.Record]]], folded_until: datetime
) -> list[asyncpg.Record]:
    """Return the rows that a statement gives for the watermark of its own snapshot.

    The statement takes a watermark and returns the one that its snapshot has, as `folded_until`.
    """
    while True:
        rows = await ask(folded_until)
        if rows[0]["folded_until"] == folded_until:
            return rows
        folded_until = rows[0]["folded_until"]
