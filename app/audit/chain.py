"""The hash chain of the audit log. docs/security.md describes it, so that other programs can verify it.

The hash of an entry is SHA-256 over the hash of the entry before, and the entry as canonical JSON: an array
of its number and its fields, ASCII only, without white space, the names of details sorted. The time is in UTC
with six digits of the second.
"""

import hashlib
import json
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from app.audit.values import Recorded

BEGINNING: Final = bytes(32)
"""The hash before the first entry."""


def hash_of(seq: int, recorded: Recorded, prev_hash: bytes) -> bytes:
    """Return the hash of the entry with this number, after the entry with the hash `prev_hash`."""
    return hashlib.sha256(prev_hash + canonical(seq, recorded)).digest()


def canonical(seq: int, recorded: Recorded) -> bytes:
    """Return the entry as canonical JSON."""
    fields = [
        seq,
        timestamp(recorded.at),
        _text(recorded.actor_id),
        recorded.actor_name,
        _text(recorded.session_id),
        _text(recorded.key_id),
        recorded.network,
        recorded.request_id,
        recorded.action,
        recorded.object_type,
        recorded.object_id,
        recorded.outcome,
        recorded.details,
    ]
    return json.dumps(fields, ensure_ascii=True, separators=(",", ":"), sort_keys=True).encode()


def timestamp(at: datetime) -> str:
    """Return a time as entries, exports and responses show it."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)
