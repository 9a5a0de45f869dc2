"""Writes and reads the logs of jobs."""

from collections.abc import Sequence
from time import monotonic
from uuid import UUID

from app.core.database import Database
from app.jobs.logs import commands, queries
from app.jobs.logs.levels import LogLevel
from app.jobs.logs.lines import NewLine, Part
from app.jobs.logs.queries import LogFilter
from app.jobs.transition_types import ClaimedJob


def part(
    job: ClaimedJob,
    texts: Sequence[str],
    *,
    number: int = 1,
    level: LogLevel = LogLevel.INFO,
    skipped: int = 0,
    age_seconds: float = 0.0,
) -> Part:
    """Return a part of an attempt's log with these lines."""
    written_at = monotonic() - age_seconds
    lines = [NewLine(written_at, level, text, len(text.encode())) for text in texts]
    return Part(job.id, job.attempt, number, skipped, lines)


async def write(database: Database, *parts: Part) -> list[bool]:
    """Write parts; return for each whether it was stored."""
    async with database.connection() as connection:
        return [await commands.write(connection, one) for one in parts]


async def trim(database: Database, job_id: UUID, *, max_lines: int, max_bytes: int = 2**30) -> None:
    """Delete old parts, down to these limits."""
    async with database.connection() as connection:
        await commands.trim(connection, job_id, max_lines=max_lines, max_bytes=max_bytes)


async def read(database: Database, job_id: UUID) -> list[tuple[int, int, str]]:
    """Return number, attempt and text of all lines of a job."""
    async with database.connection() as connection:
        page = await queries.page(connection, job_id, LogFilter(), limit=100_000)
    return [(line.number, line.attempt, line.text) for line in page.lines]


async def texts(database: Database, job_id: UUID) -> list[str]:
    """Return the texts of all lines of a job."""
    return [text for _, _, text in await read(database, job_id)]
