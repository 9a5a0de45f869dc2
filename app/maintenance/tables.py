"""Tables of the numbers that the loop `stats` measures."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, Double, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from app.core.schema import timestamp_column


class QueueStats(SQLModel, table=True):
    """The unfinished jobs of one queue, kind and priority at the last measurement; no row if there were none.

    `oldest_due_at` is when the oldest due job became due.
    """

    __tablename__ = "queue_stats"

    queue: str = Field(primary_key=True, sa_type=Text)
    kind: str = Field(primary_key=True, sa_type=Text)
    priority: str = Field(primary_key=True, sa_type=Text)
    due: int
    delayed: int
    running: int
    oldest_due_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))


class SystemStats(SQLModel, table=True):
    """The single row of numbers about the whole system.

    The queues and the schedules by status were measured at `measured_at`, which took `measured_seconds`. The
    dead letters by kind and the size of the database were measured at `totals_at`. Jobs that ended before
    `folded_until` are in the statistics; it is null before the first fold.
    """

    __tablename__ = "system_stats"
    __table_args__ = (CheckConstraint("is_current", name="one_row"),)

    is_current: bool = Field(
        default=True, primary_key=True, sa_column_kwargs={"server_default": text("true")}
    )
    measured_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    measured_seconds: float = Field(default=0.0, sa_column=Column(Double, nullable=False, server_default="0"))
    totals_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    dead_letters: dict[str, Any] = Field(
        default_factory=dict, sa_column=Column(JSONB, nullable=False, server_default="{}")
    )
    schedules: dict[str, Any] = Field(
        default_factory=dict, sa_column=Column(JSONB, nullable=False, server_default="{}")
    )
    database_bytes: int | None = Field(default=None, sa_type=BigInteger)
    folded_until: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
