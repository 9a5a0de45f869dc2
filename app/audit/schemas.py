"""Responses about the audit log."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

_HASHES: Final = (
    "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
)


class AuditEntryView(BaseModel):
    """An entry of the audit log."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "seq": 42,
                    "at": "2026-03-01T12:00:00.123456Z",
                    "actor_id": "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d",
                    "actor_name": "ops",
                    "session_id": "019aa7c2-0b1d-7c3e-9f4a-5b6c7d8e9f01",
                    "key_id": None,
                    "network": "192.0.2.17",
                    "request_id": "019aa7c3d4e57f60a1b2c3d4e5f60718",
                    "action": "user.role_changed",
                    "object_type": "user",
                    "object_id": "019aa7c0-1111-7222-8333-444455556666",
                    "outcome": "succeeded",
                    "details": {"username": "ada", "from": "user", "to": "operator"},
                    "prev_hash": _HASHES[0],
                    "hash": _HASHES[1],
                }
            ]
        },
    )

    seq: int = Field(description="Number of the entry, from 1 without gaps.")
    at: datetime
    actor_id: UUID | None = Field(description="User who acted; null for an attempt without a valid sign-in.")
    actor_name: str | None = Field(description="Username at that time, or `command line`.")
    session_id: UUID | None
    key_id: UUID | None
    network: str | None = Field(description="IPv4 address or IPv6 /64.")
    request_id: str | None
    action: str
    object_type: str | None
    object_id: str | None
    outcome: str
    details: dict[str, Any]
    prev_hash: str
    hash: str = Field(description="SHA-256 over `prev_hash` and the entry; see docs/security.md.")


class AuditPage(BaseModel):
    """One page of entries, newest first; `next_cursor` is null on the last page."""

    items: list[AuditEntryView]
    next_cursor: str | None


class LinkView(BaseModel):
    """An entry by its number and its hash."""

    seq: int
    hash: str


class AuditVerification(BaseModel):
    """Whether the chain is intact. Keep `last` outside the database, and pass it to a later verification."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "is_intact": True,
                    "entries": 41,
                    "first": {
                        "seq": 1,
                        "hash": _HASHES[0],
                    },
                    "last": {
                        "seq": 42,
                        "hash": _HASHES[1],
                    },
                    "broken_seq": None,
                    "reason": None,
                }
            ]
        },
    )

    is_intact: bool
    entries: int = Field(description="Number of intact entries.")
    first: LinkView = Field(description="The entry before the first one: 0, or the last that was pruned.")
    last: LinkView = Field(description="The last intact entry.")
    broken_seq: int | None = Field(description="Number of the first entry that is not intact.")
    reason: str | None
