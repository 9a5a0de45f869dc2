"""The hints that tell other processes about a committed transition. Only `unit_of_work` calls this."""

from app.core.hints import Hints
from app.jobs.states import EventType, Status
from app.jobs.transition_types import TransitionResult


def publish_transition(hints: Hints, transition: TransitionResult) -> None:
    """Publish the events, wake workers for what is due, and notify the worker that runs or has run the job.

    The events of a shard are not published: its parent has its own.
    """
    types = {event.type for event in transition.events}
    if transition.parent_id is None:
        hints.publish_events(transition.owner_id, (event.encoded() for event in transition.events))
    if transition.status is Status.PENDING and transition.is_due:
        if transition.shards is None:
            hints.wake(transition.queue)
        elif types & {EventType.CREATED, EventType.RETRIED}:
            hints.wake(transition.queue, transition.shards)
    is_ended_shard = transition.parent_id is not None and transition.status is Status.CANCELLED
    if transition.worker_id is not None and (is_ended_shard or EventType.CANCEL_REQUESTED in types):
        hints.notify_worker(transition.worker_id, transition.job_id)
