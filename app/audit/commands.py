"""Changes of the audit log: recording entries, sealing them into the chain, pruning.

Recording inserts a row in the transaction of what it records, and waits for no other writer. A maintenance
duty then seals the committed entries: it gives each its number and its hash, one process at a time. From its
commit on, an entry can neither be changed nor deleted (the triggers of migration 0018).
"""

from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial
from typing import Any, Final

import asyncpg
import msgspec
import structlog
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from app.audit import queries
from app.audit.chain import hash_of
from app.audit.values import Actor, Chain, Entry, Link, Recorded
from app.core.database import Database
from app.core.sql import RowSet, Statement

log = structlog.get_logger(__name__)

MAX_ROUNDS: Final = 20
"""Bounds the time of a maintenance round."""

_INSERT: Final = """
INSERT INTO audit_log (actor_id, actor_name, session_id, key_id, network, request_id, action, object_type,
    object_id, outcome, details)
SELECT CAST(:user_id AS uuid),
    coalesce((SELECT username FROM users WHERE id = CAST(:user_id AS uuid)), CAST(:name AS text)),
    CAST(:session_id AS uuid), CAST(:key_id AS uuid), CAST(:network AS text), CAST(:request_id AS text),
    CAST(:action AS text), CAST(:object_type AS text), CAST(:object_id AS text), CAST(:outcome AS text),
    CAST(:details AS jsonb)"""

# Record an action.
_RECORD: Final = Statement(_INSERT)

_RECORD_IN_SESSION: Final = text(_INSERT)

# Record a failed or throttled attempt on an account, if there is one with this name. Otherwise the name is
# not stored: some users type their password there.
_RECORD_REFUSAL: Final = Statement("""
INSERT INTO audit_log (network, request_id, action, object_type, object_id, outcome, details)
SELECT :network, :request_id, :action, 'user', u.id::text, :outcome,
    :details::jsonb || CASE WHEN u.id IS NULL THEN '{}' ELSE jsonb_build_object('username', u.username) END
FROM (SELECT) attempt
LEFT JOIN users u ON u.username_key = :username_key::text AND u.deleted_at IS NULL""")

# Create the row of the chain.
_BEGIN: Final = Statement("INSERT INTO audit_chain DEFAULT VALUES ON CONFLICT DO NOTHING")

# Where does the chain end? Nobody else seals or prunes until the commit.
_LOCK: Final = Statement("SELECT * FROM audit_chain FOR UPDATE")

# Which entries are not sealed yet, the oldest first?
_UNSEALED: Final = Statement("SELECT * FROM audit_log WHERE seq IS NULL ORDER BY id LIMIT :limit")

_LINKS: Final = RowSet("link", id="bigint", seq="bigint", prev_hash="bytea", hash="bytea")

# Give entries their places in the chain.
_SEAL: Final = Statement(f"""
UPDATE audit_log e SET seq = link.seq, prev_hash = link.prev_hash, hash = link.hash
FROM {_LINKS.sql} WHERE e.id = link.id""")  # made of constants

# Move the end of the chain.
_ADVANCE: Final = Statement("UPDATE audit_chain SET last_seq = :seq, last_hash = :hash")

# Delete the oldest entries, and keep the hash of the last of them.
_PRUNE: Final = Statement("SELECT headrace_prune_audit_log(:age::interval, :limit::integer)")


async def record(connection: asyncpg.Connection, actor: Actor, entry: Entry) -> None:
    """Record an action, in the transaction that performs it. It is undone together with the action."""
    await _RECORD.execute(connection, **_parameters(actor, entry, msgspec.json.encode(dict(entry.details))))


async def record_all(connection: asyncpg.Connection, actor: Actor, entries: Iterable[Entry]) -> None:
    """Record several actions, in the transaction that performs them."""
    arguments = [
        _RECORD.arguments(_parameters(actor, entry, msgspec.json.encode(dict(entry.details))))
        for entry in entries
    ]
    await connection.executemany(_RECORD.text, arguments)


async def record_in_session(session: AsyncSession, actor: Actor, entry: Entry) -> None:
    """Record an action, in the transaction of a SQLModel session."""
    details = msgspec.json.encode(dict(entry.details)).decode()
    connection = await session.connection()
    await connection.execute(_RECORD_IN_SESSION, _parameters(actor, entry, details))


async def record_refusal(
    connection: asyncpg.Connection, actor: Actor, entry: Entry, *, username_key: str | None
) -> None:
    """Record a refused attempt on the account with this name, which may not exist.

    The object of the entry is that account.
    """
    await _RECORD_REFUSAL.execute(
        connection,
        network=actor.network,
        request_id=actor.request_id,
        action=entry.action,
        outcome=entry.outcome,
        details=msgspec.json.encode(dict(entry.details)),
        username_key=username_key,
    )


def _parameters(actor: Actor, entry: Entry, details: bytes | str) -> dict[str, Any]:
    return {
        "user_id": actor.user_id,
        "name": actor.name,
        "session_id": actor.session_id,
        "key_id": actor.key_id,
        "network": actor.network,
        "request_id": actor.request_id,
        "action": str(entry.action),
        "object_type": None if entry.object_type is None else str(entry.object_type),
        "object_id": entry.object_id,
        "outcome": str(entry.outcome),
        "details": details,
    }


async def seal(connection: asyncpg.Connection, *, at_once: int = queries.ENTRIES_AT_ONCE) -> int:
    """Give at most `at_once` committed entries their places in the chain. Return how many there were.

    Call it in a transaction. Processes that seal at the same time wait for each other.
    """
    if not await queries.is_any_unsealed(connection):
        return 0
    last = (await _locked(connection)).last
    # After the lock, so that it sees what other processes have sealed.
    rows = await _UNSEALED.fetch(connection, limit=at_once)
    links = []
    for row in rows:
        sealed = hash_of(last.seq + 1, Recorded.from_row(row), last.hash)
        links.append(
            {"id": row["id"], "seq": last.seq + 1, "prev_hash": last.hash, "hash": sealed},
        )
        last = Link(last.seq + 1, sealed)
    if links:
        await _SEAL.execute(connection, **_LINKS.parameters(links))
        await _ADVANCE.execute(connection, seq=last.seq, hash=last.hash)
    return len(links)


async def seal_committed(connection: asyncpg.Connection) -> Callable[[], None] | None:
    """Seal what has been committed so far, in the transaction of a maintenance round.

    The result logs the end of the chain, after the commit, so that a copy exists outside the database.
    """
    sealed = 0
    for _ in range(MAX_ROUNDS):
        count = await seal(connection)
        sealed += count
        if not count:
            break
    chain = await queries.chain(connection) if sealed else None
    return None if chain is None else partial(_log_end, chain.last, sealed)


def _log_end(last: Link, entries: int) -> None:
    log.info("audit_log_sealed", entries=entries, last=str(last))


async def seal_all(database: Database) -> None:
    """Seal what has been committed so far, so that a reader sees it."""
    for _ in range(MAX_ROUNDS):
        async with database.connection() as connection:
            if not await queries.is_any_unsealed(connection):
                return
            async with connection.transaction():
                await seal(connection)


async def _locked(connection: asyncpg.Connection) -> Chain:
    row = await _LOCK.fetchrow(connection)
    if row is None:
        await _BEGIN.execute(connection)
        row = await _LOCK.fetchrow(connection)
    assert row is not None  # noqa: S101  # it is never deleted
    return Chain.from_row(row)


async def prune(connection: asyncpg.Connection, age: timedelta, *, limit: int) -> int:
    """Delete at most `limit` entries older than `age`, the oldest first. Return how many.

    The chain keeps the hash of the last of them, so that the rest can still be verified.
    """
    pruned: int = await _PRUNE.fetchval(connection, age=age, limit=limit)
    return pruned
