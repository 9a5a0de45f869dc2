"""Issues, spends and prunes download tickets.

A ticket opens one path, once, within 30 seconds. Only the hash of the ticket and its path is stored. It is
worth nothing once the token that it was issued for has expired, or its session has ended.
"""

import hashlib
import secrets
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg

from app.auth.identities import Identity
from app.auth.permissions import Scope
from app.auth.queries import CREDENTIAL_IS_VALID
from app.auth.roles import Role
from app.core.rows import Row
from app.core.sql import Statement

LIFETIME: Final = timedelta(seconds=30)
TICKET_BYTES: Final = 24
MAX_LENGTH: Final = 64

# Store a new ticket.
_ISSUE: Final = Statement("""
INSERT INTO download_tickets (
    ticket_hash, user_id, session_id, key_id, scopes, expires_at, token_expires_at)
VALUES (
    :ticket_hash, :user_id, :session_id, :key_id, :scopes, now() + :lifetime::interval,
    to_timestamp(:token_expires_at))""")

# Delete a valid ticket, and tell whose it was.
_SPEND: Final = Statement(f"""
DELETE FROM download_tickets held USING users u
WHERE held.ticket_hash = :ticket_hash AND held.expires_at > now()
    AND coalesce(held.token_expires_at > now(), true) AND {CREDENTIAL_IS_VALID}
RETURNING u.role, held.user_id, held.session_id, held.key_id, held.scopes, held.token_expires_at""")

# Delete the tickets that have expired.
_PRUNE: Final = Statement("DELETE FROM download_tickets WHERE expires_at < now()")


async def issue(connection: asyncpg.Connection, identity: Identity, path: str) -> str:
    """Issue a ticket for a canonical path."""
    ticket = secrets.token_urlsafe(TICKET_BYTES)
    await _ISSUE.execute(
        connection,
        ticket_hash=_hash(ticket, path),
        user_id=identity.id,
        session_id=identity.session_id,
        key_id=identity.key_id,
        scopes=None if identity.scopes is None else sorted(identity.scopes),
        lifetime=LIFETIME,
        token_expires_at=identity.token_expires_at,
    )
    return ticket


async def spend(connection: asyncpg.Connection, ticket: str, path: str) -> Identity | None:
    """Spend a ticket on a canonical path. Return the caller to whom it was issued, with their current role.

    None if it is unknown, spent, expired or for another path, or if the caller may no longer act.
    """
    if len(ticket) > MAX_LENGTH or not ticket.isascii():
        return None
    row = await _SPEND.fetchrow(connection, ticket_hash=_hash(ticket, path))
    return None if row is None else _identity(row)


async def prune(connection: asyncpg.Connection) -> None:
    """Delete the tickets that have expired."""
    await _PRUNE.execute(connection)


def _identity(row: Row) -> Identity:
    user_id: UUID = row["user_id"]
    expires_at, scopes = row["token_expires_at"], row["scopes"]
    return Identity(
        user_id,
        Role(row["role"]),
        None if expires_at is None else expires_at.timestamp(),
        row["session_id"],
        row["key_id"],
        None if scopes is None else frozenset(map(Scope, scopes)),
    )


def _hash(ticket: str, path: str) -> bytes:
    return hashlib.sha256(f"{ticket} {path}".encode()).digest()
