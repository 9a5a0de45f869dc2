"""Entries as responses, exports and the command line show them."""

from collections.abc import Sequence
from typing import Any, Final

from app.audit.chain import timestamp
from app.audit.values import Link, SealedEntry
from app.audit.verification import Verification
from app.core import csv_cells

COLUMNS: Final = (
    *("seq", "at", "actor_id", "actor_name", "session_id", "key_id", "network", "request_id", "action"),
    *("object_type", "object_id", "outcome", "details", "prev_hash", "hash"),
)
"""The fields of an entry, in the order of a CSV export."""

CSV_HEADER: Final = csv_cells.lines([COLUMNS])


def entry(sealed: SealedEntry) -> dict[str, Any]:
    """Return an entry, by the names of its fields."""
    recorded = sealed.recorded
    return {
        "seq": sealed.seq,
        "at": timestamp(recorded.at),
        "actor_id": None if recorded.actor_id is None else str(recorded.actor_id),
        "actor_name": recorded.actor_name,
        "session_id": None if recorded.session_id is None else str(recorded.session_id),
        "key_id": None if recorded.key_id is None else str(recorded.key_id),
        "network": recorded.network,
        "request_id": recorded.request_id,
        "action": recorded.action,
        "object_type": recorded.object_type,
        "object_id": recorded.object_id,
        "outcome": recorded.outcome,
        "details": recorded.details,
        "prev_hash": sealed.prev_hash.hex(),
        "hash": sealed.hash.hex(),
    }


def csv_lines(entries: Sequence[SealedEntry]) -> bytes:
    """Return entries as lines of CSV. No cell is a formula to a spreadsheet."""
    return csv_cells.lines([[csv_cells.cell(value) for value in entry(one).values()] for one in entries])


def verification(found: Verification) -> dict[str, Any]:
    """Return the outcome of a verification."""
    return {
        "is_intact": found.is_intact,
        "entries": found.entries,
        "first": _link(found.first),
        "last": _link(found.last),
        "broken_seq": found.broken_seq,
        "reason": found.reason,
    }


def _link(link: Link) -> dict[str, Any]:
    return {"seq": link.seq, "hash": link.hash.hex()}
