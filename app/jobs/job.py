"""A job, its ended attempts and its stored batches, as queries return them."""

from datetime import datetime, timedelta
from typing import Any, Self
from uuid import UUID

import msgspec

from app.core.rows import Row
from app.jobs.schemas import JobError
from app.jobs.states import Outcome, Priority, Status


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `jobs`. `last_seq` counts its events and `next_batch` its committed batches.

    A shard has a `parent_id` and begins with the row `first_row` of its parent. A parent has `shards`.

    `owner` is the username of its owner, `worker` the name of the worker on which it runs, `dataset_name`
    that of its dataset, if that exists.

    `outputs` are those of its batches, if the query asked for them and they are few. One that is in a part
    file is None.
    """

    id: UUID
    owner_id: UUID
    owner: str
    kind: str
    queue: str
    priority: Priority
    sort_key: datetime
    status: Status
    params: dict[str, Any]
    metadata: dict[str, str]
    attempt: int
    failures: int
    max_attempts: int
    next_batch: int
    done: int
    total: int | None
    errors: int
    progress: float
    step: str | None
    run_at: datetime
    cancel_requested_at: datetime | None
    result: dict[str, Any] | None
    error: JobError | None
    last_seq: int
    request_digest: bytes | None
    group_id: UUID | None
    schedule_id: UUID | None
    fire_at: datetime | None
    dataset_id: UUID | None
    dataset_name: str | None
    worker: str | None
    created_at: datetime
    started_at: datetime | None
    attempt_started_at: datetime | None
    attempt_first_row: int
    finished_at: datetime | None
    expires_at: datetime | None
    pruned_at: datetime | None
    dismissed_at: datetime | None
    dismiss_reason: str | None
    resubmitted_from: UUID | None
    gpus: int = 0
    parent_id: UUID | None = None
    shard_no: int | None = None
    first_row: int = 0
    shards: int | None = None
    max_failed_shards: int | None = None
    outputs: list[bytes | None] | None = None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row with all columns of `jobs`, and its `names`."""
        return cls(
            id=row["id"],
            owner_id=row["owner_id"],
            owner=row["owner"],
            kind=row["kind"],
            queue=row["queue"],
            priority=Priority(row["priority"]),
            sort_key=row["sort_key"],
            status=Status(row["status"]),
            params=row["params"],
            metadata=row["metadata"],
            attempt=row["attempt"],
            failures=row["failures"],
            max_attempts=row["max_attempts"],
            next_batch=row["next_batch"],
            done=row["done"],
            total=row["total"],
            errors=row["errors"],
            progress=row["progress"],
            step=row["step"],
            run_at=row["run_at"],
            cancel_requested_at=row["cancel_requested_at"],
            result=row["result"],
            error=row["error"],
            last_seq=row["last_seq"],
            request_digest=row["request_digest"],
            group_id=row["group_id"],
            schedule_id=row["schedule_id"],
            fire_at=row["fire_at"],
            dataset_id=row["dataset_id"],
            dataset_name=row["dataset_name"],
            worker=row["worker"],
            created_at=row["created_at"],
            started_at=row["started_at"],
            attempt_started_at=row["attempt_started_at"],
            attempt_first_row=row["attempt_first_row"],
            finished_at=row["finished_at"],
            expires_at=row["expires_at"],
            pruned_at=row["pruned_at"],
            dismissed_at=row["dismissed_at"],
            dismiss_reason=row["dismiss_reason"],
            resubmitted_from=row["resubmitted_from"],
            gpus=row["gpus"],
            parent_id=row["parent_id"],
            shard_no=row["shard_no"],
            first_row=row["first_row"],
            shards=row["shards"],
            max_failed_shards=row["max_failed_shards"],
        )

    @classmethod
    def from_row_with_outputs(cls, row: Row) -> Self:
        """Read a row with all columns of `jobs`, its `names`, and `outputs`."""
        return msgspec.structs.replace(cls.from_row(row), outputs=row["outputs"])

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens to it unless its owner retries it."""
        return self.status.is_final

    @property
    def is_pruned(self) -> bool:
        """Whether its results, its payload and its checkpoint were deleted."""
        return self.pruned_at is not None

    def estimated_completion(self, now: datetime) -> datetime | None:
        """Return when it will be done at the rate of its present attempt; None while there is no rate."""
        if self.status is not Status.RUNNING or self.total is None or self.attempt_started_at is None:
            return None
        rows_done = self.done - self.attempt_first_row
        if rows_done <= 0:
            return None
        elapsed: timedelta = now - self.attempt_started_at
        return now + elapsed * ((self.total - self.done) / rows_done)


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that has ended. `worker` is the name of its worker, None if that is no longer known.

    `shard` is the number of the shard, in a list of the attempts at the shards of a job.
    What the attempt used is None if it was not measured.
    """

    attempt: int
    outcome: Outcome
    queue: str
    worker: str | None
    due_at: datetime
    started_at: datetime
    ended_at: datetime
    error: JobError | None
    traceback: str | None
    rows: int | None
    cpu_seconds: float | None
    memory_peak_bytes: int | None
    profile_key: str | None
    shard: int | None = None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of `job_attempts` with the name of its worker and the number of its shard."""
        error: JobError | None = row["error"]
        return cls(
            attempt=row["attempt"],
            outcome=Outcome(row["outcome"]),
            queue=row["queue"],
            worker=row["worker"],
            due_at=row["due_at"],
            started_at=row["started_at"],
            ended_at=row["ended_at"],
            error=None if error is None else {**error, "attempt": row["attempt"]},
            traceback=row["traceback"],
            rows=row["rows"],
            cpu_seconds=row["cpu_seconds"],
            memory_peak_bytes=row["memory_peak_bytes"],
            profile_key=row["profile_key"],
            shard=row["shard_no"],
        )


class StoredBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A committed batch with an output of `output_bytes`.

    The output is None if it is in the part file `part_key`, or too large to be read at once.
    """

    index: int
    first_row: int
    part_key: str | None
    output_bytes: int
    output: bytes | None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of `job_batches`."""
        return cls(
            index=row["index"],
            first_row=row["first_row"],
            part_key=row["part_key"],
            output_bytes=row["output_bytes"],
            output=row["output"],
        )
