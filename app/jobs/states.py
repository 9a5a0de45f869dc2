"""The life cycle of a job as data: states, transitions, priorities, types of events."""

from datetime import timedelta
from enum import StrEnum
from typing import Final


class Status(StrEnum):
    """The state of a job."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the job has ended. Only a retry by its owner changes it after that."""
        return self in FINAL


FINAL: Final = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})

LEGAL_TRANSITIONS: Final = frozenset(
    {
        (Status.PENDING, Status.RUNNING),  # claim
        (Status.PENDING, Status.CANCELLED),  # cancel
        (Status.RUNNING, Status.COMPLETED),  # advance
        (
            Status.RUNNING,
            Status.FAILED,
        ),  # fail, rescue: max_attempts is reached, or the error is not retryable
        (Status.RUNNING, Status.PENDING),  # fail, release, rescue: another attempt resumes it
        (Status.RUNNING, Status.CANCELLED),  # cancel
        (Status.FAILED, Status.PENDING),  # an explicit retry
        (Status.CANCELLED, Status.PENDING),  # an explicit retry
    }
)
"""Every legal transition. The trigger `jobs_guard` enforces the same table in the database."""


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
"""How much later a job of this priority may be due and still start first. Bounded, so no job starves."""


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
