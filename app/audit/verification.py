"""Verifies the hash chain of the audit log, in batches."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg

from app.audit import queries
from app.audit.chain import BEGINNING, hash_of
from app.audit.queries import ENTRIES_AT_ONCE
from app.audit.values import Chain, Link, SealedEntry
from app.core.database import Database

MISSING: Final = "the entry is missing"
CHANGED: Final = "the entry does not match its hash"
UNLINKED: Final = "the entry does not follow the one before"
OUTSIDE: Final = "the entry is outside the chain"
ANOTHER_END: Final = "the chain ends with another hash"
CUT: Final = "the chain ends before this entry"
OTHER: Final = "the entry has another hash than the one given"
PRUNED: Final = "the entry given was pruned, so it cannot be compared"

_EMPTY: Final = Chain(Link(0, BEGINNING), Link(0, BEGINNING))


@dataclass(frozen=True)
class Verification:
    """The outcome: the entries that are intact, and the first that is not.

    `first` is the entry before the first that was verified, `last` the last entry that is intact.
    """

    first: Link
    last: Link
    broken_seq: int | None = None
    reason: str | None = None

    @property
    def is_intact(self) -> bool:
        """Whether the whole chain is intact."""
        return self.reason is None

    @property
    def entries(self) -> int:
        """How many entries are intact."""
        return self.last.seq - self.first.seq


async def verify(
    database: Database, known: Link | None = None, *, at_once: int = ENTRIES_AT_ONCE
) -> Verification:
    """Walk the chain from its first entry to its last.

    Pass an entry that is known from an earlier verification, and kept outside the database: whoever can write
    to the database can compute a new chain, but not one that has this hash at this number.
    """
    # One snapshot: entries that are sealed or pruned meanwhile are not mistaken for tampering.
    async with (
        database.connection() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        chain = await queries.chain(connection) or _EMPTY
        found = await _walk(connection, chain, known, at_once)
    if not found.is_intact or known is None:
        return found
    if known.seq > chain.last.seq:
        return Verification(found.first, found.last, known.seq, CUT)
    if known.seq < chain.first.seq:
        return Verification(found.first, found.last, known.seq, PRUNED)
    if known.seq == chain.first.seq and known != chain.first:
        return Verification(found.first, found.last, known.seq, OTHER)
    return found


async def _walk(
    connection: asyncpg.Connection, chain: Chain, known: Link | None, at_once: int
) -> Verification:
    last = chain.first
    lowest = await queries.lowest_seq(connection)
    if lowest is not None and lowest <= last.seq:
        return Verification(chain.first, last, lowest, OUTSIDE)
    while entries := await queries.entries_after(connection, last.seq, limit=at_once):
        # In a thread: a thousand hashes would delay every other request.
        last, broken = await asyncio.to_thread(_follow, last, entries, chain.last.seq, known)
        if broken is not None:
            seq, reason = broken
            return Verification(chain.first, last, seq, reason)
    if last.seq < chain.last.seq:
        return Verification(chain.first, last, last.seq + 1, MISSING)
    if last != chain.last:
        return Verification(chain.first, last, last.seq, ANOTHER_END)
    return Verification(chain.first, last)


def _follow(
    last: Link, entries: Sequence[SealedEntry], end: int, known: Link | None
) -> tuple[Link, tuple[int, str] | None]:
    """Follow entries from `last` on. Return the last that is intact, and the first that is not, with why."""
    for entry in entries:
        seq = last.seq + 1
        if seq > end:
            return last, (entry.seq, OUTSIDE)
        if entry.seq != seq:
            return last, (seq, MISSING)
        if entry.prev_hash != last.hash:
            return last, (seq, UNLINKED)
        if entry.hash != hash_of(seq, entry.recorded, last.hash):
            return last, (seq, CHANGED)
        if known is not None and known.seq == seq and known.hash != entry.hash:
            return last, (seq, OTHER)
        last = Link(seq, entry.hash)
    return last, None
