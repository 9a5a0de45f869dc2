"""Counts jobs that were created, and jobs and attempts that ended.

Only `unit_of_work` calls `count_transition`. The process that has ended an attempt counts it.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Final

import msgspec

from app.core import metrics
from app.core.metrics import OTHER_QUEUE, QueueLabels, queue_label, queue_labels
from app.jobs.events import Event
from app.jobs.faults import Fault, fault_of
from app.jobs.kinds.kind import Kind
from app.jobs.states import EventType, Outcome, Status
from app.jobs.transition_types import TransitionResult

MAX_PAIRS: Final = 200
"""Pairs of a kind and a queue with series of their own: with many kinds, fewer queues have a label."""

FENCED: Final = "fenced"
"""The outcome of an attempt that its worker has lost; another process ended or rescued it."""

# What may happen in any process: a pending job is cancelled, or a rescue ends its last attempt.
_ENDS: Final = ((Status.CANCELLED, Fault.NONE), (Status.FAILED, Fault.SYSTEM))
_OUTCOMES: Final = ((Outcome.CANCELLED, Fault.NONE), (Outcome.RESCUED, Fault.SYSTEM))

# What may also happen in a worker.
_ENDS_OF_WORKERS: Final = ((Status.COMPLETED, Fault.NONE), (Status.FAILED, Fault.USER))
_OUTCOMES_OF_WORKERS: Final = (
    (Outcome.COMPLETED, Fault.NONE),
    (Outcome.FAILED, Fault.USER),
    (Outcome.FAILED, Fault.SYSTEM),
    (Outcome.RELEASED, Fault.NONE),
    (FENCED, Fault.NONE),
)


class JobSeries:
    """The series of the metrics about jobs, created with the value 0.

    `rate()` does not see the first event of a series that begins with it. `queues` are those that this worker
    serves; the API serves none.
    """

    def __init__(
        self, kinds: Mapping[str, Kind], queues: Iterable[str] = (), labels: QueueLabels = queue_labels
    ) -> None:
        self._labels = labels
        self._max_queues = MAX_PAIRS // max(1, len(kinds))
        self._kinds = tuple(kinds)
        self._own_queues = tuple(queues)
        self._create_for_kinds()
        for queue in (OTHER_QUEUE, *labels.names):
            self._create_for_queue(queue)
        self.admit([*self._own_queues, *(kind.queue for kind in kinds.values())])

    def admit(self, queues: Iterable[str]) -> None:
        """Give these queues a label and their series, as far as the bound on labels allows."""
        for queue in self._labels.admit(queues, self._max_queues):
            self._create_for_queue(queue)

    @property
    def _is_worker(self) -> bool:
        return bool(self._own_queues)

    def _create_for_kinds(self) -> None:
        for kind in self._kinds:
            for outcome, fault in _OUTCOMES + (_OUTCOMES_OF_WORKERS if self._is_worker else ()):
                metrics.ATTEMPTS.labels(kind, outcome, fault)
            if self._is_worker:
                metrics.ATTEMPT_SECONDS.labels(kind)
                metrics.BATCH_SECONDS.labels(kind)
                metrics.ROWS.labels(kind)
                metrics.CPU_SECONDS.labels(kind)
        if self._is_worker:
            for result in ("job", "empty"):
                metrics.CLAIMS.labels(result)

    def _create_for_queue(self, queue: str) -> None:
        if queue in self._own_queues:
            metrics.WAIT_SECONDS.labels(queue)
        for kind in self._kinds:
            metrics.JOBS_CREATED.labels(kind, queue)  # a worker creates the jobs of schedules
            for status, fault in _ENDS + (_ENDS_OF_WORKERS if self._is_worker else ()):
                metrics.JOBS_ENDED.labels(kind, queue, status, fault)


# Cached, because `labels` takes microseconds of the half millisecond of a small job. The labels are bounded.
_created: Final = cache(metrics.JOBS_CREATED.labels)
_ended: Final = cache(metrics.JOBS_ENDED.labels)
_attempts: Final = cache(metrics.ATTEMPTS.labels)
_rows: Final = cache(metrics.ROWS.labels)


def count_transition(result: TransitionResult) -> None:
    """Count a job that was created or has ended. Shards are parts of a job, and not counted."""
    if result.parent_id is not None:
        return
    queue = queue_label(result.queue)
    if result.events[0].type == EventType.CREATED:
        _created(result.kind, queue).inc()
    elif result.status.is_final:
        _ended(result.kind, queue, result.status, _fault(result)).inc()


def count_attempt(kind: str, outcome: str, fault: Fault = Fault.NONE) -> None:
    """Count an attempt that has ended."""
    _attempts(kind, outcome, fault).inc()


def count_rows(kind: str, rows: int) -> None:
    """Count rows that an attempt has committed."""
    _rows(kind).inc(rows)


def count_rescued(result: TransitionResult) -> None:
    """Count the attempt that a rescue has ended."""
    if result.status is Status.CANCELLED:  # its cancellation was requested before
        count_attempt(result.kind, Outcome.CANCELLED)
    else:
        count_attempt(result.kind, Outcome.RESCUED, Fault.SYSTEM)


class _Error(msgspec.Struct):
    code: str
    cause: str | None = None


class _EndData(msgspec.Struct):
    error: _Error


_decode: Final = msgspec.json.Decoder(_EndData).decode


def _fault(result: TransitionResult) -> Fault:
    if result.status is not Status.FAILED:
        return Fault.NONE
    end: Event = result.events[-1]
    error = _decode(end.data).error
    return fault_of(error.cause or error.code)
