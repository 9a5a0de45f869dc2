"""Reads of API keys."""

from typing import Final
from uuid import UUID

import asyncpg

from app.auth.api_keys.values import ApiKey, ValidKey
from app.core import paging
from app.core.paging import Page, to_page
from app.core.sql import Statement

# Whose is this key, if it has not expired and its owner may sign in?
_VALID: Final = Statement("""
SELECT k.id, k.key_hash, k.user_id, k.scopes, k.expires_at, u.role
FROM api_keys k JOIN users u ON u.id = k.user_id AND u.is_active
WHERE k.id = :key_id AND (k.expires_at IS NULL OR k.expires_at > now())""")

# Which keys does this user have, or all users, newest first, from before this one?
_PAGE: Final = Statement(
    paging.bounded(
        """SELECT k.*, u.username AS owner FROM api_keys k JOIN users u ON u.id = k.user_id
        WHERE u.deleted_at IS NULL AND (:user_id::uuid IS NULL OR k.user_id = :user_id)
            AND (:before::uuid IS NULL OR k.id < :before)
        ORDER BY k.id DESC LIMIT :limit""",
        size="octet_length(name) + octet_length(owner)",
        order="id DESC",
    )
)


async def valid_key(connection: asyncpg.Connection, key_id: UUID) -> ValidKey | None:
    """Return the key with this id. None if there is none, it has expired, or its owner may not sign in.

    The caller compares the hash.
    """
    row = await _VALID.fetchrow(connection, key_id=key_id)
    return None if row is None else ValidKey.from_row(row)


async def page(
    connection: asyncpg.Connection, user_id: UUID | None, *, before: UUID | None, limit: int
) -> Page[ApiKey]:
    """Return a page of the keys of a user, or of all users, newest first, starting after the id `before`."""
    rows = await _PAGE.fetch(connection, user_id=user_id, before=before, limit=limit + 1)
    return to_page(rows, limit, ApiKey.from_row)
