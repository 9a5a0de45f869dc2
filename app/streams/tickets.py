"""Tickets authenticate browsers, which cannot set headers on a stream.

A ticket opens one stream, once, within 30 seconds. An EventSource reconnects by itself, with the same URL and
so with a spent ticket. A resume token admits it again: the stream sends the token with the ids of its
events, the client returns it in `Last-Event-ID`, and it is never in a URL (decision 0014).

A ticket ends with the access token and the session that it was issued for, and so does its stream.
"""

# ruff: noqa: S608  # SQL put together from constants; values are parameters

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Self
from uuid import UUID

import asyncpg

from app.auth.identities import Identity
from app.auth.permissions import Scope
from app.auth.queries import CREDENTIAL_IS_VALID
from app.auth.roles import Role
from app.core.rows import Row
from app.core.sql import Statement

LIFETIME: Final = timedelta(seconds=30)
RESUME_WINDOW: Final = timedelta(seconds=90)
"""How long a stream can be resumed after it was last seen open. Open ones are renewed every 30 seconds."""

TICKET_BYTES: Final = 24
RESUME_TOKEN_BYTES: Final = 16
MAX_LENGTH: Final = 64
_RESUMABLE_ID: Final = re.compile(r"([^.]*)\.([A-Za-z0-9_-]{22})")

_VALID: Final = f"""held.expires_at > now() AND coalesce(held.token_expires_at > now(), true)
    AND {CREDENTIAL_IS_VALID}"""

_HOLDER: Final = """u.role, held.user_id, held.session_id, held.key_id, held.scopes, held.job_id,
    held.token_expires_at"""

# Stores a new ticket.
_ISSUE: Final = Statement("""
INSERT INTO stream_tickets (
    ticket_hash, user_id, session_id, key_id, scopes, job_id, expires_at, token_expires_at)
VALUES (
    :ticket_hash, :user_id, :session_id, :key_id, :scopes, :job_id, now() + :lifetime::interval,
    to_timestamp(:token_expires_at))""")

# Deletes a valid ticket that was not spent.
_SPEND: Final = Statement(f"""
DELETE FROM stream_tickets held USING users u
WHERE held.ticket_hash = :ticket_hash AND held.resume_hash IS NULL AND {_VALID}
RETURNING {_HOLDER}""")

# Spends a valid ticket, and stores the hash of the token that resumes its stream.
_OPEN: Final = Statement(f"""
UPDATE stream_tickets held SET resume_hash = :resume_hash, expires_at = now() + :window::interval FROM users u
WHERE held.ticket_hash = :ticket_hash AND held.resume_hash IS NULL AND {_VALID}
RETURNING {_HOLDER}""")

# Extends a ticket that is spent on the stream with this resume token.
_RESUME: Final = Statement(f"""
UPDATE stream_tickets held SET expires_at = now() + :window::interval FROM users u
WHERE held.ticket_hash = :ticket_hash AND held.resume_hash = :resume_hash AND {_VALID}
RETURNING {_HOLDER}""")

# Extends the tickets of open streams.
_RENEW: Final = Statement("""
UPDATE stream_tickets SET expires_at = now() + :window::interval WHERE ticket_hash = ANY (:ticket_hashes)""")

# Deletes the tickets that have expired.
_PRUNE: Final = Statement("DELETE FROM stream_tickets WHERE expires_at < now()")


@dataclass(frozen=True)
class Holder:
    """The caller who was issued a ticket, and the one job it is for; None means all jobs.

    The caller's role is the current one. Without a session, an earlier version has issued the ticket.
    """

    identity: Identity
    job_id: UUID | None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of `stream_tickets`, with the user's role."""
        expires_at, scopes = row["token_expires_at"], row["scopes"]
        identity = Identity(
            row["user_id"],
            Role(row["role"]),
            None if expires_at is None else expires_at.timestamp(),
            row["session_id"],
            row["key_id"],
            None if scopes is None else frozenset(map(Scope, scopes)),
        )
        return cls(identity, row["job_id"])


@dataclass(frozen=True)
class Resumable:
    """A stream that a ticket has opened, and the token with which its client reconnects."""

    ticket_hash: bytes
    resume_token: str

    def event_id(self, position: str) -> str:
        """Return the id of an event: its position in the log, and the resume token."""
        return f"{position}.{self.resume_token}"


def split_event_id(event_id: str) -> tuple[str, str | None]:
    """Return the position and the resume token in an event's id; without a ticket there is no token."""
    found = _RESUMABLE_ID.fullmatch(event_id)
    return (event_id, None) if found is None else (found[1], found[2])


async def issue(connection: asyncpg.Connection, identity: Identity, job_id: UUID | None) -> str:
    """Issue a ticket. A ticket for a job opens streams of that job only."""
    ticket = secrets.token_urlsafe(TICKET_BYTES)
    await _ISSUE.execute(
        connection,
        ticket_hash=_hash(ticket),
        user_id=identity.id,
        session_id=identity.session_id,
        key_id=identity.key_id,
        scopes=None if identity.scopes is None else sorted(identity.scopes),
        job_id=job_id,
        lifetime=LIFETIME,
        token_expires_at=identity.token_expires_at,
    )
    return ticket


async def spend(connection: asyncpg.Connection, ticket: str) -> Holder | None:
    """Spend a ticket on a stream that cannot be resumed with it.

    Return None if it is unknown, spent or expired, if its token has expired or its session has ended, or if
    the account is closed.
    """
    if not _may_be_a_ticket(ticket):
        return None
    row = await _SPEND.fetchrow(connection, ticket_hash=_hash(ticket))
    return None if row is None else Holder.from_row(row)


async def open_stream(
    connection: asyncpg.Connection, ticket: str, path: str
) -> tuple[Holder, Resumable] | None:
    """Spend a ticket on the stream at this path, which can be resumed. Return None as `spend` does."""
    if not _may_be_a_ticket(ticket):
        return None
    resumable = Resumable(_hash(ticket), secrets.token_urlsafe(RESUME_TOKEN_BYTES))
    row = await _OPEN.fetchrow(
        connection,
        ticket_hash=resumable.ticket_hash,
        resume_hash=_resume_hash(resumable.resume_token, path),
        window=RESUME_WINDOW,
    )
    return None if row is None else (Holder.from_row(row), resumable)


async def resume_stream(
    connection: asyncpg.Connection, ticket: str, path: str, resume_token: str
) -> tuple[Holder, Resumable] | None:
    """Let the client of a stream reconnect to it.

    Return None as `spend` does, and if the resume token is not the one of this ticket and path.
    """
    if not _may_be_a_ticket(ticket):
        return None
    resumable = Resumable(_hash(ticket), resume_token)
    row = await _RESUME.fetchrow(
        connection,
        ticket_hash=resumable.ticket_hash,
        resume_hash=_resume_hash(resume_token, path),
        window=RESUME_WINDOW,
    )
    return None if row is None else (Holder.from_row(row), resumable)


async def renew(connection: asyncpg.Connection, ticket_hashes: Sequence[bytes]) -> None:
    """Keep the streams of these tickets resumable, because they are open."""
    await _RENEW.execute(connection, ticket_hashes=list(ticket_hashes), window=RESUME_WINDOW)


async def prune(connection: asyncpg.Connection) -> None:
    """Delete tickets that expired unused, and those whose stream can no longer be resumed."""
    await _PRUNE.execute(connection)


def _may_be_a_ticket(text: str) -> bool:
    return len(text) <= MAX_LENGTH and text.isascii()


def _hash(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode()).digest()


def _resume_hash(resume_token: str, path: str) -> bytes:
    """Hash the path too: the token of one stream resumes no other."""
    return hashlib.sha256(f"{resume_token} {path}".encode()).digest()
