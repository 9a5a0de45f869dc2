"""Responses about the audit log."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, Field

_EXAMPLE_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"
_HASHES: Final = (
    "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
)


class AuditEntryView(BaseModel):
    """An entry of the audit log."""

    seq: int = Field(description="Number of the entry, from 1 without gaps.", examples=[42])
    at: datetime = Field(examples=["2026-03-01T12:00:00.123456Z"])
    actor_id: UUID | None = Field(
        description="User who acted; null for an attempt without a valid sign-in.", examples=[_EXAMPLE_ID]
    )
    actor_name: str | None = Field(description="Username at that time, or `command line`.", examples=["ops"])
    session_id: UUID | None = Field(description="Session of the actor, if it was a sign-in.")
    key_id: UUID | None = Field(description="API key of the actor, if it was one.")
    network: str | None = Field(description="IPv4 address or IPv6 /64.", examples=["192.0.2.17"])
    request_id: str | None = Field(description="`X-Request-ID` of the response, as in the logs.")
    action: str = Field(examples=["user.role_changed"])
    object_type: str | None = Field(examples=["user"])
    object_id: str | None = Field(examples=[_EXAMPLE_ID])
    outcome: str = Field(
        description="`succeeded`, `failed`, `denied` or `throttled`.", examples=["succeeded"]
    )
    details: dict[str, Any] = Field(examples=[{"username": "ada", "from": "user", "to": "operator"}])
    prev_hash: str = Field(description="Hash of the entry before, in hexadecimal.", examples=[_HASHES[0]])
    hash: str = Field(
        description="SHA-256 over `prev_hash` and the entry; see docs/security.md.", examples=[_HASHES[1]]
    )


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

    is_intact: bool
    entries: int = Field(description="Number of intact entries.")
    first: LinkView = Field(description="The entry before the first one: 0, or the last that was pruned.")
    last: LinkView = Field(description="The last intact entry.")
    broken_seq: int | None = Field(description="Number of the first entry that is not intact.")
    reason: str | None
