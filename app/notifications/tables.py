"""The tables of subscriptions, deliveries and tries."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, Column, DateTime, Index, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from app.core.schema import enum_check, enum_column, timestamp_column
from app.notifications.states import DeliveryStatus, SubscriptionStatus

_IS_PENDING = "status = 'pending'"


class Subscription(SQLModel, table=True):
    """Who is told of what, and how. `secrets` are sealed; `sealed_with` names the key.

    `model` is the name by which a job refers to its model. `gather_seconds` is that of the channel, copied
    so that a transition need not know it.
    """

    __tablename__ = "subscriptions"
    __table_args__ = (
        enum_check("status", SubscriptionStatus),
        CheckConstraint("(status = 'disabled') = (reason IS NOT NULL)", name="disabled_has_reason"),
        CheckConstraint("gather_seconds >= 0 AND failures >= 0", name="not_negative"),
        CheckConstraint("(failures = 0) = (failing_since IS NULL)", name="failing"),
        CheckConstraint("(secrets = '[]') = (sealed_with IS NULL)", name="sealed"),
        Index("ix_subscriptions_to_tell", "owner_id", postgresql_where=text("status = 'active'")),
        Index("ix_subscriptions_newest_of_owner", "owner_id", text("id DESC")),
        Index(
            "ix_subscriptions_sealed_with", "sealed_with", postgresql_where=text("sealed_with IS NOT NULL")
        ),
    )

    id: UUID = Field(primary_key=True)
    owner_id: UUID = Field(foreign_key="users.id", ondelete="CASCADE")
    name: str = Field(sa_type=Text)
    channel: str = Field(sa_type=Text)
    target: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    events: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    kind: str | None = Field(default=None, sa_type=Text)
    queue: str | None = Field(default=None, sa_type=Text)
    model: str | None = Field(default=None, sa_type=Text)
    job_id: UUID | None = None
    group_id: UUID | None = None
    schedule_id: UUID | None = None
    labels: dict[str, str] | None = Field(default=None, sa_column=Column("metadata", JSONB))
    gather_seconds: int
    secrets: list[dict[str, Any]] = Field(sa_column=Column(JSONB, nullable=False, server_default="[]"))
    sealed_with: str | None = Field(default=None, sa_type=Text)
    status: SubscriptionStatus = Field(sa_column=enum_column(SubscriptionStatus))
    reason: dict[str, Any] | None = Field(default=None, sa_type=JSONB)
    failures: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    failing_since: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    held_until: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    confirmed_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    created_at: datetime = Field(sa_column=timestamp_column(default_now=True))


class Delivery(SQLModel, table=True):
    """One event for one subscription: event `seq` of a job, or what `data` says.

    No foreign key to the job: the delivery of a job that is gone is dropped. While it is pending,
    `next_try_at` is also the end of the lease of the process that tries it.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        enum_check("status", DeliveryStatus),
        CheckConstraint("(status = 'pending') = (next_try_at IS NOT NULL)", name="pending_has_next"),
        CheckConstraint("(status = 'pending') = (ended_at IS NULL)", name="ended"),
        CheckConstraint(
            "num_nonnulls(job_id, data) = 1 AND (job_id IS NULL) = (seq IS NULL)", name="subject"
        ),
        CheckConstraint("tries >= 0", name="not_negative"),
        Index(
            "ix_deliveries_next_of_subscription",
            *("subscription_id", "next_try_at", "id"),
            postgresql_where=text(_IS_PENDING),
        ),
        Index("ix_deliveries_next_due", "next_try_at", postgresql_where=text(_IS_PENDING)),
        Index(
            "ix_deliveries_earlier_of_job",
            *("subscription_id", "job_id", "seq"),
            postgresql_where=text(f"{_IS_PENDING} AND job_id IS NOT NULL AND replay_of IS NULL"),
        ),
        Index(
            "ix_deliveries_newest_of_subscription",
            "subscription_id",
            text("created_at DESC"),
            text("id DESC"),
        ),
        Index(
            "ix_deliveries_undelivered_of_subscription",
            "subscription_id",
            text("created_at DESC"),
            text("id DESC"),
            postgresql_where=text("status IN ('failed', 'dropped')"),
        ),
        Index("ix_deliveries_replays_of", "replay_of", postgresql_where=text("replay_of IS NOT NULL")),
        Index("ix_deliveries_ended", "ended_at", postgresql_where=text("ended_at IS NOT NULL")),
    )

    id: UUID = Field(primary_key=True, sa_column_kwargs={"server_default": text("gen_random_uuid()")})
    subscription_id: UUID = Field(foreign_key="subscriptions.id", ondelete="CASCADE")
    type: str = Field(sa_type=Text)
    job_id: UUID | None = None
    seq: int | None = None
    data: dict[str, Any] | None = Field(default=None, sa_type=JSONB)
    status: DeliveryStatus = Field(sa_column=enum_column(DeliveryStatus, default=DeliveryStatus.PENDING))
    tries: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    next_try_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    replay_of: UUID | None = None
    created_at: datetime = Field(sa_column=timestamp_column(default_now=True))
    ended_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))


class DeliveryTry(SQLModel, table=True):
    """One attempt to deliver, and the answer: its status and its first KiB, or why there was none."""

    __tablename__ = "delivery_tries"

    delivery_id: UUID = Field(primary_key=True, foreign_key="deliveries.id", ondelete="CASCADE")
    number: int = Field(primary_key=True)
    at: datetime = Field(sa_column=timestamp_column())
    duration_ms: int
    status: int | None = None
    error: str | None = Field(default=None, sa_type=Text)
    response: bytes | None = Field(default=None, sa_type=LargeBinary)


class ConfirmationRequest(SQLModel, table=True):
    """When a target was asked for its confirmation, newest first. It stays if the subscription goes."""

    __tablename__ = "confirmation_requests"

    target_hash: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    requested_at: list[datetime] = Field(sa_column=Column(ARRAY(DateTime(timezone=True)), nullable=False))
