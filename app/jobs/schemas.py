"""What jobs look like over HTTP: the requests as pydantic reads them, the answers as they are written.

The answers are typed dictionaries: FastAPI takes the OpenAPI document from them, and msgspec writes them
without a detour through a model, with results that are encoded already set in as they are.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, NotRequired
from uuid import UUID

from pydantic import Field
from typing_extensions import TypedDict

from app.http.body import StrictBody
from app.jobs.states import EventType, Outcome, Priority, Status


class RetryRequest(StrictBody):
    """How to try a job again."""

    from_start: bool = Field(False, description="Clear what it has computed, and begin anew.")


class Include(StrEnum):
    """What can be asked for with a job."""

    ATTEMPTS = "attempts"


class JobCreated(TypedDict):
    """The answer to a request for work."""

    job_id: UUID
    status: Status
    message: str
    poll_url: str
    stream_url: str


class JobLinks(TypedDict):
    """Where to go from a job."""

    self: str
    stream: str
    results: str
    events: str


class JobError(TypedDict):
    """Why the last attempt that failed did so."""

    code: str
    message: str
    retryable: bool
    attempt: int


class AttemptView(TypedDict):
    """What happened on one try at a job. The one that runs now is the job itself."""

    attempt: int
    outcome: Outcome
    queue: str
    worker: str | None
    due_at: datetime
    started_at: datetime
    ended_at: datetime
    error: JobError | None


class JobView(TypedDict):
    """A job as its owner sees it."""

    job_id: UUID
    kind: str
    job_type: str
    status: Status
    user_id: UUID
    queue: str
    priority: Priority
    model: str | None
    attempt: int
    max_attempts: int
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
    result: dict[str, Any] | None
    error: JobError | None
    errors: int
    group_id: UUID | None
    metadata: dict[str, str]
    links: JobLinks
    attempts: NotRequired[list[AttemptView]]


class JobPage(TypedDict):
    """One page of jobs, newest first; `next_cursor` is null on the last one."""

    items: list[JobView]
    next_cursor: str | None


class CancelAnswer(TypedDict):
    """Whether the job is cancelled, or will be in a moment."""

    message: Literal["Job cancelled", "Cancellation requested"]
    job: JobView


class RowErrorView(TypedDict):
    """Why there is no prediction for a row."""

    code: str
    message: str


class ResultRow(TypedDict):
    """What came of one row of the input: a prediction, or an error. `id` is the row's own, if it has one."""

    index: int
    input_index: int
    id: NotRequired[Any]
    prediction: NotRequired[Any]
    error: NotRequired[RowErrorView]


class ResultPage(TypedDict):
    """One page of results in input order; `next_cursor` is null when there will be no more."""

    items: list[ResultRow]
    next_cursor: str | None


class EventView(TypedDict):
    """One event of a job's log, with the members of its kind of event beside these."""

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
    """Why a job is where it is. `code` is stable; the facts that belong to it are beside it."""

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
