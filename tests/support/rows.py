"""Reads tables directly from Postgres."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg

from app.core.database import Database
from tests.support.waiting import until

FILL_SECONDS = 240.0


async def job(database: Database, job_id: UUID) -> asyncpg.Record:
    """Return a job's row."""
    async with database.connection() as connection:
        row = await connection.fetchrow("SELECT * FROM jobs WHERE id = $1", job_id)
    assert row is not None
    return row


async def batches(database: Database, job_id: UUID) -> list[asyncpg.Record]:
    """Return a job's stored batches, in order."""
    return await fetch(database, "SELECT * FROM job_batches WHERE job_id = $1 ORDER BY index", job_id)


async def events(database: Database, job_id: UUID) -> list[asyncpg.Record]:
    """Return a job's events, in order."""
    return await fetch(database, "SELECT * FROM job_events WHERE job_id = $1 ORDER BY seq", job_id)


async def event_types(database: Database, job_id: UUID) -> list[str]:
    """Return the types of a job's events, in order."""
    return [event["type"] for event in await events(database, job_id)]


async def attempts(database: Database, job_id: UUID) -> list[asyncpg.Record]:
    """Return a job's ended attempts, in order."""
    return await fetch(database, "SELECT * FROM job_attempts WHERE job_id = $1 ORDER BY attempt", job_id)


async def shards(database: Database, parent_id: UUID) -> list[asyncpg.Record]:
    """Return the shards of a job, in order."""
    return await fetch(database, "SELECT * FROM jobs WHERE parent_id = $1 ORDER BY shard_no", parent_id)


async def fetch(database: Database, query: str, *arguments: Any) -> list[asyncpg.Record]:
    """Return all rows of a query."""
    async with database.connection() as connection:
        return await connection.fetch(query, *arguments)


async def value(database: Database, query: str, *arguments: Any) -> Any:
    """Return the first value of the first row."""
    async with database.connection() as connection:
        return await connection.fetchval(query, *arguments)


async def fill(database: Database, statement: str, *arguments: Any) -> None:
    """Run a statement that inserts many rows, however long a busy machine takes for it."""
    async with database.connection() as connection, connection.transaction():
        await connection.execute("SET LOCAL statement_timeout = 0")
        await connection.execute(statement, *arguments, timeout=FILL_SECONDS)


async def execute(database: Database, statement: str, *arguments: Any) -> None:
    """Execute and commit a statement."""
    async with database.connection() as connection:
        await connection.execute(statement, *arguments)


async def wait_until_blocked(database: Database) -> None:
    """Wait until a session of this database is blocked by a lock of another."""
    await until(lambda: has_blocked_session(database))


async def has_blocked_session(database: Database) -> bool:
    """Whether a session of this database is blocked by a lock of another."""
    waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"
    return bool(await value(database, f"{waiting} AND wait_event_type = 'Lock')"))


@asynccontextmanager
async def transaction(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """Open a transaction that may stay idle, so that it can hold locks until other sessions block on them.

    The application's sessions are terminated after a few idle seconds, which a busy machine may need anyway.
    """
    async with database.transaction() as connection:
        await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        yield connection
