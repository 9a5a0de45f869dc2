"""Reads of which attempts have a profile."""

from typing import Final, Self
from uuid import UUID

import asyncpg
import msgspec

from app.core.rows import Row
from app.core.sql import Statement

# Which attempt at this job has a profile: this one, or else the last one?
_PROFILED: Final = Statement("""
SELECT attempt, profile_key, cpu_seconds, memory_peak_bytes, NULL AS shard_no FROM job_attempts
WHERE job_id = :job_id AND profile_key IS NOT NULL AND attempt = coalesce(:attempt, attempt)
ORDER BY attempt DESC LIMIT 1""")


# The same of the shards of this job, or of this one of them: which attempt with a profile ended last?
_PROFILED_OF_SHARDS: Final = Statement("""
SELECT a.attempt, a.profile_key, a.cpu_seconds, a.memory_peak_bytes, s.shard_no
FROM jobs s JOIN job_attempts a ON a.job_id = s.id
WHERE s.parent_id = :parent_id AND s.shard_no = coalesce(:shard, s.shard_no)
    AND a.profile_key IS NOT NULL AND a.attempt = coalesce(:attempt, a.attempt)
ORDER BY a.ended_at DESC, s.shard_no DESC LIMIT 1""")


class ProfiledAttempt(msgspec.Struct, frozen=True):
    """An attempt that has a profile, and what it used; of a shard, with the number of that."""

    attempt: int
    key: str
    cpu_seconds: float | None
    memory_peak_bytes: int | None
    shard: int | None = None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of `job_attempts` that has a profile, with the number of its shard."""
        return cls(
            attempt=row["attempt"],
            key=row["profile_key"],
            cpu_seconds=row["cpu_seconds"],
            memory_peak_bytes=row["memory_peak_bytes"],
            shard=row["shard_no"],
        )


async def profiled_attempt(
    connection: asyncpg.Connection, job_id: UUID, attempt: int | None
) -> ProfiledAttempt | None:
    """Return this attempt at a job, None: the last one with a profile; None if there is none."""
    row = await _PROFILED.fetchrow(connection, job_id=job_id, attempt=attempt)
    return None if row is None else ProfiledAttempt.from_row(row)


async def profiled_attempt_of_shards(
    connection: asyncpg.Connection, parent_id: UUID, shard: int | None, attempt: int | None
) -> ProfiledAttempt | None:
    """Return this attempt at a shard, None: the one that ended last; None if there is none with a profile."""
    row = await _PROFILED_OF_SHARDS.fetchrow(connection, parent_id=parent_id, shard=shard, attempt=attempt)
    return None if row is None else ProfiledAttempt.from_row(row)
