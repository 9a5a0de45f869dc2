"""Ends sessions: their refresh tokens at once, their access tokens within a second.

A refresh locks its token first and its session second. These statements do the same, to prevent a deadlock.
"""

from typing import Final
from uuid import UUID

import asyncpg

from app.core.sql import Statement

# End the open sessions of a user but one. The tokens are revoked by user, not by session: sign-ins by an
# earlier version have no session until their first refresh.
_END_ALL: Final = Statement("""
WITH revoked AS (
    UPDATE refresh_tokens SET revoked_at = now()
    WHERE user_id = :user_id AND revoked_at IS NULL AND family_id IS DISTINCT FROM :kept_id::uuid
    RETURNING id
), ended AS (
    UPDATE sessions SET ended_at = now()
    WHERE user_id = :user_id AND ended_at IS NULL AND id IS DISTINCT FROM :kept_id::uuid
        AND (SELECT count(*) FROM revoked) >= 0
    RETURNING id
)
SELECT count(*) FROM ended""")

# End one open session of a user, and tell whether there was one.
_END: Final = Statement("""
WITH revoked AS (
    UPDATE refresh_tokens SET revoked_at = now()
    WHERE family_id = :session_id AND user_id = :user_id AND revoked_at IS NULL
    RETURNING id
), ended AS (
    UPDATE sessions SET ended_at = now()
    WHERE id = :session_id AND user_id = :user_id AND ended_at IS NULL
        AND (SELECT count(*) FROM revoked) >= 0
    RETURNING id
)
SELECT count(*) > 0 FROM ended""")

# Delete the sessions whose tokens have all expired, without waiting for requests, which hold locks in another
# order.
_PRUNE: Final = Statement("""
DELETE FROM sessions WHERE id = ANY (ARRAY(
    SELECT id FROM sessions WHERE expires_at < now() FOR UPDATE SKIP LOCKED))""")


async def end_all(connection: asyncpg.Connection, user_id: UUID, *, kept_id: UUID | None = None) -> int:
    """End all sessions of a user, except `kept_id`. Return how many were open."""
    count: int = await _END_ALL.fetchval(connection, user_id=user_id, kept_id=kept_id)
    return count


async def end(connection: asyncpg.Connection, user_id: UUID, session_id: UUID) -> bool:
    """End a session of a user. Return whether there was an open one."""
    is_ended: bool = await _END.fetchval(connection, user_id=user_id, session_id=session_id)
    return is_ended


async def prune(connection: asyncpg.Connection) -> None:
    """Delete the sessions that have expired."""
    await _PRUNE.execute(connection)
