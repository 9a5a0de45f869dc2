"""The hints that tell other processes about a committed transition. Only `unit_of_work` calls this."""

from app.core.hints import Hints
from app.jobs.states import EventType, Status
from app.jobs.transition_types import TransitionResult


def publish_transition(hints: Hints, transition: TransitionResult) -> None:
    """Publish the events, wake a worker for a due job, and notify the job's worker of a cancellation."""
    hints.publish_events(transition.owner_id, (event.encoded() for event in transition.events))
    if transition.status is Status.PENDING and transition.is_due:
        hints.wake(transition.queue)
    is_cancel = any(event.type == EventType.CANCEL_REQUESTED for event in transition.events)
    if is_cancel and transition.worker_id is not None:
        hints.notify_worker(transition.worker_id, transition.job_id)
