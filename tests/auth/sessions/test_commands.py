"""Ending sessions, at the same time as other requests."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from app.audit.values import Actor
from app.auth import commands
from app.auth.sessions import commands as sessions
from app.core.database import Database
from app.core.errors import Unauthorized
from tests.support import jobs, rows

LIFETIME = timedelta(hours=1)

End = Callable[[asyncpg.Connection, UUID, UUID], Awaitable[object]]


async def end(connection: asyncpg.Connection, user_id: UUID, session_id: UUID) -> object:
    return await sessions.end(connection, user_id, session_id)


async def end_all(connection: asyncpg.Connection, user_id: UUID, _session_id: UUID) -> object:
    return await sessions.end_all(connection, user_id)


@pytest.mark.parametrize("ending", [end, end_all])
async def test_a_session_that_is_refreshed_is_ended_after_the_refresh_without_a_deadlock(
    database: Database, ending: End
) -> None:
    user_id = await jobs.user(database, "ada")
    async with database.session() as session:
        issued = await commands.issue_refresh_token(session, user_id, lifetime=LIFETIME)

    async def end_it() -> None:
        async with database.transaction() as connection:
            await ending(connection, user_id, issued.session_id)

    async with database.session() as session:
        # The refresh is idle until the end is blocked, which may take a busy machine a while.
        connection = await session.connection()
        await connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        spent = await commands.spend_refresh_token(session, issued.refresh_token, by=Actor())
        assert spent is not None
        ended = asyncio.create_task(end_it())
        await rows.wait_until_blocked(database)
        successor = await commands.issue_refresh_token(
            session, user_id, session_id=spent.session_id, lifetime=LIFETIME
        )
    await ended

    async with database.session() as session:
        assert await commands.spend_refresh_token(session, successor.refresh_token, by=Actor()) is None
    with pytest.raises(Unauthorized):
        async with database.session() as session:
            await commands.issue_refresh_token(
                session, user_id, session_id=spent.session_id, lifetime=LIFETIME
            )


async def test_tokens_that_another_request_holds_are_not_waited_for(database: Database) -> None:
    user_id = await jobs.user(database, "ada")
    for _ in range(2):
        async with database.session() as session:
            await commands.issue_refresh_token(session, user_id, lifetime=LIFETIME)
    await rows.execute(database, "UPDATE refresh_tokens SET expires_at = now() - interval '1 second'")
    held = "SELECT id FROM refresh_tokens ORDER BY id LIMIT 1"

    async with rows.transaction(database) as connection:
        held_id = await connection.fetchval(f"{held} FOR UPDATE")
        async with database.session() as session:
            await commands.issue_refresh_token(session, user_id, lifetime=LIFETIME)

    left = await rows.fetch(database, "SELECT id FROM refresh_tokens WHERE expires_at < now()")
    assert [row["id"] for row in left] == [held_id]


async def test_pruning_waits_for_no_request(database: Database) -> None:
    user_id = await jobs.user(database, "ada")
    for _ in range(2):
        async with database.session() as session:
            await commands.issue_refresh_token(session, user_id, lifetime=LIFETIME)
    await rows.execute(database, "UPDATE sessions SET expires_at = now() - interval '1 second'")

    async with rows.transaction(database) as connection:
        held_id = await connection.fetchval("SELECT id FROM sessions ORDER BY id LIMIT 1 FOR UPDATE")
        async with database.connection() as pruning:
            await sessions.prune(pruning)

    assert [row["id"] for row in await rows.fetch(database, "SELECT id FROM sessions")] == [held_id]
