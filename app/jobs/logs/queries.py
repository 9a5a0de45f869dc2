"""Reads of logs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg

from app.core.sql import Statement
from app.jobs.logs import levels
from app.jobs.logs.levels import LogLevel
from app.jobs.logs.lines import StoredLine

_HELD_BACK: Final = "interval '2 s'"

BEYOND: Final = 2**62
"""Greater than the number of any line."""


@dataclass(frozen=True)
class LogFilter:
    """Which lines of a job's log: those with numbers between `after` and `before`, without these two."""

    after: int = 0
    before: int = BEYOND
    attempt: int | None = None
    level: LogLevel = LogLevel.DEBUG


@dataclass(frozen=True)
class LogPage:
    """Lines in order, and the number after which to read on."""

    lines: Sequence[StoredLine]
    next_after: int


def _lines(order: str) -> Statement:
    return Statement(f"""
WITH newest AS (
    SELECT last_line FROM job_logs WHERE job_id = :job_id ORDER BY attempt DESC, part DESC LIMIT 1
)
SELECT newest.last_line AS newest, found.*
FROM newest LEFT JOIN LATERAL (
    SELECT p.first_line + l.position - 1 AS number, p.attempt, l.at, l.level, l.text, NULL::int AS shard_no
    FROM job_logs p CROSS JOIN LATERAL unnest(p.written_at, p.levels, p.texts)
        WITH ORDINALITY l (at, level, text, position)
    WHERE p.job_id = :job_id AND p.last_line > :after::bigint AND p.first_line < :before::bigint
        AND p.first_line + l.position - 1 > :after AND p.first_line + l.position - 1 < :before
        AND (:attempt::int IS NULL OR p.attempt = :attempt) AND l.level = ANY (:levels::text[])
    ORDER BY number {order} LIMIT :limit
) found ON true
ORDER BY found.number""")


# Which lines of this job's log come first after this number?
_FIRST: Final = _lines("ASC")

# Which lines of this job's log come last before this number?
_LAST: Final = _lines("DESC")


def _instant(at: str) -> str:
    return f"(extract(epoch FROM {at}) * 1000000)::bigint"


def _lines_of_shards(order: str) -> Statement:
    # The lines of a part are in the order of time, so its first and its last one say whether to read it.
    return Statement(f"""
WITH lines AS (
    SELECT s.shard_no, p.attempt, l.at, l.level, l.text, p.first_line + l.position AS line,
        {_instant("l.at")} AS number
    FROM jobs s JOIN job_logs p ON p.job_id = s.id CROSS JOIN LATERAL unnest(p.written_at, p.levels, p.texts)
        WITH ORDINALITY l (at, level, text, position)
    WHERE s.parent_id = :parent_id AND l.level = ANY (:levels::text[])
        AND {_instant("p.written_at[cardinality(p.written_at)]")} > :after::bigint
        AND {_instant("p.written_at[1]")} < :before::bigint
        AND (:attempt::int IS NULL OR p.attempt = :attempt)
)
SELECT * FROM (
    SELECT * FROM lines
    WHERE number > :after AND number < :before AND (:is_complete OR at < now() - {_HELD_BACK})
    ORDER BY number {order} FETCH FIRST (:limit::bigint) ROWS WITH TIES
) page
ORDER BY number, shard_no, line""")


# Which lines of the logs of this job's shards come first after this instant, or last before it?
_FIRST_OF_SHARDS: Final = _lines_of_shards("ASC")
_LAST_OF_SHARDS: Final = _lines_of_shards("DESC")


async def page_of_shards(
    connection: asyncpg.Connection,
    parent_id: UUID,
    wanted: LogFilter,
    *,
    limit: int,
    is_last: bool = False,
    is_complete: bool,
) -> LogPage:
    """Return lines of the logs of all shards of a job, by the instants at which they were written.

    Lines of the same instant are on one page, so it may have more than `limit`. While the job runs, the last
    seconds are held back, because each worker stores its lines a moment later.
    """
    rows = await (_LAST_OF_SHARDS if is_last else _FIRST_OF_SHARDS).fetch(
        connection,
        parent_id=parent_id,
        after=wanted.after,
        before=wanted.before,
        attempt=wanted.attempt,
        levels=[level.value for level in levels.at_least(wanted.level)],
        limit=limit,
        is_complete=is_complete,
    )
    lines = [StoredLine.from_row(row) for row in rows]
    return LogPage(lines, lines[-1].number if lines else wanted.after)


async def page(
    connection: asyncpg.Connection, job_id: UUID, wanted: LogFilter, *, limit: int, is_last: bool = False
) -> LogPage:
    """Return the first lines that are wanted, or the last ones, at most `limit` and in order."""
    rows = await (_LAST if is_last else _FIRST).fetch(
        connection,
        job_id=job_id,
        after=wanted.after,
        before=wanted.before,
        attempt=wanted.attempt,
        levels=[level.value for level in levels.at_least(wanted.level)],
        limit=limit,
    )
    lines = [StoredLine.from_row(row) for row in rows if row["number"] is not None]
    if not rows:
        return LogPage(lines, wanted.after)
    if len(lines) == limit and not is_last:
        return LogPage(lines, lines[-1].number)
    # Nothing up to there is left that is wanted.
    return LogPage(lines, max(wanted.after, min(rows[0]["newest"], wanted.before - 1)))
