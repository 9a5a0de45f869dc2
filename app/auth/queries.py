"""Reads of users, and of what their credentials permit."""

from collections.abc import Collection
from typing import Final
from uuid import UUID

import asyncpg
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.auth import tables, usernames
from app.auth.roles import Role
from app.auth.values import Credential, User
from app.core.sql import RowSet, Statement

CREDENTIAL_IS_VALID: Final = """u.id = held.user_id AND u.is_active AND (held.session_id IS NULL OR EXISTS (
    SELECT FROM sessions s WHERE s.id = held.session_id AND s.user_id = u.id AND s.ended_at IS NULL))
    AND (held.key_id IS NULL OR EXISTS (
    SELECT FROM api_keys k WHERE k.id = held.key_id AND k.user_id = u.id
        AND (k.expires_at IS NULL OR k.expires_at > now())))"""
"""Whether the credential in the row `held` still authenticates the user in the row `u` of `users`."""

# Which role does this credential give, if it is still valid?
_ACTIVE_ROLE: Final = Statement(f"""
SELECT u.role FROM users u
JOIN (SELECT :user_id::uuid AS user_id, :session_id::uuid AS session_id, :key_id::uuid AS key_id) held
    ON {CREDENTIAL_IS_VALID}""")  # made of constants

_HELD: Final = RowSet("held", user_id="uuid", session_id="uuid", key_id="uuid")

# Which of these credentials are still valid, and which role does each give?
_ACTIVE_ROLES: Final = Statement(f"""
SELECT held.user_id, held.session_id, held.key_id, u.role
FROM {_HELD.sql} JOIN users u ON {CREDENTIAL_IS_VALID}""")  # made of constants


# Which user has this name?
_USER_ID: Final = Statement("SELECT id FROM users WHERE username_key = :key AND deleted_at IS NULL")


async def find_user(session: AsyncSession, username: str) -> User | None:
    """The account with this name in any spelling (see `usernames.key`), unless it is deleted."""
    found = await session.exec(
        select(tables.User).where(
            tables.User.username_key == usernames.key(username), col(tables.User.deleted_at).is_(None)
        )
    )
    row = found.one_or_none()
    return None if row is None else User.from_row(row)


async def get_user(session: AsyncSession, user_id: UUID) -> User | None:
    """The account with this id."""
    row = await session.get(tables.User, user_id)
    return None if row is None else User.from_row(row)


async def user_id(connection: asyncpg.Connection, username: str) -> UUID | None:
    """The id of the account with this name in any spelling."""
    found: UUID | None = await _USER_ID.fetchval(connection, key=usernames.key(username))
    return found


async def active_role(connection: asyncpg.Connection, credential: Credential) -> Role | None:
    """The role of a caller; None if the account is disabled, or the session or API key has ended."""
    role: str | None = await _ACTIVE_ROLE.fetchval(
        connection,
        user_id=credential.user_id,
        session_id=credential.session_id,
        key_id=credential.key_id,
    )
    return None if role is None else Role(role)


async def active_roles(
    connection: asyncpg.Connection, credentials: Collection[Credential]
) -> dict[Credential, Role]:
    """The roles of many credentials, without those that are no longer valid."""
    held = [
        {"user_id": one.user_id, "session_id": one.session_id, "key_id": one.key_id} for one in credentials
    ]
    rows = await _ACTIVE_ROLES.fetch(connection, **_HELD.parameters(held))
    return {Credential(row["user_id"], row["session_id"], row["key_id"]): Role(row["role"]) for row in rows}
