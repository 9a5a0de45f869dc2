"""Writes parts of logs, and deletes the oldest ones."""

from time import monotonic
from typing import Final
from uuid import UUID

import asyncpg

from app.core import failpoints
from app.core.sql import Statement
from app.jobs.logs.lines import MAX_BYTES, MAX_LINES, Part

# Stores lines of an attempt after all others of its job, if it is still the current one and runs.
# The lock keeps the attempt from ending meanwhile. The clock of the database dates the lines by their age.
_WRITE: Final = Statement("""
WITH held AS (
    SELECT id FROM jobs WHERE id = :job_id AND attempt = :attempt AND status = 'running' FOR SHARE
), before AS (
    SELECT last_line FROM job_logs WHERE job_id = :job_id ORDER BY attempt DESC, part DESC LIMIT 1
), placed AS (
    SELECT coalesce((SELECT last_line FROM before), 0) + :skipped::bigint AS last_line FROM held
)
INSERT INTO job_logs (job_id, attempt, part, first_line, last_line, bytes, written_at, levels, texts)
SELECT :job_id, :attempt, :part, last_line + 1, last_line + cardinality(:texts::text[]), :bytes,
    (SELECT array_agg(clock_timestamp() - make_interval(secs => a.seconds) ORDER BY a.position)
        FROM unnest(:ages::float8[]) WITH ORDINALITY a (seconds, position)),
    :levels::text[], :texts
FROM placed
ON CONFLICT (job_id, attempt, part) DO NOTHING
RETURNING part""")

# Deletes the oldest parts of this job's log, if the newer ones hold enough without them.
_TRIM: Final = Statement("""
WITH parts AS (
    SELECT attempt, part, sum(last_line - first_line + 1) OVER newer AS lines, sum(bytes) OVER newer AS bytes
    FROM job_logs WHERE job_id = :job_id
    WINDOW newer AS (ORDER BY attempt DESC, part DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
)
DELETE FROM job_logs l USING parts p
WHERE l.job_id = :job_id AND l.attempt = p.attempt AND l.part = p.part
    AND (p.lines >= :max_lines OR p.bytes >= :max_bytes)""")


async def write(connection: asyncpg.Connection, part: Part) -> bool:
    """Store a part of a log. Return whether it was stored now.

    It was not if the attempt does not run any more, or if the part is stored already.
    """
    failpoints.reach("log:before")
    now = monotonic()
    stored = await _WRITE.fetchval(
        connection,
        job_id=part.job_id,
        attempt=part.attempt,
        part=part.number,
        skipped=part.skipped,
        bytes=part.size,
        ages=[max(0.0, now - line.written_at) for line in part.lines],
        levels=[line.level.value for line in part.lines],
        texts=[line.text for line in part.lines],
    )
    failpoints.reach("log:after")
    return stored is not None


async def trim(
    connection: asyncpg.Connection, job_id: UUID, *, max_lines: int = MAX_LINES, max_bytes: int = MAX_BYTES
) -> None:
    """Delete the parts of a job's log that are not needed for its last lines, up to these limits."""
    await _TRIM.execute(connection, job_id=job_id, max_lines=max_lines, max_bytes=max_bytes)
