"""Tickets: how a browser, which cannot set headers on a stream, says who it is. Used once, for 30 seconds."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg

LIFETIME: Final = timedelta(seconds=30)
TICKET_BYTES: Final = 24
MAX_LENGTH: Final = 64


@dataclass(frozen=True)
class Holder:
    """Whose ticket it was, and for which job; None is for all of the user's."""

    user_id: UUID
    job_id: UUID | None


async def issue(connection: asyncpg.Connection, user_id: UUID, job_id: UUID | None) -> str:
    """A new ticket. A ticket for a job opens streams of that job only."""
    ticket = secrets.token_urlsafe(TICKET_BYTES)
    await connection.execute(
        """INSERT INTO stream_tickets (ticket_hash, user_id, job_id, expires_at)
        VALUES ($1, $2, $3, now() + $4::interval)""",
        _hash(ticket),
        user_id,
        job_id,
        LIFETIME,
    )
    return ticket


async def spend(connection: asyncpg.Connection, ticket: str) -> Holder | None:
    """Use a ticket up. None if it is unknown, spent or too old, or if its user's account is closed."""
    if len(ticket) > MAX_LENGTH or not ticket.isascii():
        return None
    row = await connection.fetchrow(
        """DELETE FROM stream_tickets t USING users u
        WHERE t.ticket_hash = $1 AND t.expires_at > now() AND u.id = t.user_id AND u.is_active
        RETURNING t.user_id, t.job_id""",
        _hash(ticket),
    )
    return None if row is None else Holder(row["user_id"], row["job_id"])


async def prune(connection: asyncpg.Connection) -> None:
    """Remove tickets that nobody used in time."""
    await connection.execute("DELETE FROM stream_tickets WHERE expires_at < now()")


def _hash(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode()).digest()
