"""Spending a reset token decides whether it is valid, whatever was found before."""

from datetime import timedelta

import pytest

from app.auth.errors import InvalidPasswordReset
from app.auth.password_resets import commands
from app.core.database import Database
from tests.support import jobs, rows


async def test_an_expired_token_sets_no_password(database: Database) -> None:
    user_id = await jobs.user(database, "ada")
    async with database.transaction() as connection:
        token, _ = await commands.issue(connection, user_id, timedelta(hours=1))
    await rows.execute(database, "UPDATE password_resets SET expires_at = now() - interval '1 second'")

    with pytest.raises(InvalidPasswordReset):
        async with database.transaction() as connection:
            await commands.use(connection, token, "another hash")

    assert await rows.value(database, "SELECT password_hash FROM users") == "none"
