"""The table of stream tickets."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, LargeBinary
from sqlmodel import Field, SQLModel

from app.core.schema import instant


class StreamTicket(SQLModel, table=True):
    """The right of one user to open one stream, once. Only its hash is kept."""

    __tablename__ = "stream_tickets"
    __table_args__ = (Index("ix_stream_tickets_expired", "expires_at"),)

    ticket_hash: bytes = Field(primary_key=True, sa_type=LargeBinary)
    user_id: UUID = Field(foreign_key="users.id", ondelete="CASCADE")
    job_id: UUID | None = None
    expires_at: datetime = Field(sa_column=instant())
