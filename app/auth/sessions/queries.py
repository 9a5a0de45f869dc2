"""Reads of sessions."""

from typing import Final
from uuid import UUID

import asyncpg

from app.auth.values import Session
from app.core.sql import Statement

MAX_LISTED: Final = 100

# Which sessions of this user are open, the last used first?
_OPEN: Final = Statement("""
SELECT * FROM sessions WHERE user_id = :user_id AND ended_at IS NULL AND expires_at > now()
ORDER BY last_used_at DESC, id DESC LIMIT :limit""")


async def open_sessions(connection: asyncpg.Connection, user_id: UUID) -> list[Session]:
    """Return the open sessions of a user, the last used first, at most MAX_LISTED."""
    rows = await _OPEN.fetch(connection, user_id=user_id, limit=MAX_LISTED)
    return [Session.from_row(row) for row in rows]
