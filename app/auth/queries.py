"""Reads of users."""

from typing import Final
from uuid import UUID

import asyncpg
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.auth import tables, usernames
from app.auth.roles import Role
from app.auth.values import User
from app.core.sql import Statement

# The role of a user who may sign in.
_ACTIVE_ROLE: Final = Statement("SELECT role FROM users WHERE id = :user_id AND is_active")


async def find_user(session: AsyncSession, username: str) -> User | None:
    """The account with this name in any spelling (see `usernames.key`)."""
    found = await session.exec(select(tables.User).where(tables.User.username_key == usernames.key(username)))
    row = found.one_or_none()
    return None if row is None else User.from_row(row)


async def get_user(session: AsyncSession, user_id: UUID) -> User | None:
    """The account with this id."""
    row = await session.get(tables.User, user_id)
    return None if row is None else User.from_row(row)


async def active_role(connection: asyncpg.Connection, user_id: UUID) -> Role | None:
    """The role of a user; None if the account is deactivated or deleted."""
    role: str | None = await _ACTIVE_ROLE.fetchval(connection, user_id=user_id)
    return None if role is None else Role(role)
