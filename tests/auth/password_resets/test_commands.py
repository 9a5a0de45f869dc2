"""Spending a reset token decides whether it is valid, whatever was found before."""

import asyncio
from datetime import timedelta

import pytest

from app.auth.errors import InvalidPasswordReset
from app.auth.password_resets import commands
from app.core.database import Database
from tests.support import jobs, rows


async def test_a_token_that_is_spent_during_another_change_ends_without_a_deadlock(
    database: Database,
) -> None:
    user_id = await jobs.user(database, "ada")
    async with database.transaction() as connection:
        token, _ = await commands.issue(connection, user_id, timedelta(hours=1))

    async def use() -> None:
        async with database.transaction() as connection:
            await commands.use(connection, token, "hash of the reset")

    async with rows.transaction(database) as connection:
        await connection.execute("UPDATE users SET password_hash = 'earlier' WHERE id = $1", user_id)
        using = asyncio.create_task(use())
        await rows.wait_until_blocked(database)
        await commands.set_password(connection, user_id, "hash of the change")

    with pytest.raises(InvalidPasswordReset):
        await using
    assert await rows.value(database, "SELECT password_hash FROM users") == "hash of the change"


async def test_an_expired_token_sets_no_password(database: Database) -> None:
    user_id = await jobs.user(database, "ada")
    async with database.transaction() as connection:
        token, _ = await commands.issue(connection, user_id, timedelta(hours=1))
    await rows.execute(database, "UPDATE password_resets SET expires_at = now() - interval '1 second'")

    with pytest.raises(InvalidPasswordReset):
        async with database.transaction() as connection:
            await commands.use(connection, token, "another hash")

    assert await rows.value(database, "SELECT password_hash FROM users") == "none"


async def test_pruning_waits_for_no_request(database: Database) -> None:
    user_ids = [await jobs.user(database, name) for name in ("ada", "bob")]
    async with database.transaction() as connection:
        for user_id in user_ids:
            await commands.issue(connection, user_id, timedelta(hours=1))
    await rows.execute(database, "UPDATE password_resets SET expires_at = now() - interval '1 second'")

    async with rows.transaction(database) as connection:
        await connection.execute("SELECT FROM password_resets WHERE user_id = $1 FOR UPDATE", user_ids[1])
        async with database.connection() as pruning:
            await commands.prune(pruning)

    [left] = await rows.fetch(database, "SELECT user_id FROM password_resets")
    assert left["user_id"] == user_ids[1]
