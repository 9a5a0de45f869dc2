"""What follows from a committed transition: the hints that tell other processes of it."""

from app.core.hints import Hints
from app.jobs.moves import Moved
from app.jobs.states import EventType, Status


def announce(hints: Hints, moved: Moved) -> None:
    """Pass on the events, wake a worker for a job that waits, and the job's worker for a cancel."""
    hints.events(moved.owner_id, (event.encoded() for event in moved.events))
    if moved.status is Status.PENDING and moved.is_due:
        hints.wake(moved.queue)
    is_cancel = any(event.type is EventType.CANCEL_REQUESTED for event in moved.events)
    if is_cancel and moved.worker_id is not None:
        hints.look_at(moved.worker_id, moved.job_id)
