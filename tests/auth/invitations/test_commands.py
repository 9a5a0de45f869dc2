"""Creating the account decides whether an invitation is valid, whatever was found before."""

from datetime import timedelta

import pytest

from app.audit.values import Actor
from app.auth import commands as accounts
from app.auth.errors import InvalidInvitation
from app.auth.invitations import commands
from app.auth.passwords import open_passwords
from app.auth.roles import Role
from app.core.database import Database
from tests.auth.support import PASSWORD
from tests.support import rows


async def test_an_expired_invitation_creates_no_account(database: Database) -> None:
    async with database.transaction() as connection:
        _, token = await commands.issue(connection, Role.ADMIN, timedelta(hours=1))
    await rows.execute(database, "UPDATE invitations SET expires_at = now() - interval '1 second'")

    async with open_passwords() as passwords:
        with pytest.raises(InvalidInvitation):
            async with database.session() as session:
                await accounts.create_user(
                    session, passwords, username="ada", password=PASSWORD, invitation=token, by=Actor()
                )

    assert await rows.value(database, "SELECT count(*) FROM users") == 0
