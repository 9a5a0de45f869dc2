"""What Postgres says, read directly."""

from typing import Any
from uuid import UUID

import asyncpg

from app.core.database import Database


async def job(database: Database, job_id: UUID) -> asyncpg.Record:
    """The row of a job."""
    async with database.connection() as connection:
        row = await connection.fetchrow("SELECT * FROM jobs WHERE id = $1", job_id)
    assert row is not None
    return row


async def batches(database: Database, job_id: UUID) -> list[asyncpg.Record]:
    """A job's stored batches, in order."""
    return await fetch(database, "SELECT * FROM job_batches WHERE job_id = $1 ORDER BY index", job_id)


async def events(database: Database, job_id: UUID) -> list[asyncpg.Record]:
    """A job's log, in order."""
    return await fetch(database, "SELECT * FROM job_events WHERE job_id = $1 ORDER BY seq", job_id)


async def event_types(database: Database, job_id: UUID) -> list[str]:
    """What happened to a job, in order."""
    return [event["type"] for event in await events(database, job_id)]


async def attempts(database: Database, job_id: UUID) -> list[asyncpg.Record]:
    """A job's ended attempts, in order."""
    return await fetch(database, "SELECT * FROM job_attempts WHERE job_id = $1 ORDER BY attempt", job_id)


async def fetch(database: Database, query: str, *arguments: Any) -> list[asyncpg.Record]:
    """All rows of a query."""
    async with database.connection() as connection:
        return await connection.fetch(query, *arguments)


async def value(database: Database, query: str, *arguments: Any) -> Any:
    """The first value of the first row."""
    async with database.connection() as connection:
        return await connection.fetchval(query, *arguments)


async def execute(database: Database, statement: str, *arguments: Any) -> None:
    """Run a statement, and commit it."""
    async with database.connection() as connection:
        await connection.execute(statement, *arguments)
