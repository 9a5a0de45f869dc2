"""Reads of accounts, for administrators."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg

from app.auth import usernames
from app.auth.errors import UserNotFound
from app.auth.roles import Role
from app.auth.values import Account
from app.core import paging
from app.core.paging import Page, to_page
from app.core.sql import Statement

# Which account has this id?
_ACCOUNT: Final = Statement("SELECT * FROM users WHERE id = :user_id AND deleted_at IS NULL")

# Which account has this name?
_NAMED: Final = Statement("SELECT * FROM users WHERE username_key = :key AND deleted_at IS NULL")

# Which accounts match the filter, newest first, from before this one?
_PAGE: Final = Statement(
    paging.bounded(
        """SELECT * FROM users
        WHERE deleted_at IS NULL AND (:before::uuid IS NULL OR id < :before)
            AND (:role::text IS NULL OR role = :role)
            AND (:is_active::boolean IS NULL OR is_active = :is_active)
            AND (:prefix::text IS NULL OR starts_with(username_key, :prefix))
        ORDER BY id DESC LIMIT :limit""",
        size="octet_length(username) + coalesce(octet_length(email), 0)",
        order="id DESC",
    )
)

# Which accounts are being removed? In any order, so that accounts whose data cannot be removed yet hold up no
# others.
_DELETED: Final = Statement("""
SELECT id FROM users WHERE deleted_at IS NOT NULL ORDER BY random() LIMIT :limit""")


@dataclass(frozen=True)
class UserFilter:
    """Which accounts to list; None means any. `prefix` is the beginning of the username, in any spelling."""

    role: Role | None = None
    is_active: bool | None = None
    prefix: str | None = None


async def get(connection: asyncpg.Connection, user_id: UUID) -> Account:
    """Return an account. Raises UserNotFound."""
    row = await _ACCOUNT.fetchrow(connection, user_id=user_id)
    if row is None:
        raise UserNotFound(user=str(user_id))
    return Account.from_row(row)


async def get_by_name(connection: asyncpg.Connection, username: str) -> Account:
    """Return the account with this name in any spelling. Raises UserNotFound."""
    row = await _NAMED.fetchrow(connection, key=usernames.key(username))
    if row is None:
        raise UserNotFound(user=username)
    return Account.from_row(row)


async def page(
    connection: asyncpg.Connection, wanted: UserFilter, *, before: UUID | None, limit: int
) -> Page[Account]:
    """Return a page of accounts, newest first, starting after the account `before`."""
    rows = await _PAGE.fetch(
        connection,
        role=None if wanted.role is None else str(wanted.role),
        is_active=wanted.is_active,
        prefix=None if wanted.prefix is None else usernames.key(wanted.prefix),
        before=before,
        limit=limit + 1,
    )
    return to_page(rows, limit, Account.from_row)


async def deleted(connection: asyncpg.Connection, *, limit: int) -> list[UUID]:
    """Return accounts that were deleted and whose data is still being removed."""
    return [row["id"] for row in await _DELETED.fetch(connection, limit=limit)]
