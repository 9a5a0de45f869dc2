"""Reads of the audit log: pages of sealed entries, and the chain."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from typing import Final
from uuid import UUID

import asyncpg

from app.audit.actions import Action, AuditOutcome, ObjectType
from app.audit.values import Chain, SealedEntry
from app.core import paging
from app.core.database import Database
from app.core.paging import Page, to_page
from app.core.sql import Statement

ENTRIES_AT_ONCE: Final = 1000

_CONDITIONS: Final[Mapping[str, str]] = {
    "before": "seq < :before",
    "actor_id": "actor_id = :actor_id",
    "action": "action = :action",
    "object_type": "object_type = :object_type",
    "object_id": "object_id = :object_id",
    "outcome": "outcome = :outcome",
    "start": "at >= :start",
    "finish": "at < :finish",
}


@cache
def _page(given: frozenset[str]) -> Statement:
    """Which sealed entries match the given conditions, newest first?

    A statement for each combination, so that Postgres uses the index that fits.
    """
    conditions = " AND ".join(_CONDITIONS[name] for name in sorted(given)) or "true"
    return Statement(
        paging.bounded(
            f"SELECT * FROM audit_log WHERE seq IS NOT NULL AND {conditions} ORDER BY seq DESC LIMIT :limit",
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
    outcome: AuditOutcome | None = None
    start: datetime | None = None
    finish: datetime | None = None


async def page(
    connection: asyncpg.Connection, wanted: AuditFilter, *, before: int | None, limit: int
) -> Page[SealedEntry]:
    """Return a page of sealed entries, newest first, starting after the entry with the number `before`."""
    values = {**asdict(wanted), "before": before}
    given = {name: value for name, value in values.items() if value is not None}
    rows = await _page(frozenset(given)).fetch(connection, **given, limit=limit + 1)
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
