"""Changes of invitations."""

from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg

from app.auth import tokens
from app.auth.roles import Role
from app.auth.values import Invitation
from app.core import ids
from app.core.sql import Statement

# Store a new invitation.
_ISSUE: Final = Statement("""
INSERT INTO invitations (id, token_hash, role, expires_at)
VALUES (:id, :token_hash, :role, now() + :lifetime::interval) RETURNING *""")

# Revoke an invitation, and tell whether there was one.
_REVOKE: Final = Statement(
    "DELETE FROM invitations WHERE id = :invitation_id AND expires_at > now() RETURNING id"
)

# Delete the invitations that have expired.
_PRUNE: Final = Statement("DELETE FROM invitations WHERE expires_at < now()")


async def issue(connection: asyncpg.Connection, role: Role, lifetime: timedelta) -> tuple[Invitation, str]:
    """Create an invitation for one account with this role. Return it, and its token."""
    token = tokens.new_opaque_token()
    row = await _ISSUE.fetchrow(
        connection,
        id=ids.new_id(),
        token_hash=tokens.hash_opaque_token(token),
        role=str(role),
        lifetime=lifetime,
    )
    assert row is not None  # noqa: S101  # RETURNING
    return Invitation.from_row(row), token


async def revoke(connection: asyncpg.Connection, invitation_id: UUID) -> bool:
    """Revoke an invitation. Return whether it could still be used."""
    return await _REVOKE.fetchval(connection, invitation_id=invitation_id) is not None


async def prune(connection: asyncpg.Connection) -> None:
    """Delete the invitations that have expired."""
    await _PRUNE.execute(connection)
