"""Reads of reset tokens."""

from typing import Final

import asyncpg

from app.auth import tokens
from app.core.sql import Statement

# Whose reset token is this?
_USERNAME: Final = Statement("""
SELECT u.username FROM password_resets r JOIN users u ON u.id = r.user_id
WHERE r.token_hash = :token_hash AND r.expires_at > now() AND u.deleted_at IS NULL""")


async def username_of(connection: asyncpg.Connection, token: str) -> str | None:
    """Return the name of the user whose password a token would reset; None if it is not valid."""
    found: str | None = await _USERNAME.fetchval(connection, token_hash=tokens.hash_opaque_token(token))
    return found
