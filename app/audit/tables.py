"""Tables of the audit log. Triggers (migration 0018) keep entries from being changed or deleted."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Column, Identity, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, Index, SQLModel

from app.audit.actions import AuditOutcome
from app.core.schema import enum_check, enum_column, timestamp_column


class AuditEntry(SQLModel, table=True):
    """An entry. `seq`, `prev_hash` and `hash` are null until the entry is sealed, a second later.

    No foreign keys: entries outlive what they name.
    """

    __tablename__ = "audit_log"
    __table_args__ = (
        enum_check("outcome", AuditOutcome),
        CheckConstraint(
            "(seq IS NULL) = (hash IS NULL) AND (seq IS NULL) = (prev_hash IS NULL)", name="sealed"
        ),
        Index("ix_audit_log_unsealed", "id", postgresql_where=text("seq IS NULL")),
        Index("ix_audit_log_actor", "actor_id", "seq"),
        Index("ix_audit_log_action", "action", "seq"),
        Index("ix_audit_log_object", "object_id", "seq"),
        Index("ix_audit_log_at", "at"),
    )

    id: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    seq: int | None = Field(default=None, sa_column=Column(BigInteger, unique=True))
    at: datetime = Field(default=None, sa_column=timestamp_column(default_now=True))
    actor_id: UUID | None = None
    actor_name: str | None = Field(default=None, sa_type=Text)
    session_id: UUID | None = None
    key_id: UUID | None = None
    network: str | None = Field(default=None, sa_type=Text)
    request_id: str | None = Field(default=None, sa_type=Text)
    action: str = Field(sa_type=Text)
    object_type: str | None = Field(default=None, sa_type=Text)
    object_id: str | None = Field(default=None, sa_type=Text)
    outcome: AuditOutcome = Field(sa_column=enum_column(AuditOutcome))
    details: dict[str, Any] = Field(
        default_factory=dict, sa_column=Column(JSONB, nullable=False, server_default=text("'{}'"))
    )
    prev_hash: bytes | None = Field(default=None, sa_type=LargeBinary)
    hash: bytes | None = Field(default=None, sa_type=LargeBinary)


class AuditChain(SQLModel, table=True):
    """The ends of the chain, in one row that exists once the first entry is sealed."""

    __tablename__ = "audit_chain"
    __table_args__ = (CheckConstraint("is_current", name="one_row"),)

    is_current: bool = Field(
        default=True, primary_key=True, sa_column_kwargs={"server_default": text("true")}
    )
    pruned_seq: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})
    pruned_hash: bytes = Field(
        sa_column=Column(LargeBinary, nullable=False, server_default=text("decode(repeat('00', 32), 'hex')"))
    )
    last_seq: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})
    last_hash: bytes = Field(
        sa_column=Column(LargeBinary, nullable=False, server_default=text("decode(repeat('00', 32), 'hex')"))
    )
