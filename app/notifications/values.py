"""Subscriptions, deliveries and tries, as queries return them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Self
from uuid import UUID

from app.core.rows import Row
from app.notifications.states import DeliveryStatus, NotificationType, SubscriptionStatus

MAX_COUNTED: Final = 1000
"""The pending deliveries of a subscription are counted up to this number."""


@dataclass(frozen=True, kw_only=True)
class SubscriptionFilter:
    """Which jobs a subscription is about: those that match every given member.

    `metadata` is containment; `model` is the name by which a job refers to its model.
    """

    kind: str | None = None
    queue: str | None = None
    model: str | None = None
    job_id: UUID | None = None
    group_id: UUID | None = None
    schedule_id: UUID | None = None
    metadata: dict[str, str] | None = None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read the columns of a row of `subscriptions`."""
        return cls(
            kind=row["kind"],
            queue=row["queue"],
            model=row["model"],
            job_id=row["job_id"],
            group_id=row["group_id"],
            schedule_id=row["schedule_id"],
            metadata=row["metadata"],
        )


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """A row of `subscriptions`, without its secrets. `reason` has a `code`, a DisabledReason."""

    id: UUID
    owner_id: UUID
    name: str
    channel: str
    target: dict[str, Any] = field(repr=False)
    events: tuple[NotificationType, ...]
    filter: SubscriptionFilter
    gather_seconds: int
    status: SubscriptionStatus
    reason: dict[str, Any] | None
    failures: int
    failing_since: datetime | None
    held_until: datetime | None
    confirmed_at: datetime | None
    created_at: datetime

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row with all columns of `subscriptions`."""
        return cls(
            id=row["id"],
            owner_id=row["owner_id"],
            name=row["name"],
            channel=row["channel"],
            target=row["target"],
            events=tuple(NotificationType(event) for event in row["events"]),
            filter=SubscriptionFilter.from_row(row),
            gather_seconds=row["gather_seconds"],
            status=SubscriptionStatus(row["status"]),
            reason=row["reason"],
            failures=row["failures"],
            failing_since=row["failing_since"],
            held_until=row["held_until"],
            confirmed_at=row["confirmed_at"],
            created_at=row["created_at"],
        )


@dataclass(frozen=True, kw_only=True)
class LastDelivery:
    """The newest delivery of a subscription."""

    id: UUID
    type: NotificationType
    status: DeliveryStatus
    created_at: datetime
    ended_at: datetime | None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read the columns `last_…` of a row."""
        return cls(
            id=row["last_id"],
            type=NotificationType(row["last_type"]),
            status=DeliveryStatus(row["last_status"]),
            created_at=row["last_created_at"],
            ended_at=row["last_ended_at"],
        )


@dataclass(frozen=True, kw_only=True)
class SubscriptionState:
    """A subscription, and how its deliveries go. `pending` counts up to MAX_COUNTED."""

    subscription: Subscription
    pending: int
    last_delivery: LastDelivery | None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of `subscriptions` with `pending` and the columns of the last delivery."""
        return cls(
            subscription=Subscription.from_row(row),
            pending=row["pending"],
            last_delivery=None if row["last_id"] is None else LastDelivery.from_row(row),
        )


@dataclass(frozen=True)
class SealedSecret:
    """A signing secret under a key of this service. A replaced one signs until `expires_at`."""

    sealed: str = field(repr=False)
    expires_at: datetime | None = None

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Read an element of the column `secrets`."""
        expires_at = value["expires_at"]
        return cls(value["sealed"], None if expires_at is None else datetime.fromisoformat(expires_at))

    def to_json(self) -> dict[str, Any]:
        """Return it as an element of the column `secrets`."""
        return {
            "sealed": self.sealed,
            "expires_at": None if self.expires_at is None else self.expires_at.isoformat(),
        }

    def is_live(self, now: datetime) -> bool:
        """Whether it still signs."""
        return self.expires_at is None or now < self.expires_at


@dataclass(frozen=True, kw_only=True)
class JobFacts:
    """What a delivery says about a job beside the event: what never changes of the job."""

    kind: str
    metadata: dict[str, str]
    group_id: UUID | None
    schedule_id: UUID | None
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A row of `deliveries`: event `seq` of the job `job_id`, or what `data` says."""

    id: UUID
    subscription_id: UUID
    type: NotificationType
    job_id: UUID | None
    seq: int | None
    data: dict[str, Any] | None
    status: DeliveryStatus
    tries: int
    next_try_at: datetime | None
    replay_of: UUID | None
    created_at: datetime
    ended_at: datetime | None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row with all columns of `deliveries`."""
        return cls(
            id=row["id"],
            subscription_id=row["subscription_id"],
            type=NotificationType(row["type"]),
            job_id=row["job_id"],
            seq=row["seq"],
            data=row["data"],
            status=DeliveryStatus(row["status"]),
            tries=row["tries"],
            next_try_at=row["next_try_at"],
            replay_of=row["replay_of"],
            created_at=row["created_at"],
            ended_at=row["ended_at"],
        )


@dataclass(frozen=True, kw_only=True)
class DeliveryTry:
    """A row of `delivery_tries`. `response` is the first KiB of the answer, `error` why there was none."""

    number: int
    at: datetime
    duration_ms: int
    status: int | None
    error: str | None
    response: bytes | None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of `delivery_tries`."""
        return cls(
            number=row["number"],
            at=row["at"],
            duration_ms=row["duration_ms"],
            status=row["status"],
            error=row["error"],
            response=row["response"],
        )


@dataclass(frozen=True, kw_only=True)
class LockedSubscription:
    """A subscription that nothing else changes until the commit, with its secrets, and the time."""

    subscription: Subscription
    secrets: tuple[SealedSecret, ...]
    now: datetime

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row with all columns of `subscriptions`, and `now`."""
        return cls(
            subscription=Subscription.from_row(row),
            secrets=tuple(map(SealedSecret.from_json, row["secrets"])),
            now=row["now"],
        )


@dataclass(frozen=True, kw_only=True)
class PingOutcome:
    """What has come of a test so far. The last three are None while it has not been tried."""

    status: DeliveryStatus
    duration_ms: int | None
    response_status: int | None
    error: str | None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of `deliveries` with its last try."""
        return cls(
            status=DeliveryStatus(row["status"]),
            duration_ms=row["duration_ms"],
            response_status=row["response_status"],
            error=row["error"],
        )
