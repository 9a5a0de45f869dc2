"""The tables of schedules and their firings."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Column, DateTime, Index, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from app.core.schema import LOWER_NAME, enum_check, enum_column, timestamp_column
from app.schedules.states import CatchUp, FiringOutcome, Overlap, ScheduleStatus


class Schedule(SQLModel, table=True):
    """What submits a job again and again. `rule` is its compiled trigger, `job` the template of its jobs."""

    __tablename__ = "schedules"
    __table_args__ = (
        UniqueConstraint("owner_id", "name"),
        enum_check("catch_up", CatchUp),
        enum_check("overlap", Overlap),
        enum_check("status", ScheduleStatus),
        CheckConstraint("(status = 'active') = (next_fire_at IS NOT NULL)", name="active_has_next"),
        CheckConstraint(
            "max_runs >= 1 AND pause_after_failures >= 1 AND misfire_grace_seconds >= 1"
            " AND catch_up_limit >= 1 AND catch_up_window_seconds >= 1 AND queue_limit >= 1"
            " AND jitter_seconds >= 0 AND fired >= 0 AND revision >= 1",
            name="positive",
        ),
        Index("ix_schedules_next_due", "next_fire_at", "id", postgresql_where=text("status = 'active'")),
        Index("ix_schedules_newest_of_owner", "owner_id", text("id DESC")),
        Index("ix_schedules_found_by_name", "owner_id", LOWER_NAME),
        Index(
            "ix_schedules_of_group",
            "owner_id",
            "group_name",
            postgresql_where=text("group_name IS NOT NULL"),
        ),
        Index(
            "uq_schedules_idempotency_key",
            "owner_id",
            "idempotency_key",
            unique=True,
            postgresql_where=text("idempotency_key IS NOT NULL"),
        ),
        Index(
            "ix_schedules_zone_data",
            "tz_version",
            postgresql_where=text("status = 'active' AND tz_version IS NOT NULL"),
        ),
        Index("ix_schedules_suspended", "owner_id", postgresql_where=text("status = 'suspended'")),
    )

    id: UUID = Field(primary_key=True)
    owner_id: UUID = Field(foreign_key="users.id", ondelete="CASCADE")
    name: str = Field(sa_type=Text)
    group_name: str | None = Field(default=None, sa_type=Text)
    trigger: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    rule: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    timezone: str = Field(sa_type=Text)
    tz_version: str | None = Field(default=None, sa_type=Text)
    starts_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    ends_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    max_runs: int | None = None
    pause_after_failures: int | None = None
    misfire_grace_seconds: int
    catch_up: CatchUp = Field(sa_column=enum_column(CatchUp))
    catch_up_limit: int
    catch_up_window_seconds: int
    overlap: Overlap = Field(sa_column=enum_column(Overlap))
    queue_limit: int
    jitter_seconds: int
    kind: str = Field(sa_type=Text)
    job: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    status: ScheduleStatus = Field(sa_column=enum_column(ScheduleStatus))
    reason: dict[str, Any] | None = Field(default=None, sa_type=JSONB)
    next_fire_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    last_fire_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    fired: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    resumed_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    revision: int = Field(default=1, sa_column_kwargs={"server_default": "1"})
    idempotency_key: str | None = Field(default=None, sa_type=Text)
    request_digest: bytes | None = Field(default=None, sa_type=LargeBinary)
    created_at: datetime = Field(sa_column=timestamp_column(default_now=True))
    updated_at: datetime = Field(sa_column=timestamp_column(default_now=True))


class ScheduleFiring(SQLModel, table=True):
    """What became of one tick. The key allows one firing a tick, whichever process comes second."""

    __tablename__ = "schedule_firings"
    __table_args__ = (
        enum_check("outcome", FiringOutcome),
        Index(
            "ix_schedule_firings_waiting",
            "schedule_id",
            "fire_at",
            postgresql_where=text("outcome = 'waiting'"),
        ),
        Index(
            "ix_schedule_firings_without_job",
            "schedule_id",
            "fire_at",
            postgresql_where=text("outcome IN ('skipped', 'missed', 'refused')"),
        ),
        Index("ix_schedule_firings_oldest", "at"),
    )

    schedule_id: UUID = Field(primary_key=True, foreign_key="schedules.id", ondelete="CASCADE")
    fire_at: datetime = Field(sa_column=Column(DateTime(timezone=True), primary_key=True))
    outcome: FiringOutcome = Field(sa_column=enum_column(FiringOutcome))
    job_id: UUID | None = None
    count: int | None = None
    through_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    reason: dict[str, Any] | None = Field(default=None, sa_type=JSONB)
    at: datetime = Field(sa_column=timestamp_column(default_now=True))
