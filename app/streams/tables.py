"""Tables of stream tickets and of the key that signs hints."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Column, Index, LargeBinary, Text, text
from sqlmodel import Field, SQLModel

from app.core.schema import timestamp_column


class StreamTicket(SQLModel, table=True):
    """A single-use ticket that opens one stream, and the resume token for it. Stores only their hashes."""

    __tablename__ = "stream_tickets"
    __table_args__ = (Index("ix_stream_tickets_expired", "expires_at"),)

    ticket_hash: bytes = Field(primary_key=True, sa_type=LargeBinary)
    user_id: UUID = Field(foreign_key="users.id", ondelete="CASCADE")
    session_id: UUID | None = None
    key_id: UUID | None = None
    scopes: list[str] | None = Field(default=None, sa_column=Column(ARRAY(Text), nullable=True))
    job_id: UUID | None = None
    resume_hash: bytes | None = Field(default=None, sa_type=LargeBinary)
    expires_at: datetime = Field(sa_column=timestamp_column())
    token_expires_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))


class HintKey(SQLModel, table=True):
    """The key that signs hints in Redis, in a single row: see app/core/signing.py."""

    __tablename__ = "hint_keys"

    is_current: bool = Field(
        default=True, primary_key=True, sa_column_kwargs={"server_default": text("true")}
    )
    key: bytes = Field(sa_type=LargeBinary)
