"""The lane of `POST /predict`: a queue of its own, and slots of each worker that take jobs from it alone.

However many long jobs run, a prediction finds a free slot. All other slots serve the lane's queue, too.
"""

from typing import Final

from app.jobs.kinds import batch_predict

QUEUE: Final = "/predict"
"""The queue of the lane. No request can put another job into it: `QUEUE_NAME` allows no slash."""


def queues_of_worker(queues: tuple[str, ...]) -> tuple[str, ...]:
    """Return the queues that a worker serves: its own, and the lane's if it serves that of predictions."""
    return (*queues, QUEUE) if serves_lane(queues) else queues


def serves_lane(queues: tuple[str, ...]) -> bool:
    """Whether a worker of these queues serves the lane: those that predict without it do."""
    return batch_predict.KIND.queue in queues
