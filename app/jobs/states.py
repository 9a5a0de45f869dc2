"""A job's life as data: its states, the moves between them, its priorities, its events."""

from datetime import timedelta
from enum import StrEnum
from typing import Final


class Status(StrEnum):
    """Where a job stands."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens unless somebody asks for it."""
        return self in FINAL


FINAL: Final = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})

MOVES: Final = frozenset(
    {
        (Status.PENDING, Status.RUNNING),  # claim
        (Status.PENDING, Status.CANCELLED),  # cancel
        (Status.RUNNING, Status.COMPLETED),  # advance
        (Status.RUNNING, Status.FAILED),  # fail, rescue: the budget is used up, or it is never retried
        (Status.RUNNING, Status.PENDING),  # fail, release, rescue: it goes on in another attempt
        (Status.RUNNING, Status.CANCELLED),  # cancel
        (Status.FAILED, Status.PENDING),  # an explicit retry
        (Status.CANCELLED, Status.PENDING),  # an explicit retry
    }
)
"""Every legal move. The trigger `jobs_guard` holds the same table in the database."""


class Priority(StrEnum):
    """How urgent a job is."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    CRITICAL = "critical"


HEAD_START: Final = {
    Priority.LOW: timedelta(0),
    Priority.NORMAL: timedelta(hours=1),
    Priority.HIGH: timedelta(hours=6),
    Priority.CRITICAL: timedelta(hours=24),
}
"""How much later a job of this priority may have come and still start first. Bounded, so nobody starves."""


class EventType(StrEnum):
    """What happened to a job."""

    CREATED = "created"
    RETRIED = "retried"
    STARTED = "started"
    PROGRESS = "progress"
    RETRYING = "retrying"
    RELEASED = "released"
    RESCUED = "rescued"
    CANCEL_REQUESTED = "cancel_requested"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the job ended with this event."""
        return self in (EventType.COMPLETED, EventType.FAILED, EventType.CANCELLED)


class Outcome(StrEnum):
    """How an attempt ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RELEASED = "released"
    RESCUED = "rescued"
