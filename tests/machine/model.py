"""A job's life in plain Python: what the transitions are meant to do, with nothing of how they do it.

Time is a number of seconds that only a step of the machine moves on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from app.core.config import ClaimOrder
from app.jobs.states import EventType, Outcome, Status
from app.jobs.transition_types import Report

HOUR = 3600.0
"""What one running job costs its owner, whose share is 1."""

STAGGER = 20.0
"""How much later than the one before a shard queues, within the head start."""


class Event(NamedTuple):
    type: EventType
    status: Status
    attempt: int
    done: int


class StoredBatch(NamedTuple):
    position: int
    first_row: int
    row_count: int
    attempt: int


class Error(NamedTuple):
    code: str
    attempt: int


class Ended(NamedTuple):
    attempt: int
    worker_id: UUID
    outcome: Outcome


class NotWhole(Exception):
    """A job may not complete with rows missing."""


@dataclass
class Job:
    """One job, and everything that is known of it. A shard begins with the row `first_row` of its parent."""

    id: UUID
    kind: str
    queue: str
    head_start: float
    total: int
    max_attempts: int
    run_at: float
    sort_key: float
    owner_id: UUID
    status: Status = Status.PENDING
    attempt: int = 0
    failures: int = 0
    next_batch: int = 0
    done: int = 0
    worker_id: UUID | None = None
    attempt_started_at: float | None = None
    is_cancel_requested: bool = False
    error: Error | None = None
    checkpoint: tuple[int, bytes] | None = None
    batches: list[StoredBatch] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    first_row: int | None = None
    shards: list["Job"] = field(default_factory=list)
    max_failed: int = 0

    def __post_init__(self) -> None:
        self._tell(EventType.CREATED)

    @property
    def is_live(self) -> bool:
        return not self.status.is_final

    @property
    def is_parent(self) -> bool:
        return bool(self.shards)

    @property
    def is_shard(self) -> bool:
        return self.first_row is not None

    def is_held_as(self, attempt: int) -> bool:
        """Whether the fence lets this attempt write."""
        return self.status is Status.RUNNING and self.attempt == attempt

    def claim(self, worker_id: UUID, *, now: float) -> None:
        self.status, self.worker_id, self.attempt_started_at = Status.RUNNING, worker_id, now
        self.attempt += 1
        self._tell(EventType.STARTED)

    def advance(self, report: Report, worker_id: UUID) -> bool:
        """Whether the report is applied. Raises NotWhole, and then nothing is."""
        if not self.is_held_as(report.attempt) or self.next_batch != report.first_batch:
            return False
        rows = sum(batch.row_count for batch in report.batches)
        if report.is_final and not self.is_cancel_requested and self.done + rows != self.total:
            raise NotWhole
        for batch in report.batches:
            self.batches.append(StoredBatch(self.next_batch, self.done, batch.row_count, self.attempt))
            self.next_batch += 1
            self.done += batch.row_count
            self._tell(EventType.PROGRESS)
        if report.checkpoint is not None:
            self.checkpoint = (self.next_batch, report.checkpoint)
        if report.is_final:
            self.worker_id, self.error = None, None
            self.status = Status.CANCELLED if self.is_cancel_requested else Status.COMPLETED
            self.ended.append(Ended(self.attempt, worker_id, Outcome(self.status)))
            self._tell(EventType(self.status))
        return True

    def fail(self, attempt: int, *, code: str, is_retryable: bool, delay: float, now: float) -> bool:
        """Whether the attempt was this one, and has failed now."""
        if not self.is_held_as(attempt):
            return False
        self.failures += 1
        self.error = Error(code, self.attempt)
        again = is_retryable and self.failures < self.max_attempts
        self._leave(
            Status.PENDING if again else Status.FAILED, EventType.RETRYING, Outcome.FAILED, now + delay
        )
        return True

    def release(self, attempt: int, *, now: float) -> bool:
        """Whether the attempt was this one, and is given back now."""
        if not self.is_held_as(attempt):
            return False
        self._leave(Status.PENDING, EventType.RELEASED, Outcome.RELEASED, now)
        return True

    def stop(self, attempt: int) -> bool:
        """Whether the attempt was this one, and is stopped for a cancel now."""
        if not self.is_held_as(attempt):
            return False
        self._leave(Status.CANCELLED, EventType.RELEASED, Outcome.CANCELLED, self.run_at)
        return True

    def rescue(self, *, delays: Sequence[float], now: float) -> None:
        self.failures += 1
        self.error = Error("worker_lost", self.attempt)
        again = self.failures < self.max_attempts
        due = now + delays[min(self.failures, len(delays)) - 1]
        self._leave(Status.PENDING if again else Status.FAILED, EventType.RESCUED, Outcome.RESCUED, due)

    def cancel(self) -> bool:
        """Whether there was something to do."""
        if self.is_cancel_requested or not self.is_live or self.is_shard:
            return False
        self.is_cancel_requested = True
        if self.status is Status.PENDING and not self.is_parent:
            self.status = Status.CANCELLED
            self._tell(EventType.CANCELLED)
        else:
            self._tell(EventType.CANCEL_REQUESTED)
        return True

    def retry(self, *, from_start: bool, now: float) -> bool:
        """Whether it may be tried again."""
        if self.status not in (Status.FAILED, Status.CANCELLED) or self.is_shard:
            return False
        self._reopen(now, now - self.head_start, from_start=from_start)
        again = [shard for shard in self.shards if from_start or shard.status is not Status.COMPLETED]
        for place, shard in enumerate(again):
            shard._reopen(now, self.place_of_shard(place), from_start=from_start)
        return True

    def place_of_shard(self, place: int) -> float:
        """The sort key of a shard."""
        return self.sort_key + min(place * STAGGER, self.run_at - self.sort_key)

    def roll_up(self, *, now: float) -> None:
        """Follow the shards."""
        failed = sum(shard.status is Status.FAILED for shard in self.shards)
        if self.is_cancel_requested or failed > self.max_failed:
            for shard in self.shards:
                shard._end_from_outside()
        is_over = not any(shard.is_live for shard in self.shards)
        started = [shard.attempt_started_at for shard in self.shards if shard.attempt_started_at is not None]
        began = min((at for at in started if at >= self.run_at), default=now if is_over else None)
        if self.status is Status.PENDING and began is not None and not self.is_cancel_requested:
            self.status, self.attempt_started_at = Status.RUNNING, began
            self.attempt += 1
            self._tell(EventType.STARTED)
        done = sum(shard.done for shard in self.shards)
        if is_over:
            self.done = done
            self._settle()
        elif self.status is Status.RUNNING and done > self.done:
            self.done = done
            self._tell(EventType.PROGRESS)

    def _settle(self) -> None:
        if self.is_cancel_requested:
            self.status = Status.CANCELLED
        elif all(shard.status is Status.COMPLETED for shard in self.shards):
            self.status, self.error = Status.COMPLETED, None
        else:
            self.status, self.error = Status.FAILED, Error("shards_failed", self.attempt)
        self._tell(EventType(self.status))

    def _end_from_outside(self) -> None:
        if not self.is_live:
            return
        if self.worker_id is not None:
            self.ended.append(Ended(self.attempt, self.worker_id, Outcome.CANCELLED))
        self.status, self.worker_id = Status.CANCELLED, None
        self._tell(EventType.CANCELLED)

    def _reopen(self, now: float, sort_key: float, *, from_start: bool) -> None:
        self.status, self.failures, self.is_cancel_requested = Status.PENDING, 0, False
        self.run_at, self.sort_key = now, sort_key
        if from_start:
            self.next_batch, self.done, self.checkpoint = 0, 0, None
            self.batches.clear()
        self._tell(EventType.RETRIED)

    def _leave(self, status: Status, waiting: EventType, outcome: Outcome, run_at: float) -> None:
        """Leave `running`: a cancel that was asked for wins over whatever else would come."""
        if self.is_cancel_requested or status is Status.CANCELLED:
            status, outcome = Status.CANCELLED, Outcome.CANCELLED
        assert self.worker_id is not None
        self.ended.append(Ended(self.attempt, self.worker_id, outcome))
        self.status, self.worker_id = status, None
        if status is Status.PENDING:
            self.run_at = run_at
        self._tell(waiting if status is Status.PENDING else EventType(status))

    def _tell(self, event: EventType) -> None:
        self.events.append(Event(event, self.status, self.attempt, self.done))


class Turn:
    """When it is an owner's turn."""

    def __init__(self, model: "Model", head: Job) -> None:
        of_owner = [job for job in model.jobs.values() if job.owner_id == head.owner_id]
        self._running = sum(job.status is Status.RUNNING and not job.is_parent for job in of_owner)
        self._since = max(
            [head.run_at] + [job.attempt_started_at for job in of_owner if job.attempt_started_at is not None]
        )
        self._first = (self._at, head.id)

    @property
    def _at(self) -> float:
        return self._since + self._running * HOUR

    @property
    def key(self) -> tuple[float, tuple[float, UUID]]:
        return self._at, self._first

    def start(self, now: float) -> None:
        self._running += 1
        self._since = now


@dataclass
class Model:
    """All jobs, and when each worker was last seen."""

    lease: float
    now: float = 0.0
    jobs: dict[UUID, Job] = field(default_factory=dict)
    seen_at: dict[UUID, float] = field(default_factory=dict)

    def next_to_claim(
        self, queue: str, kinds: Sequence[str], limit: int, order: ClaimOrder = ClaimOrder.PRIORITY
    ) -> list[Job]:
        waiting = [
            job
            for job in self.jobs.values()
            if job.status is Status.PENDING
            and not job.is_parent
            and job.queue == queue
            and job.kind in kinds
            and job.run_at <= self.now
        ]
        waiting.sort(key=lambda job: (job.sort_key, job.id))
        return waiting[:limit] if order is ClaimOrder.PRIORITY else self._in_turn(waiting, limit)

    def _in_turn(self, waiting: list[Job], limit: int) -> list[Job]:
        """Choose one after the other: the first job of the owner whose turn it is then."""
        turns = {job.owner_id: Turn(self, job) for job in reversed(waiting)}
        chosen: list[Job] = []
        while waiting and len(chosen) < limit:
            owner_id = min((job.owner_id for job in waiting), key=lambda owner_id: turns[owner_id].key)
            chosen.append(next(job for job in waiting if job.owner_id == owner_id))
            waiting.remove(chosen[-1])
            turns[owner_id].start(self.now)
        return chosen

    def abandoned(self) -> list[Job]:
        """The running jobs of workers that were not seen for a lease."""
        return [
            job
            for job in self.jobs.values()
            if job.status is Status.RUNNING and not job.is_parent and not self._is_alive(job.worker_id)
        ]

    @property
    def may_claim(self) -> bool:
        return any(
            job.status is Status.PENDING and not job.is_parent and job.run_at <= self.now
            for job in self.jobs.values()
        )

    def busy_workers(self) -> list[UUID]:
        """The workers that run something, in the order of the jobs. A job with shards runs without one."""
        return [job.worker_id for job in self.jobs.values() if job.worker_id is not None]

    def held_by(self, worker_id: UUID) -> list[Job]:
        return [job for job in self.jobs.values() if job.worker_id == worker_id]

    def _is_alive(self, worker_id: UUID | None) -> bool:
        return worker_id in self.seen_at and self.now - self.seen_at[worker_id] < self.lease
