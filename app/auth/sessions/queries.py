"""Reads of sessions."""

from typing import Final
from uuid import UUID

import asyncpg

from app.auth import tokens
from app.auth.values import Credential, Session
from app.core.sql import Statement

MAX_LISTED: Final = 100

# Which sessions of this user are open, the last used first?
_OPEN: Final = Statement("""
SELECT * FROM sessions WHERE user_id = :user_id AND ended_at IS NULL AND expires_at > now()
ORDER BY last_used_at DESC, id DESC LIMIT :limit""")

# Which session does the token in a cookie belong to?
_OF_COOKIE: Final = Statement("""
SELECT user_id, family_id FROM refresh_tokens WHERE token_hash = :token_hash AND in_cookie""")


async def open_sessions(connection: asyncpg.Connection, user_id: UUID) -> list[Session]:
    """Return the open sessions of a user, the last used first, at most MAX_LISTED."""
    rows = await _OPEN.fetch(connection, user_id=user_id, limit=MAX_LISTED)
    return [Session.from_row(row) for row in rows]


async def of_cookie(connection: asyncpg.Connection, token: str) -> Credential | None:
    """The session to which the token in a cookie belongs, whether the token is still valid or not."""
    row = await _OF_COOKIE.fetchrow(connection, token_hash=tokens.hash_opaque_token(token))
    return None if row is None else Credential(row["user_id"], row["family_id"])
