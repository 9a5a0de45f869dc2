"""The states of subscriptions and deliveries, and the types of events that subscriptions may name."""

from enum import StrEnum
from typing import Final


class NotificationType(StrEnum):
    """What a delivery is about. Those of jobs are `job.` and the type of the event."""

    JOB_STARTED = "job.started"
    JOB_RETRYING = "job.retrying"
    JOB_COMPLETED = "job.completed"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"
    SCHEDULE_REFUSED = "schedule.refused"
    SCHEDULE_MISSED = "schedule.missed"
    SCHEDULE_PAUSED = "schedule.paused"
    SCHEDULE_FINISHED = "schedule.finished"
    SCHEDULE_BROKEN = "schedule.broken"
    SUBSCRIPTION_DISABLED = "subscription.disabled"
    SUBSCRIPTION_CONFIRM = "subscription.confirm"
    """Asks an address for its confirmation: the only message that a pending subscription gets."""
    PING = "ping"
    """A test. It is written for one subscription, whatever that names."""

    @property
    def is_of_job(self) -> bool:
        """Whether the delivery refers to an event of a job."""
        return self.startswith("job.")

    @property
    def is_of_schedule(self) -> bool:
        """Whether the delivery is about a schedule."""
        return self.startswith("schedule.")


SUBSCRIBABLE: Final = tuple(
    member
    for member in NotificationType
    if member not in (NotificationType.PING, NotificationType.SUBSCRIPTION_CONFIRM)
)
"""The types that a subscription may name."""


class SubscriptionStatus(StrEnum):
    """The state of a subscription. `pending`: its address has to be confirmed first."""

    PENDING = "pending"
    ACTIVE = "active"
    DISABLED = "disabled"


class DisabledReason(StrEnum):
    """Why a subscription is disabled: the member `code` of its `reason`.

    `owner`: its owner disabled it. `gone`: the receiver answered 410. `failing`: every try of five days
    failed. `secret_lost`: no key opens its secrets. `unsubscribed`: the recipient used the link of an e-mail.
    """

    OWNER = "owner"
    GONE = "gone"
    FAILING = "failing"
    SECRET_LOST = "secret_lost"  # noqa: S105  # no secret
    UNSUBSCRIBED = "unsubscribed"


class DeliveryStatus(StrEnum):
    """The state of a delivery.

    `failed`: the receiver refused it for good, or its last try failed. `dropped`: its job is gone, or its
    subscription was disabled before it was delivered.
    """

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    DROPPED = "dropped"
