"""Requests and responses of the routes of jobs.

Requests are Pydantic models. Responses are typed dictionaries: FastAPI derives the OpenAPI document from
them, and msgspec encodes them directly, with results that are already encoded embedded unchanged.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, NotRequired
from uuid import UUID

from pydantic import Field
from typing_extensions import TypedDict

from app.http.body import StrictBody
from app.jobs.states import EventType, Outcome, Priority, Status


class RetryRequest(StrictBody):
    """Options of a retry."""

    from_start: bool = Field(False, description="Delete what the job has computed, and start over.")


class Include(StrEnum):
    """Optional parts of a job."""

    ATTEMPTS = "attempts"


class IncludeInResults(StrEnum):
    """Optional parts of each result."""

    INPUT = "input"


class ListView(StrEnum):
    """How much of each job a list shows."""

    FULL = "full"
    ROW = "row"


class JobCreated(TypedDict):
    """A job that was created."""

    job_id: UUID
    status: Status
    message: str
    poll_url: str
    stream_url: str
    result_available_for: Annotated[str, Field(examples=["24 hours"])]


class JobLinks(TypedDict):
    """Paths of what belongs to a job."""

    self: str
    stream: str
    results: str
    events: str


class JobError(TypedDict):
    """Why the last failed attempt failed.

    If shards have failed, `cause` is the code of the first of them, and `missing` are the first and the last
    row of each range without results, at most 100.
    """

    code: str
    message: str
    retryable: bool
    attempt: int
    cause: NotRequired[str]
    missing: NotRequired[list[list[int]]]


class AttemptView(TypedDict):
    """An attempt that has ended. The running attempt is described by the job itself.

    `shard` is the number of the shard, if the job has shards.
    """

    shard: NotRequired[int]
    attempt: int
    outcome: Outcome
    queue: str
    worker: str | None
    due_at: datetime
    started_at: datetime
    ended_at: datetime
    error: JobError | None
    rows: int | None
    cpu_seconds: float | None
    memory_peak_bytes: int | None
    has_profile: bool
    traceback: NotRequired[str | None]


class UsageView(TypedDict):
    """What the ended attempts at a job have used together. A figure that was never measured is null."""

    attempts: int
    run_seconds: float
    rows: int | None
    cpu_seconds: float | None
    memory_peak_bytes: int | None


class DatasetName(TypedDict):
    """The dataset that a job reads."""

    dataset_id: UUID
    name: str


class JobRow(TypedDict):
    """A job as a list shows it with `view=row`.

    `attempt` counts how often the job was started, `failures` how many of these attempts failed: only those
    count towards `max_attempts`. `owner` is the username of the user `user_id`, `worker` the name of the
    worker on which it runs. The current attempt began at `attempt_started_at` with the row
    `attempt_first_row`. `dataset` is null once it is deleted.
    `resubmitted_from` is the earlier job in whose place it was submitted. A job with `shards` is computed in
    that many parts, by several workers; each part names it as its `parent_id`. It runs in a slot with `gpus`
    GPUs or more.
    """

    job_id: UUID
    kind: str
    job_type: str
    status: Status
    user_id: UUID
    owner: str
    queue: str
    priority: Priority
    model: str | None
    dataset_id: UUID | None
    dataset: DatasetName | None
    worker: str | None
    attempt: int
    max_attempts: int
    failures: int
    attempt_started_at: datetime | None
    attempt_first_row: int
    progress: float
    done: int
    total: int | None
    step: str | None
    estimated_completion: datetime | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    run_at: datetime
    expires_at: datetime | None
    cancel_requested: bool
    cancel_requested_at: datetime | None
    error: JobError | None
    errors: int
    group_id: UUID | None
    schedule_id: UUID | None
    fire_at: datetime | None
    resubmitted_from: UUID | None
    gpus: int
    shards: int | None
    parent_id: UUID | None


class JobView(JobRow):
    """A job as its owner sees it."""

    result: dict[str, Any] | None
    metadata: dict[str, str]
    links: JobLinks


class Dismissal(TypedDict):
    """When a failed job stopped being a dead letter without a retry, and the reason that was given."""

    at: datetime
    reason: str | None


class JobDetails(JobView):
    """A job with its `params`, as its kind has stored them, and what `include` names."""

    params: dict[str, Any]
    dismissed: Dismissal | None
    attempts: NotRequired[list[AttemptView]]
    usage: NotRequired[UsageView]


class JobPage(TypedDict):
    """One page of jobs, newest first; `next_cursor` is null on the last page."""

    items: list[JobView] | list[JobRow]
    next_cursor: str | None


class JobCounts(TypedDict):
    """Jobs by status. A count that equals `cap` means at least as many."""

    all: int
    pending: int
    running: int
    completed: int
    failed: int
    cancelled: int
    cap: int


class CancelAnswer(TypedDict):
    """A job that is cancelled, or whose cancellation is requested."""

    message: Literal["Job cancelled", "Cancellation requested"]
    job: JobView


class RowErrorView(TypedDict):
    """Why there is no prediction for a row."""

    code: str
    message: str


class ResultRow(TypedDict):
    """The result of one input row: a prediction or an error. `id` is the row's own id, if it has one.

    `input` is the input row, if the request includes it.
    """

    index: int
    input_index: int
    input: NotRequired[Any]
    id: NotRequired[Any]
    prediction: NotRequired[Any]
    error: NotRequired[RowErrorView]


class ResultPage(TypedDict):
    """One page of results in input order; `next_cursor` is null once the job has ended and all are read.

    `rows_ready` rows come before the first one that is missing.
    With filters, the rows before number `scanned_through` have been searched.
    """

    items: list[ResultRow]
    next_cursor: str | None
    rows_ready: int
    retrieved_at: datetime
    scanned_through: NotRequired[int]


class EventView(TypedDict):
    """One event of a job's log. Some types of events have more members.

    `created` also has `kind`, `queue`, `priority`, `model` and `group_id`.
    """

    job_id: UUID
    seq: int
    type: EventType
    at: datetime
    status: Status
    progress: float
    done: int
    total: int | None
    step: str | None
    attempt: int


class EventPage(TypedDict):
    """A part of a job's event log, oldest first."""

    items: list[EventView]
    last_seq: int


class Explanation(TypedDict):
    """Why a job is in its present state. `code` is stable, and `facts` depend on it."""

    job_id: UUID
    code: str
    sentence: str
    status: Status
    queue: str
    position: int | None
    jobs_of_mine_ahead: int | None
    estimated_start_at: datetime | None
    estimated_completion: datetime | None
    facts: dict[str, Any]
