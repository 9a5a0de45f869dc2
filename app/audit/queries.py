"""Reads of the audit log: pages of sealed entries, and the chain."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from app.audit.actions import Action, ObjectType, Outcome
from app.audit.values import Chain, SealedEntry
from app.core import paging
from app.core.database import Database
from app.core.paging import Page, to_page
from app.core.sql import Statement

ENTRIES_AT_ONCE: Final = 1000

# Which sealed entries match the filter, newest first, from before this one?
_PAGE: Final = Statement(
    paging.bounded(
        """SELECT * FROM audit_log
        WHERE seq IS NOT NULL AND (:before::bigint IS NULL OR seq < :before)
            AND (:actor_id::uuid IS NULL OR actor_id = :actor_id)
            AND (:action::text IS NULL OR action = :action)
            AND (:object_type::text IS NULL OR object_type = :object_type)
            AND (:object_id::text IS NULL OR object_id = :object_id)
            AND (:outcome::text IS NULL OR outcome = :outcome)
            AND (:start::timestamptz IS NULL OR at >= :start)
            AND (:finish::timestamptz IS NULL OR at < :finish)
        ORDER BY seq DESC LIMIT :limit""",
        size="octet_length(details::text) + 500",
        order="seq DESC",
    )
)

# Which sealed entries come after this one, in the order of the chain?
_AFTER: Final = Statement("SELECT * FROM audit_log WHERE seq > :seq ORDER BY seq LIMIT :limit")

# Which is the lowest number of a sealed entry?
_LOWEST: Final = Statement("SELECT min(seq) FROM audit_log")

# Where does the chain begin and end?
_CHAIN: Final = Statement("SELECT * FROM audit_chain")

# Is any entry not sealed yet?
_IS_ANY_UNSEALED: Final = Statement("SELECT EXISTS (SELECT FROM audit_log WHERE seq IS NULL)")


@dataclass(frozen=True)
class AuditFilter:
    """Which entries to list; None means any. `start` is included, `finish` is not."""

    actor_id: UUID | None = None
    action: Action | None = None
    object_type: ObjectType | None = None
    object_id: str | None = None
    outcome: Outcome | None = None
    start: datetime | None = None
    finish: datetime | None = None


async def page(
    connection: asyncpg.Connection, wanted: AuditFilter, *, before: int | None, limit: int
) -> Page[SealedEntry]:
    """Return a page of sealed entries, newest first, starting after the entry with the number `before`."""
    rows = await _PAGE.fetch(
        connection,
        actor_id=wanted.actor_id,
        action=wanted.action,
        object_type=wanted.object_type,
        object_id=wanted.object_id,
        outcome=wanted.outcome,
        start=wanted.start,
        finish=wanted.finish,
        before=before,
        limit=limit + 1,
    )
    return to_page(rows, limit, SealedEntry.from_row)


async def entries_after(connection: asyncpg.Connection, seq: int, *, limit: int) -> list[SealedEntry]:
    """Return the sealed entries after this number, in the order of the chain."""
    return [SealedEntry.from_row(row) for row in await _AFTER.fetch(connection, seq=seq, limit=limit)]


async def lowest_seq(connection: asyncpg.Connection) -> int | None:
    """Return the lowest number of a sealed entry; None if there is none."""
    found: int | None = await _LOWEST.fetchval(connection)
    return found


async def chain(connection: asyncpg.Connection) -> Chain | None:
    """Return the ends of the chain; None if no entry has been sealed."""
    row = await _CHAIN.fetchrow(connection)
    return None if row is None else Chain.from_row(row)


async def is_any_unsealed(connection: asyncpg.Connection) -> bool:
    """Whether an entry waits to be sealed."""
    found: bool = await _IS_ANY_UNSEALED.fetchval(connection)
    return found


async def all_entries(
    database: Database, wanted: AuditFilter, *, at_once: int = ENTRIES_AT_ONCE
) -> AsyncIterator[tuple[SealedEntry, ...]]:
    """Yield all matching entries, newest first, in batches. Holds no connection between them."""
    before: int | None = None
    while True:
        async with database.connection() as connection:
            found = await page(connection, wanted, before=before, limit=at_once)
        if found.items:
            yield found.items
            before = found.items[-1].seq
        if not found.has_next:
            return
