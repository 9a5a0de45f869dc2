"""The arguments and the results of transitions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Self
from uuid import UUID

import msgspec

from app.core.files import StoredFile
from app.core.rows import Row
from app.jobs.events import Event
from app.jobs.shards.plan import Divisible, ShardPlan
from app.jobs.states import EventType, Outcome, Priority, Status


@dataclass(frozen=True)
class Measurements:
    """What an attempt has used, as far as it was measured, and the storage key of its profile."""

    cpu_seconds: float | None = None
    memory_peak_bytes: int | None = None
    profile_key: str | None = None

    def parameters(self) -> dict[str, Any]:
        """Return the parameters that the statements for the end of an attempt take."""
        return {
            "cpu_seconds": self.cpu_seconds,
            "memory_peak_bytes": self.memory_peak_bytes,
            "profile_key": self.profile_key,
        }


NOT_MEASURED: Final = Measurements()


class NewJob(msgspec.Struct, frozen=True):
    """A job to be created. `run_at` None means now, by the database's clock.

    `trace_context` is the `traceparent` of its submission, if that is traced; every attempt links to it.
    `fire_at` is the tick of the schedule `schedule_id` for which it is created. Attempts at a job that
    `is_profiled` are sampled. `resubmitted_from` is the earlier job in whose place it was submitted. One that
    is `divisible` may be divided into `shards`. It needs a slot with `gpus` GPUs.
    """

    id: UUID
    owner_id: UUID
    kind: str
    queue: str
    priority: Priority
    head_start: timedelta
    params: bytes
    rows: bytes | None
    total: int | None
    metadata: dict[str, str]
    max_attempts: int
    soft_limit_seconds: int
    time_limit_seconds: int
    retention_seconds: int
    run_at: datetime | None = None
    delay: timedelta | None = None
    idempotency_key: str | None = None
    request_digest: bytes | None = None
    group_id: UUID | None = None
    files: dict[str, StoredFile] | None = None
    dataset_id: UUID | None = None
    model_version_id: UUID | None = None
    upload_bytes: int = 0
    trace_context: str | None = None
    schedule_id: UUID | None = None
    fire_at: datetime | None = None
    is_profiled: bool = False
    resubmitted_from: UUID | None = None
    gpus: int = 0
    divisible: Divisible | None = None
    shards: ShardPlan | None = None

    @property
    def jobs(self) -> int:
        """How many jobs of the owner's quota it is: itself and its shards."""
        return 1 if self.shards is None else 1 + self.shards.shards


@dataclass(frozen=True)
class ClaimedJob:
    """A running job, with what its worker needs to run it. `params` and `rows` are JSON.

    A shard computes the `total` rows of its dataset from `first_row` on; that is None for any other job.
    """

    id: UUID
    attempt: int
    owner_id: UUID
    kind: str
    queue: str
    params: bytes
    rows: bytes | None
    total: int | None
    next_batch: int
    done: int
    checkpoint: bytes | None
    soft_limit_seconds: int
    time_limit_seconds: int
    failures: int
    max_attempts: int
    waited_seconds: float
    errors: int = 0
    files: dict[str, StoredFile] = field(default_factory=dict)
    checkpoint_file: StoredFile | None = None
    group_id: UUID | None = None
    dataset_id: UUID | None = None
    trace_context: str | None = None
    is_profiled: bool = False
    first_row: int | None = None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of a statement that claims."""
        return cls(
            id=row["job_id"],
            attempt=row["attempt"],
            owner_id=row["owner_id"],
            kind=row["kind"],
            queue=row["queue"],
            params=row["params"].encode(),
            rows=row["rows"],
            total=row["total"],
            next_batch=row["next_batch"],
            done=row["done"],
            checkpoint=row["checkpoint"],
            soft_limit_seconds=row["soft_limit_seconds"],
            time_limit_seconds=row["time_limit_seconds"],
            failures=row["failures"],
            max_attempts=row["max_attempts"],
            waited_seconds=row["waited_seconds"],
            errors=row["errors"],
            files=msgspec.convert(row["files"] or {}, dict[str, StoredFile]),
            checkpoint_file=msgspec.convert(row["checkpoint_file"], StoredFile | None),
            group_id=row["group_id"],
            dataset_id=row["dataset_id"],
            trace_context=row["trace_context"],
            is_profiled=row["profile"],
            first_row=row["first_row"],
        )


@dataclass(frozen=True)
class Batch:
    """One computed batch. `output` has one line for each row, each a JSON object.

    A large output is in the part file `part_key` of `part_bytes` in storage instead. `data` is a JSON object
    that becomes part of the progress event.
    """

    first_row: int
    row_count: int
    output: bytes | None
    step: str
    data: bytes = b"{}"
    part_key: str | None = None
    errors: int = 0
    part_bytes: int = 0

    @property
    def bytes(self) -> int:
        """The size of its output."""
        return self.part_bytes if self.output is None else len(self.output)


@dataclass(frozen=True)
class Report:
    """The progress of an attempt: its batches from `first_batch` on, and its result if it is done.

    A large checkpoint is in `checkpoint_file` instead. `is_early` means that the job is complete with fewer
    rows than its total. `measurements` are those of the attempt, if the report ends it.
    """

    job_id: UUID
    attempt: int
    first_batch: int
    batches: tuple[Batch, ...]
    checkpoint: bytes | None = None
    checkpoint_file: StoredFile | None = None
    result: bytes | None = None
    is_early: bool = False
    owner_id: UUID | None = None
    measurements: Measurements = NOT_MEASURED

    @property
    def batch_bytes(self) -> int:
        """The size of the outputs of all batches."""
        return sum(batch.bytes for batch in self.batches)

    @property
    def checkpoint_bytes(self) -> int | None:
        """The size of the checkpoint, which replaces the previous one; None without one."""
        if self.checkpoint_file is not None:
            return self.checkpoint_file.bytes
        return None if self.checkpoint is None else len(self.checkpoint)

    @property
    def is_final(self) -> bool:
        """Whether the report completes the job."""
        return self.result is not None


@dataclass(frozen=True, kw_only=True)
class AttemptEnd:
    """The end of attempts that do not complete their job.

    The job is cancelled if that was requested or `is_cancelled`. Otherwise it goes back to pending, with the
    event `pending_event`, unless `is_failure` and the failure is not retryable or was the last attempt.
    `delays_seconds[n - 1]` is the wait after the n-th failure; the last one applies to all later failures.
    """

    outcome: Outcome
    pending_event: EventType
    is_failure: bool = False
    is_retryable: bool = True
    is_cancelled: bool = False
    delays_seconds: Sequence[float] = (0.0,)
    error: Mapping[str, Any] | None = None
    traceback: str | None = None
    measurements: Measurements = NOT_MEASURED

    def parameters(self) -> dict[str, Any]:
        """Return the parameters that the statements for the end of an attempt take."""
        return {
            "outcome": self.outcome,
            "pending_event": self.pending_event,
            "is_failure": self.is_failure,
            "is_retryable": self.is_retryable,
            "is_cancelled": self.is_cancelled,
            "delays_seconds": list(self.delays_seconds),
            "error": self.error,
            "traceback": self.traceback,
            **self.measurements.parameters(),
        }


@dataclass(frozen=True)
class TransitionResult:
    """One job after a transition, with the events that the transition wrote.

    A shard has a `parent_id`, and a parent has `shards`.
    """

    job_id: UUID
    owner_id: UUID
    queue: str
    kind: str
    status: Status
    worker_id: UUID | None
    is_due: bool
    events: tuple[Event, ...]
    parent_id: UUID | None = None
    shards: int | None = None

    @classmethod
    def from_rows(cls, rows: Iterable[Row]) -> list[Self]:
        """Read the rows that a transition returns, one for each event."""
        events: dict[UUID, list[Event]] = {}
        last_rows: dict[UUID, Row] = {}
        for row in rows:
            event = Event.from_row(row)
            events.setdefault(event.job_id, []).append(event)
            last_rows[event.job_id] = row
        return [
            cls(
                job_id=job_id,
                owner_id=row["owner_id"],
                queue=row["queue"],
                kind=row["kind"],
                status=Status(row["status"]),
                worker_id=row["worker_id"],
                is_due=row["is_due"],
                events=tuple(events[job_id]),
                parent_id=row["parent_id"],
                shards=row["shards"],
            )
            for job_id, row in last_rows.items()
        ]
