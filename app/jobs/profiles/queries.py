"""Reads of which attempts have a profile."""

from typing import Final, Self
from uuid import UUID

import asyncpg
import msgspec

from app.core.rows import Row
from app.core.sql import Statement

# Which attempt at this job has a profile: this one, or else the last one?
_PROFILED: Final = Statement("""
SELECT attempt, profile_key, cpu_seconds, memory_peak_bytes FROM job_attempts
WHERE job_id = :job_id AND profile_key IS NOT NULL AND attempt = coalesce(:attempt, attempt)
ORDER BY attempt DESC LIMIT 1""")


class ProfiledAttempt(msgspec.Struct, frozen=True):
    """An attempt that has a profile, and what it used."""

    attempt: int
    key: str
    cpu_seconds: float | None
    memory_peak_bytes: int | None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of `job_attempts` that has a profile."""
        return cls(row["attempt"], row["profile_key"], row["cpu_seconds"], row["memory_peak_bytes"])


async def profiled_attempt(
    connection: asyncpg.Connection, job_id: UUID, attempt: int | None
) -> ProfiledAttempt | None:
    """Return this attempt at a job, None: the last one with a profile; None if there is none."""
    row = await _PROFILED.fetchrow(connection, job_id=job_id, attempt=attempt)
    return None if row is None else ProfiledAttempt.from_row(row)
