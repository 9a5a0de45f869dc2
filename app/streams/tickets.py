"""Tickets: how a browser, which cannot set headers on a stream, says who it is.

A ticket opens one stream, once, within 30 seconds. An EventSource reconnects by itself, with the same URL and
so with a spent ticket. A resume token lets it in again: the stream sends the token with the ids of its
events, the client returns it in `Last-Event-ID`, and it is never in a URL (decision 0014).

A ticket is good for no longer than the access token that it was issued for, and so is its stream.
"""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg

LIFETIME: Final = timedelta(seconds=30)
RESUME_WINDOW: Final = timedelta(seconds=90)
"""How long after a stream was last seen open it can be resumed. Open ones are renewed each 30 seconds."""

TICKET_BYTES: Final = 24
RESUME_TOKEN_BYTES: Final = 16
MAX_LENGTH: Final = 64
_RESUMABLE_ID: Final = re.compile(r"([^.]*)\.([A-Za-z0-9_-]{22})")


@dataclass(frozen=True)
class Holder:
    """Whose ticket it was, until when their token is good, and for which job; None is for all of the user's.

    `token_expires_at` is in seconds since 1970; None for a ticket of a process that did not note it yet.
    """

    user_id: UUID
    token_expires_at: float | None
    job_id: UUID | None


@dataclass(frozen=True)
class Resumable:
    """A stream that a ticket has opened, and what its client shows when it reconnects."""

    ticket_hash: bytes
    resume_token: str

    def event_id(self, place: str) -> str:
        """The id of an event: its place in the log, and the resume token."""
        return f"{place}.{self.resume_token}"


def split_event_id(event_id: str) -> tuple[str, str | None]:
    """The place and the resume token in an event's id; ids of streams without a ticket have no token."""
    found = _RESUMABLE_ID.fullmatch(event_id)
    return (event_id, None) if found is None else (found[1], found[2])


async def issue(
    connection: asyncpg.Connection, user_id: UUID, token_expires_at: float, job_id: UUID | None
) -> str:
    """A new ticket. A ticket for a job opens streams of that job only."""
    ticket = secrets.token_urlsafe(TICKET_BYTES)
    await connection.execute(
        """INSERT INTO stream_tickets (ticket_hash, user_id, job_id, expires_at, token_expires_at)
        VALUES ($1, $2, $3, now() + $4::interval, to_timestamp($5))""",
        _hash(ticket),
        user_id,
        job_id,
        LIFETIME,
        token_expires_at,
    )
    return ticket


async def spend(connection: asyncpg.Connection, ticket: str) -> Holder | None:
    """Use a ticket up, for a stream that cannot be resumed with it.

    None if it is unknown, spent or too old, if its token has expired, or if its user's account is closed.
    """
    if not _may_be_a_ticket(ticket):
        return None
    row = await connection.fetchrow(
        """DELETE FROM stream_tickets t USING users u
        WHERE t.ticket_hash = $1 AND t.expires_at > now() AND t.resume_hash IS NULL
            AND u.id = t.user_id AND u.is_active
            AND coalesce(t.token_expires_at > now(), true)
        RETURNING t.user_id, t.job_id, t.token_expires_at""",
        _hash(ticket),
    )
    return _holder(row)


async def open_stream(
    connection: asyncpg.Connection, ticket: str, path: str
) -> tuple[Holder, Resumable] | None:
    """Spend a ticket on the stream at this path, which can be resumed. None as `spend`."""
    if not _may_be_a_ticket(ticket):
        return None
    resumable = Resumable(_hash(ticket), secrets.token_urlsafe(RESUME_TOKEN_BYTES))
    row = await connection.fetchrow(
        """UPDATE stream_tickets t SET resume_hash = $2, expires_at = now() + $3::interval FROM users u
        WHERE t.ticket_hash = $1 AND t.expires_at > now() AND t.resume_hash IS NULL
            AND u.id = t.user_id AND u.is_active
            AND coalesce(t.token_expires_at > now(), true)
        RETURNING t.user_id, t.job_id, t.token_expires_at""",
        resumable.ticket_hash,
        _resume_hash(resumable.resume_token, path),
        RESUME_WINDOW,
    )
    holder = _holder(row)
    return None if holder is None else (holder, resumable)


async def resume_stream(
    connection: asyncpg.Connection, ticket: str, path: str, resume_token: str
) -> tuple[Holder, Resumable] | None:
    """Let the client of a stream reconnect to it.

    None as `spend`, and if the resume token is not that of this ticket and path.
    """
    if not _may_be_a_ticket(ticket):
        return None
    resumable = Resumable(_hash(ticket), resume_token)
    row = await connection.fetchrow(
        """UPDATE stream_tickets t SET expires_at = now() + $3::interval FROM users u
        WHERE t.ticket_hash = $1 AND t.expires_at > now() AND t.resume_hash = $2
            AND u.id = t.user_id AND u.is_active
            AND coalesce(t.token_expires_at > now(), true)
        RETURNING t.user_id, t.job_id, t.token_expires_at""",
        resumable.ticket_hash,
        _resume_hash(resume_token, path),
        RESUME_WINDOW,
    )
    holder = _holder(row)
    return None if holder is None else (holder, resumable)


async def renew(connection: asyncpg.Connection, ticket_hashes: Sequence[bytes]) -> None:
    """Keep the streams of these tickets resumable: they are open."""
    await connection.execute(
        "UPDATE stream_tickets SET expires_at = now() + $2::interval WHERE ticket_hash = ANY ($1)",
        list(ticket_hashes),
        RESUME_WINDOW,
    )


async def prune(connection: asyncpg.Connection) -> None:
    """Remove tickets that were not used in time, and those whose stream can no longer be resumed."""
    await connection.execute("DELETE FROM stream_tickets WHERE expires_at < now()")


def _holder(row: asyncpg.Record | None) -> Holder | None:
    if row is None:
        return None
    expires_at = row["token_expires_at"]
    return Holder(row["user_id"], None if expires_at is None else expires_at.timestamp(), row["job_id"])


def _may_be_a_ticket(text: str) -> bool:
    return len(text) <= MAX_LENGTH and text.isascii()


def _hash(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode()).digest()


def _resume_hash(resume_token: str, path: str) -> bytes:
    """With the path in it: the token of one stream resumes no other."""
    return hashlib.sha256(f"{resume_token} {path}".encode()).digest()
