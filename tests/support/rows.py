"""What Postgres says, read directly."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg

from app.core.database import Database
from tests.support.waiting import until


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


async def until_a_lock_is_waited_for(database: Database) -> None:
    """Return once a session of this database waits for a lock of another."""
    await until(lambda: is_a_lock_waited_for(database))


async def is_a_lock_waited_for(database: Database) -> bool:
    """Whether a session of this database waits for a lock of another."""
    waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"
    return bool(await value(database, f"{waiting} AND wait_event_type = 'Lock')"))


@asynccontextmanager
async def transaction(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """A transaction that may hold its locks for as long as others take to run into them.

    The product's own may not be idle for more than a few seconds, which a busy machine needs for nothing.
    """
    async with database.transaction() as connection:
        await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        yield connection
