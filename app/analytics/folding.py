"""Adds the attempts that have ended to the statistics, each exactly once.

One transaction adds the attempts that ended between the watermark `system_stats.folded_until` and a later
instant, and moves the watermark to it. So neither a crash nor a second process counts an attempt twice or
skips it: the row of the watermark is locked first.

No attempt may appear behind the watermark later. An attempt's end is the start of its transaction, so the
fold stays behind the start of each open transaction. Where a role cannot see the transactions of others, and
behind long transactions that only read, it stays a minute behind, which no write of Headrace takes.
"""

# ruff: noqa: S608  # SQL put together from constants; values are parameters

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

import asyncpg

from app.analytics.buckets import bucket_of
from app.analytics.facts import ALL_USERS, QUEUES, facts, intervals
from app.core.rows import Row
from app.core.sql import Statement
from app.jobs import faults

SYSTEM_CODE: Final = "system"
"""The code of failures by the system in the rows of minutes, which have no other."""

MAX_CODES: Final = 50
OTHER_CODE: Final = "other"

MARGIN: Final = timedelta(seconds=2)
"""Longer than a transaction that has begun can be missing from the list of transactions."""

LONGEST: Final = timedelta(seconds=60)
"""Longer than a transaction of Headrace before its first write."""

MAX_ATTEMPTS: Final = 20_000
"""A round covers at most an hour, and less where more attempts ended."""

_HOUR: Final = timedelta(hours=1)

# Creates the row of the watermark.
_CREATE: Final = Statement("INSERT INTO system_stats DEFAULT VALUES ON CONFLICT (is_current) DO NOTHING")

# Up to when are attempts in the statistics? No other process folds until this transaction ends.
_LOCK: Final = Statement("SELECT folded_until FROM system_stats FOR UPDATE")

# Before when do no more attempts end, and when did the first attempt end that is not in the statistics?
_WINDOW: Final = Statement(f"""
WITH RECURSIVE {QUEUES}, others AS (
    SELECT min(xact_start) AS since, min(xact_start) FILTER (WHERE backend_xid IS NOT NULL) AS writing_since,
        bool_or(coalesce(state, 'disabled') = 'disabled') AS are_hidden
    FROM pg_stat_activity
    WHERE datname = current_database() AND usesysid IS NOT NULL AND pid <> pg_backend_pid()
), firsts AS (
    SELECT f.ended_at FROM queues q CROSS JOIN LATERAL (
        SELECT ended_at FROM job_attempts WHERE queue = q.name AND ended_at >= :folded_until
        ORDER BY ended_at LIMIT 1
    ) f
    UNION ALL
    SELECT min(ended_at) FROM job_ends WHERE ended_at >= :folded_until
)
SELECT
    greatest(
        least(now() - :longest::interval, o.writing_since),
        CASE WHEN NOT coalesce(o.are_hidden, false) THEN least(now() - :margin::interval, o.since) END
    ) AS settled_until,
    (SELECT min(ended_at) FROM firsts) AS first_at
FROM others o""")

# How many attempts ended between these instants, counted up to a limit?
_COUNT: Final = Statement(f"""
WITH RECURSIVE {QUEUES}
SELECT count(*) FROM (
    SELECT FROM queues q CROSS JOIN LATERAL (
        SELECT FROM job_attempts WHERE queue = q.name AND ended_at >= :begin AND ended_at < :until
    ) a
    LIMIT :limit
) counted""")

_WITHIN: Final = "ended_at >= :begin AND ended_at < :until"
_KEY: Final = "owner_id, step, at, kind, queue, model, outcome, job_status, code"

# Adds what ended between these instants, which are in one hour, to the statistics.
# GROUPING SETS yields the rows of each user and of all users, of minutes and of the hour and its day, in one
# pass; the last sets are those by which users and models are compared. A column by which a set does not group
# is null there.
_FOLD: Final = Statement(f"""
WITH RECURSIVE {QUEUES}, ended AS MATERIALIZED (
    {facts(_WITHIN)}
), codes AS (
    SELECT code FROM ended WHERE code <> '' GROUP BY code ORDER BY count(*) DESC, code LIMIT {MAX_CODES}
), coded AS (
    SELECT e.*, date_trunc('minute', e.ended_at, 'UTC') AS minute,
        CASE WHEN e.code = '' OR e.code IN (SELECT code FROM codes) THEN e.code
            ELSE '{OTHER_CODE}' END AS shown_code,
        CASE WHEN e.code = ANY (:system_codes::text[]) THEN '{SYSTEM_CODE}' ELSE '' END AS fault
    FROM ended e
), summed AS (
    SELECT coalesce(owner_id, :all_users::uuid) AS owner_id, minute, coalesce(kind, '') AS kind,
        coalesce(queue, '') AS queue, coalesce(model, '') AS model, outcome, job_status,
        coalesce(shown_code, fault, '') AS code,
        sum(jobs) AS jobs, sum(attempts) AS attempts,
        coalesce(sum(run_seconds), 0) AS run_seconds, max(run_seconds_max) AS run_seconds_max,
        coalesce(sum(wait_seconds), 0) AS wait_seconds, max(wait_seconds_max) AS wait_seconds_max,
        sum(rows) AS rows, sum(measured_attempts) AS measured_attempts,
        sum(measured_jobs) AS measured_jobs, sum(measured_rows) AS measured_rows,
        coalesce(sum(cpu_seconds), 0) AS cpu_seconds, max(memory_peak_bytes) AS memory_peak_bytes,
        (array_agg(last_job_id ORDER BY ended_at DESC) FILTER (WHERE last_job_id IS NOT NULL))[1]
            AS last_job_id
    FROM coded
    GROUP BY GROUPING SETS (
        (owner_id, minute, outcome, job_status, fault),
        (minute, outcome, job_status, fault),
        (owner_id, kind, queue, model, outcome, job_status, shown_code),
        (kind, queue, outcome, job_status, shown_code),
        (owner_id, outcome, job_status),
        (model, outcome, job_status))
), stats AS (
    INSERT INTO job_stats AS s ({_KEY}, jobs, attempts, run_seconds, run_seconds_max, wait_seconds,
        wait_seconds_max, rows, measured_attempts, measured_jobs, measured_rows, cpu_seconds,
        memory_peak_bytes, last_job_id)
    SELECT {_KEY}, jobs, attempts, run_seconds, run_seconds_max, wait_seconds, wait_seconds_max, rows,
        measured_attempts, measured_jobs, measured_rows, cpu_seconds, memory_peak_bytes, last_job_id
    FROM summed CROSS JOIN LATERAL (
        VALUES ('minute', minute), ('hour', :hour::timestamptz),
            ('day', date_trunc('day', :hour::timestamptz, 'UTC'))
    ) steps (step, at)
    WHERE (step = 'minute') = (minute IS NOT NULL)
    ON CONFLICT ({_KEY}) DO UPDATE SET
        jobs = s.jobs + excluded.jobs, attempts = s.attempts + excluded.attempts,
        run_seconds = s.run_seconds + excluded.run_seconds,
        run_seconds_max = greatest(s.run_seconds_max, excluded.run_seconds_max),
        wait_seconds = s.wait_seconds + excluded.wait_seconds,
        wait_seconds_max = greatest(s.wait_seconds_max, excluded.wait_seconds_max),
        rows = s.rows + excluded.rows,
        measured_attempts = s.measured_attempts + excluded.measured_attempts,
        measured_jobs = s.measured_jobs + excluded.measured_jobs,
        measured_rows = s.measured_rows + excluded.measured_rows,
        cpu_seconds = s.cpu_seconds + excluded.cpu_seconds,
        memory_peak_bytes = greatest(s.memory_peak_bytes, excluded.memory_peak_bytes),
        last_job_id = coalesce(excluded.last_job_id, s.last_job_id)
), measured AS (
    SELECT owner_id, minute, kind, queue, 'run' AS measure, {bucket_of("run_seconds")} AS bucket
    FROM coded WHERE attempts > 0
    UNION ALL
    SELECT owner_id, minute, kind, queue, 'wait', {bucket_of("wait_seconds")} FROM coded WHERE attempts > 0
), counted AS (
    SELECT coalesce(owner_id, :all_users::uuid) AS owner_id, minute, coalesce(kind, '') AS kind,
        coalesce(queue, '') AS queue, measure, bucket, count(*) AS attempts
    FROM measured
    GROUP BY GROUPING SETS (
        (owner_id, minute, measure, bucket),
        (minute, measure, bucket),
        (owner_id, kind, queue, measure, bucket),
        (kind, queue, measure, bucket),
        (owner_id, measure, bucket))
), durations AS (
    INSERT INTO job_durations AS d (owner_id, step, at, kind, queue, measure, bucket, attempts)
    SELECT owner_id, step, at, kind, queue, measure, bucket, attempts
    FROM counted CROSS JOIN LATERAL (
        VALUES ('minute', minute), ('hour', :hour::timestamptz),
            ('day', date_trunc('day', :hour::timestamptz, 'UTC'))
    ) steps (step, at)
    WHERE (step = 'minute') = (minute IS NOT NULL)
    ON CONFLICT (owner_id, step, at, kind, queue, measure, bucket)
        DO UPDATE SET attempts = d.attempts + excluded.attempts
), ran AS (
    SELECT owner_id, greatest(started_at, :begin) AS started_at, ended_at
    FROM ({intervals("ended_at >= :begin")}) i WHERE started_at < :until
), changes AS (
    SELECT owner_id, started_at AS at, 1 AS change FROM ran
    UNION ALL
    SELECT owner_id, ended_at, -1 FROM ran WHERE ended_at < :until
), running AS (
    SELECT owner_id, sum(change) OVER (
        PARTITION BY owner_id ORDER BY at, change ROWS UNBOUNDED PRECEDING) AS attempts FROM changes
    UNION ALL
    SELECT :all_users::uuid, sum(change) OVER (ORDER BY at, change ROWS UNBOUNDED PRECEDING) FROM changes
), peaks AS (
    INSERT INTO job_peaks AS p (owner_id, hour, peak)
    SELECT owner_id, :hour::timestamptz, max(attempts) FROM running GROUP BY owner_id
    ON CONFLICT (owner_id, hour) DO UPDATE SET peak = greatest(p.peak, excluded.peak)
)
DELETE FROM job_ends WHERE {_WITHIN}""")

# Records up to when attempts are in the statistics.
_MOVE: Final = Statement("UPDATE system_stats SET folded_until = :until")


@dataclass(frozen=True)
class _Window:
    """What can be folded: attempts from `first_at` on, None if there are none, before `settled_until`."""

    settled_until: datetime
    first_at: datetime | None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read the row of the query."""
        return cls(row["settled_until"], row["first_at"])


@dataclass(frozen=True)
class Folding:
    """Folds what has ended. Tests pass other times than a second process could need."""

    margin: timedelta = MARGIN
    longest: timedelta = LONGEST
    max_attempts: int = MAX_ATTEMPTS

    async def fold(self, connection: asyncpg.Connection) -> bool:
        """Add the attempts of one round, in the caller's transaction. Return whether more are left.

        Processes that fold at the same time wait for each other.
        """
        folded_until = await _lock(connection)
        window = await self._window(connection, folded_until)
        if window.first_at is None or window.first_at >= window.settled_until:
            await _MOVE.execute(connection, until=max(folded_until, window.settled_until))
            return False
        hour = window.first_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        begin = max(folded_until, hour)
        until = await self._end(connection, window.first_at, min(window.settled_until, hour + _HOUR))
        await _FOLD.execute(
            connection,
            begin=begin,
            until=until,
            hour=hour,
            all_users=ALL_USERS,
            system_codes=sorted(faults.SYSTEM),
        )
        await _MOVE.execute(connection, until=until)
        return until < window.settled_until

    async def _window(self, connection: asyncpg.Connection, folded_until: datetime) -> _Window:
        row = await _WINDOW.fetchrow(
            connection, folded_until=folded_until, margin=self.margin, longest=self.longest
        )
        assert row is not None  # noqa: S101  # a row of aggregates
        return _Window.from_row(row)

    async def _end(self, connection: asyncpg.Connection, begin: datetime, until: datetime) -> datetime:
        """Return an end of the round before which not too many attempts ended."""
        limit = self.max_attempts + 1
        while await _COUNT.fetchval(connection, begin=begin, until=until, limit=limit) == limit:
            halved = begin + (until - begin) / 2
            if halved <= begin:  # all in one microsecond
                break
            until = halved
        return until


async def _lock(connection: asyncpg.Connection) -> datetime:
    row = await _LOCK.fetchrow(connection)
    if row is None:
        await _CREATE.execute(connection)
        row = await _LOCK.fetchrow(connection)
    assert row is not None  # noqa: S101  # it was created
    folded_until: datetime | None = row["folded_until"]
    return folded_until or datetime.fromtimestamp(0, UTC)
