"""The types of the audit log that commands and queries take and return."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Self
from uuid import UUID

from app.audit.actions import Action, AuditOutcome, ObjectType
from app.core.rows import Row

Detail = str | int | bool | None | list[str]
"""A value in the details of an entry. No floats: languages write them differently, and the text is hashed."""


@dataclass(frozen=True)
class Actor:
    """Who acts, and from where. The name of a user is read from the database when the entry is recorded.

    `name` is for actors that are no users, such as the command line.
    """

    user_id: UUID | None = None
    session_id: UUID | None = None
    key_id: UUID | None = None
    network: str | None = None
    request_id: str | None = None
    name: str | None = None


HASH_DIGITS: Final = 64

COMMAND_LINE: Final = Actor(name="command line")


@dataclass(frozen=True)
class Entry:
    """An action to record. Details never hold a secret: no password, no token, no key."""

    action: Action
    object_type: ObjectType | None = None
    object_id: str | None = None
    outcome: AuditOutcome = AuditOutcome.SUCCEEDED
    details: Mapping[str, Detail] = field(default_factory=dict)


@dataclass(frozen=True)
class Recorded:
    """What was recorded, before it is sealed: a row of `audit_log` without its place in the chain."""

    at: datetime
    actor_id: UUID | None
    actor_name: str | None
    session_id: UUID | None
    key_id: UUID | None
    network: str | None
    request_id: str | None
    action: str  # not Action: an older process may read what a newer one recorded
    object_type: str | None
    object_id: str | None
    outcome: str
    details: dict[str, Detail]

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of `audit_log`."""
        return cls(
            at=row["at"],
            actor_id=row["actor_id"],
            actor_name=row["actor_name"],
            session_id=row["session_id"],
            key_id=row["key_id"],
            network=row["network"],
            request_id=row["request_id"],
            action=row["action"],
            object_type=row["object_type"],
            object_id=row["object_id"],
            outcome=row["outcome"],
            details=row["details"],
        )


@dataclass(frozen=True)
class SealedEntry:
    """An entry with its place in the chain."""

    seq: int
    prev_hash: bytes
    hash: bytes
    recorded: Recorded

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a sealed row of `audit_log`."""
        return cls(
            seq=row["seq"], prev_hash=row["prev_hash"], hash=row["hash"], recorded=Recorded.from_row(row)
        )


@dataclass(frozen=True)
class Link:
    """An entry by its number and its hash. Number 0 is the beginning of the chain, before the first entry."""

    seq: int
    hash: bytes

    def __str__(self) -> str:
        """Return `seq:hash`, as `parse` reads it."""
        return f"{self.seq}:{self.hash.hex()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `seq:hash`, as a verification prints it. Raises ValueError."""
        seq, _, digest = text.partition(":")
        if len(digest) != HASH_DIGITS:
            raise ValueError(f"{text!r} is not a number and a hash, such as 42:9f86d0…")
        return cls(int(seq), bytes.fromhex(digest))


@dataclass(frozen=True)
class Chain:
    """The ends of the chain: `first` is the last entry that was pruned, `last` the last entry."""

    first: Link
    last: Link

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read the row of `audit_chain`."""
        return cls(
            first=Link(row["pruned_seq"], row["pruned_hash"]), last=Link(row["last_seq"], row["last_hash"])
        )
