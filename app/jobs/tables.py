"""The tables of jobs, as SQLModel sees them. Constraints and the guard are in the migration."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    Double,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from app.core.schema import timestamp_column


class Worker(SQLModel, table=True):
    """One process of the pool, and when it was last seen."""

    __tablename__ = "workers"

    id: UUID = Field(primary_key=True)
    name: str = Field(sa_type=Text)
    host: str = Field(sa_type=Text)
    pid: int
    queues: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    kinds: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    slots: int
    started_at: datetime = Field(sa_column=timestamp_column(default_now=True))
    seen_at: datetime = Field(sa_column=timestamp_column(default_now=True))
    stopping_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    cpu_percent: float | None = Field(default=None, sa_type=Double)
    rss_bytes: int | None = Field(default=None, sa_type=BigInteger)
    memory_percent: float | None = Field(default=None, sa_type=Double)
    predict_slots: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    gpus: int = Field(default=0, sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    runs_shards: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    engine_state: str = Field(default="ready", sa_type=Text, sa_column_kwargs={"server_default": "ready"})


class PausedQueue(SQLModel, table=True):
    """A queue of which no job is claimed. `paused_by` is null once that user is deleted."""

    __tablename__ = "paused_queues"
    __table_args__ = (CheckConstraint("reason <> ''", name="reason"),)

    name: str = Field(primary_key=True, sa_type=Text)
    reason: str = Field(sa_type=Text)
    paused_by: UUID | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")
    paused_at: datetime = Field(sa_column=timestamp_column(default_now=True))


class JobGroup(SQLModel, table=True):
    """Jobs that were created together."""

    __tablename__ = "job_groups"
    __table_args__ = (
        Index(
            "uq_job_groups_idempotency_key",
            "owner_id",
            "idempotency_key",
            unique=True,
            postgresql_where=text("idempotency_key IS NOT NULL"),
        ),
    )

    id: UUID = Field(primary_key=True)
    owner_id: UUID = Field(foreign_key="users.id", ondelete="CASCADE")
    idempotency_key: str | None = Field(default=None, sa_type=Text)
    request_digest: bytes | None = Field(default=None, sa_type=LargeBinary)
    search: dict[str, Any] | None = Field(default=None, sa_type=JSONB)
    created_at: datetime = Field(sa_column=timestamp_column(default_now=True))


class Job(SQLModel, table=True):
    """One request for work. `attempt` is the fence, `next_batch` the cursor, `last_seq` the event counter.

    `stored_bytes` are those of the payload, the batches and the checkpoint, `upload_bytes` those of a file
    that the job holds until it ends; a trigger counts changes of their sum, `held_bytes`, for the owner.

    A shard has a `parent_id`: it computes the `total` rows of its parent from `first_row` on, and is number
    `shard_no`, from 0. A parent has `shards`, and fails if more than `max_failed_shards` of them do.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index(
            "ix_jobs_next_to_claim", "queue", "sort_key", "id", postgresql_where=text("status = 'pending'")
        ),
        Index(
            "ix_jobs_next_of_owner",
            *("queue", "owner_id", "sort_key", "id"),
            postgresql_where=text("status = 'pending'"),
        ),
        Index(
            "ix_jobs_latest_start_of_owner",
            "owner_id",
            text("attempt_started_at DESC"),
            postgresql_where=text("attempt_started_at IS NOT NULL"),
        ),
        Index("ix_jobs_next_due", "run_at", postgresql_where=text("status = 'pending'")),
        Index("ix_jobs_running_on_worker", "worker_id", postgresql_where=text("status = 'running'")),
        Index("ix_jobs_newest_of_owner", "owner_id", text("id DESC")),
        Index("ix_jobs_newest_of_owner_by_status", "owner_id", "status", text("id DESC")),
        Index(
            "ix_jobs_newest_submitted_of_owner",
            "owner_id",
            text("id DESC"),
            postgresql_where=text("parent_id IS NULL"),
        ),
        Index(
            "ix_jobs_newest_submitted_of_owner_by_status",
            *("owner_id", "status", text("id DESC")),
            postgresql_where=text("parent_id IS NULL"),
        ),
        Index(
            "uq_jobs_shard_of_parent",
            "parent_id",
            "shard_no",
            unique=True,
            postgresql_where=text("parent_id IS NOT NULL"),
        ),
        Index(
            "ix_jobs_open_parents",
            "id",
            postgresql_where=text("shards IS NOT NULL AND status IN ('pending', 'running')"),
        ),
        Index(
            "uq_jobs_idempotency_key",
            "owner_id",
            "idempotency_key",
            unique=True,
            postgresql_where=text("idempotency_key IS NOT NULL"),
        ),
        Index("ix_jobs_of_group", "group_id", "id", postgresql_where=text("group_id IS NOT NULL")),
        Index(
            "ix_jobs_dead_letters_of_owner",
            "owner_id",
            text("id DESC"),
            postgresql_where=text("status = 'failed' AND dismissed_at IS NULL"),
        ),
        Index(
            "ix_jobs_results_to_prune",
            "expires_at",
            postgresql_where=text(
                "pruned_at IS NULL AND expires_at IS NOT NULL"
                " AND (status <> 'failed' OR dismissed_at IS NOT NULL)"
            ),
        ),
        Index(
            "ix_jobs_oldest_finished",
            "finished_at",
            postgresql_where=text("finished_at IS NOT NULL AND expires_at IS NOT NULL"),
        ),
        Index(
            "ix_jobs_need_dataset",
            "dataset_id",
            postgresql_where=text("dataset_id IS NOT NULL AND status IN ('pending', 'running')"),
        ),
        Index(
            "ix_jobs_of_dataset",
            "dataset_id",
            text("id DESC"),
            postgresql_where=text("dataset_id IS NOT NULL"),
        ),
        Index(
            "ix_jobs_need_model_version",
            "model_version_id",
            postgresql_where=text("model_version_id IS NOT NULL AND status IN ('pending', 'running')"),
        ),
        Index(
            "ix_jobs_of_schedule",
            "schedule_id",
            text("id DESC"),
            postgresql_where=text("schedule_id IS NOT NULL"),
        ),
        Index(
            "ix_jobs_active_of_schedule",
            "schedule_id",
            postgresql_where=text("schedule_id IS NOT NULL AND status IN ('pending', 'running')"),
        ),
        {"postgresql_with": {"fillfactor": "80"}},
    )

    id: UUID = Field(primary_key=True)
    owner_id: UUID = Field(foreign_key="users.id", ondelete="CASCADE")
    kind: str = Field(sa_type=Text)
    queue: str = Field(sa_type=Text)
    priority: str = Field(sa_type=Text)
    sort_key: datetime = Field(sa_column=timestamp_column())
    status: str = Field(sa_column=Column(Text, nullable=False, server_default="pending"))
    params: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    labels: dict[str, str] = Field(sa_column=Column("metadata", JSONB, nullable=False, server_default="{}"))
    attempt: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    failures: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    max_attempts: int
    next_batch: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    done: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    total: int | None = Field(default=None, sa_type=BigInteger)
    progress: float = Field(
        sa_column=Column(
            Double,
            Computed(
                "CASE WHEN status = 'completed' THEN 100 ELSE job_progress(done, total) END", persisted=True
            ),
            nullable=False,
        )
    )
    step: str | None = Field(default=None, sa_type=Text)
    worker_id: UUID | None = None
    run_at: datetime = Field(sa_column=timestamp_column(default_now=True))
    soft_limit_seconds: int
    time_limit_seconds: int
    retention_seconds: int
    cancel_requested_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    result: dict[str, Any] | None = Field(default=None, sa_type=JSONB)
    error: dict[str, Any] | None = Field(default=None, sa_type=JSONB)
    last_seq: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    idempotency_key: str | None = Field(default=None, sa_type=Text)
    request_digest: bytes | None = Field(default=None, sa_type=LargeBinary)
    group_id: UUID | None = Field(default=None, foreign_key="job_groups.id")
    files: dict[str, Any] | None = Field(default=None, sa_type=JSONB)
    dataset_id: UUID | None = None
    model_version_id: UUID | None = None
    errors: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    stored_bytes: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    checkpoint_bytes: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    upload_bytes: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    held_bytes: int = Field(
        sa_column=Column(
            BigInteger,
            Computed(
                "stored_bytes + CASE WHEN finished_at IS NULL THEN upload_bytes ELSE 0 END", persisted=True
            ),
            nullable=False,
        )
    )
    trace_context: str | None = Field(default=None, sa_type=Text)
    created_at: datetime = Field(sa_column=timestamp_column(default_now=True))
    started_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    attempt_started_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    attempt_first_row: int = Field(
        default=0, sa_column=Column(BigInteger, nullable=False, server_default="0")
    )
    finished_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    expires_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    pruned_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    dismissed_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    dismiss_reason: str | None = Field(default=None, sa_type=Text)
    schedule_id: UUID | None = None
    fire_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    profile: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    resubmitted_from: UUID | None = None
    parent_id: UUID | None = Field(default=None, foreign_key="jobs.id", ondelete="CASCADE")
    shard_no: int | None = None
    first_row: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    shards: int | None = None
    max_failed_shards: int | None = None
    gpus: int = Field(default=0, sa_column=Column(SmallInteger, nullable=False, server_default="0"))


class JobPayload(SQLModel, table=True):
    """The inline rows of a job, as a JSON array."""

    __tablename__ = "job_payloads"

    job_id: UUID = Field(primary_key=True, foreign_key="jobs.id", ondelete="CASCADE")
    rows: bytes = Field(sa_type=LargeBinary)


class JobBatch(SQLModel, table=True):
    """The output of one batch, one JSON object per line and row: inline, or in a part file in storage.

    For a shard, `first_row` counts from its own first row.
    """

    __tablename__ = "job_batches"

    job_id: UUID = Field(primary_key=True, foreign_key="jobs.id", ondelete="CASCADE")
    index: int = Field(primary_key=True)
    first_row: int = Field(sa_type=BigInteger)
    row_count: int
    attempt: int
    output: bytes | None = Field(default=None, sa_type=LargeBinary)
    part_key: str | None = Field(default=None, sa_type=Text)
    bytes: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))


class JobEvent(SQLModel, table=True):
    """One fact about a job, numbered from 1, never changed. Events of a shard have no owner."""

    __tablename__ = "job_events"
    __table_args__ = (
        Index(
            "ix_job_events_log_of_owner",
            *("owner_id", "xact_id", "job_id", "seq"),
            postgresql_where=text("owner_id IS NOT NULL"),
        ),
    )

    job_id: UUID = Field(primary_key=True, foreign_key="jobs.id", ondelete="CASCADE")
    seq: int = Field(primary_key=True)
    owner_id: UUID | None = None
    type: str = Field(sa_type=Text)
    data: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    at: datetime = Field(sa_column=timestamp_column(default_now=True))
    xact_id: int = Field(
        sa_column=Column(
            BigInteger, nullable=False, server_default=text("((pg_current_xact_id())::text)::bigint")
        )
    )


class JobAttempt(SQLModel, table=True):
    """An attempt that has ended; written once.

    `job_status` is the status of the job afterwards: final if this attempt ended it. The columns from
    `owner_id` on are null where a worker of an earlier version wrote the row.
    """

    __tablename__ = "job_attempts"
    __table_args__ = (Index("ix_job_attempts_latest_of_queue", "queue", text("ended_at DESC")),)

    job_id: UUID = Field(primary_key=True, foreign_key="jobs.id", ondelete="CASCADE")
    attempt: int = Field(primary_key=True)
    kind: str = Field(sa_type=Text)
    queue: str = Field(sa_type=Text)
    worker_id: UUID
    due_at: datetime = Field(sa_column=timestamp_column())
    started_at: datetime = Field(sa_column=timestamp_column())
    ended_at: datetime = Field(sa_column=timestamp_column(default_now=True))
    outcome: str = Field(sa_type=Text)
    error: dict[str, Any] | None = Field(default=None, sa_type=JSONB)
    traceback: str | None = Field(default=None, sa_type=Text)
    owner_id: UUID | None = None
    job_status: str | None = Field(default=None, sa_type=Text)
    model: str | None = Field(default=None, sa_type=Text)
    rows: int | None = Field(default=None, sa_type=BigInteger)
    cpu_seconds: float | None = Field(default=None, sa_type=Double)
    memory_peak_bytes: int | None = Field(default=None, sa_type=BigInteger)
    profile_key: str | None = Field(default=None, sa_type=Text)
    worker_name: str | None = Field(default=None, sa_type=Text)


class JobLogPart(SQLModel, table=True):
    """Consecutive lines that an attempt has written: when, at which level, and what. Written once.

    Lines are numbered over all attempts of a job. `bytes` are those of all texts.
    """

    __tablename__ = "job_logs"

    job_id: UUID = Field(primary_key=True, foreign_key="jobs.id", ondelete="CASCADE")
    attempt: int = Field(primary_key=True)
    part: int = Field(primary_key=True)
    first_line: int = Field(sa_type=BigInteger)
    last_line: int = Field(sa_type=BigInteger)
    bytes: int
    written_at: list[datetime] = Field(sa_column=Column(ARRAY(DateTime(timezone=True)), nullable=False))
    levels: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    texts: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))


class JobCheckpoint(SQLModel, table=True):
    """What the next attempt needs to resume after the last committed batch.

    One row per job, replaced by each commit. A large checkpoint is in a file in storage.
    """

    __tablename__ = "job_checkpoints"

    job_id: UUID = Field(primary_key=True, foreign_key="jobs.id", ondelete="CASCADE")
    next_batch: int
    data: bytes | None = Field(default=None, sa_type=LargeBinary)
    file: dict[str, Any] | None = Field(default=None, sa_type=JSONB)
