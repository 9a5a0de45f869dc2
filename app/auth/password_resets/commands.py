"""Changes of passwords. Call each in a transaction.

Each locks the user first, reset tokens second and sessions last, to prevent a deadlock.
"""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg

from app.auth import tokens
from app.auth.errors import InvalidPasswordReset, WrongPassword
from app.auth.sessions import commands as sessions
from app.core.sql import Statement

# Store a new reset token.
_ISSUE: Final = Statement("""
INSERT INTO password_resets (token_hash, user_id, expires_at)
VALUES (:token_hash, :user_id, now() + :lifetime::interval) RETURNING expires_at""")

# Delete the reset tokens of a user.
_REVOKE: Final = Statement("DELETE FROM password_resets WHERE user_id = :user_id")

# Spend a reset token, and tell whose it was.
_SPEND: Final = Statement("""
WITH locked AS (
    SELECT u.id FROM users u JOIN password_resets r ON r.user_id = u.id
    WHERE r.token_hash = :token_hash AND r.expires_at > now() AND u.deleted_at IS NULL
    FOR NO KEY UPDATE OF u
)
DELETE FROM password_resets r USING locked
WHERE r.token_hash = :token_hash AND r.user_id = locked.id
RETURNING r.user_id""")

# Replace a password.
_SET: Final = Statement("UPDATE users SET password_hash = :password_hash WHERE id = :user_id")

# Replace a password, unless it was changed since its hash was read.
_REPLACE: Final = Statement("""
UPDATE users SET password_hash = :password_hash
WHERE id = :user_id AND password_hash = :earlier_hash AND deleted_at IS NULL RETURNING id""")

# Delete the tokens that have expired, without waiting for requests, which hold locks in another order.
_PRUNE: Final = Statement("""
DELETE FROM password_resets WHERE token_hash = ANY (ARRAY(
    SELECT token_hash FROM password_resets WHERE expires_at < now() FOR UPDATE SKIP LOCKED))""")


async def issue(connection: asyncpg.Connection, user_id: UUID, lifetime: timedelta) -> tuple[str, datetime]:
    """Create a reset token for a user, and revoke earlier ones. Return it, and when it expires."""
    token = tokens.new_opaque_token()
    await _REVOKE.execute(connection, user_id=user_id)
    expires_at: datetime = await _ISSUE.fetchval(
        connection, token_hash=tokens.hash_opaque_token(token), user_id=user_id, lifetime=lifetime
    )
    return token, expires_at


async def use(connection: asyncpg.Connection, token: str, password_hash: str) -> UUID:
    """Spend a reset token on a new password, and end all sessions of its user, whom it returns.

    Raises InvalidPasswordReset.
    """
    user_id: UUID | None = await _SPEND.fetchval(connection, token_hash=tokens.hash_opaque_token(token))
    if user_id is None:
        raise InvalidPasswordReset
    await set_password(connection, user_id, password_hash)
    return user_id


async def set_password(connection: asyncpg.Connection, user_id: UUID, password_hash: str) -> None:
    """Set the password of a user, end all sessions and revoke the reset tokens."""
    await _SET.execute(connection, user_id=user_id, password_hash=password_hash)
    await _REVOKE.execute(connection, user_id=user_id)
    await sessions.end_all(connection, user_id)


async def change_password(
    connection: asyncpg.Connection,
    user_id: UUID,
    *,
    earlier_hash: str,
    password_hash: str,
    session_id: UUID | None,
) -> None:
    """Change a user's own password and end the other sessions.

    Raises WrongPassword if the password was changed since `earlier_hash` was read.
    """
    changed = await _REPLACE.fetchval(
        connection, user_id=user_id, earlier_hash=earlier_hash, password_hash=password_hash
    )
    if changed is None:
        raise WrongPassword
    await _REVOKE.execute(connection, user_id=user_id)
    await sessions.end_all(connection, user_id, kept_id=session_id)


async def prune(connection: asyncpg.Connection) -> None:
    """Delete the reset tokens that have expired."""
    await _PRUNE.execute(connection)
