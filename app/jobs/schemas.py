"""What jobs look like over HTTP: the requests as pydantic reads them, the answers as they are written.

The answers are typed dictionaries: FastAPI takes the OpenAPI document from them, and msgspec writes them
without a detour through a model, with results that are encoded already set in as they are.
"""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field, model_validator
from typing_extensions import TypedDict

from app.http.body import CleanStr, StrictBody
from app.jobs.states import EventType, Priority, Status

MAX_INLINE_ROWS: Final = 1000
MAX_TEXT_CHARACTERS: Final = 100_000
MAX_METADATA_PAIRS: Final = 16

QueueName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
MetadataKey = Annotated[CleanStr, Field(min_length=1, max_length=64)]
MetadataValue = Annotated[CleanStr, Field(max_length=256)]


class JobOptions(StrictBody):
    """What can be said of every job, whatever its kind."""

    priority: Priority = Priority.NORMAL
    queue: QueueName | None = Field(
        None, description="Which workers may run it; default: the kind's own queue."
    )
    max_attempts: int | None = Field(None, ge=1, le=100, description="How often it is tried before it fails.")
    soft_limit_seconds: int | None = Field(
        None, ge=1, le=86_400, description="After this long it saves its progress and queues again."
    )
    time_limit_seconds: int | None = Field(
        None, ge=1, le=86_400, description="After this long the attempt is killed and counts as a failure."
    )
    run_at: AwareDatetime | None = Field(None, description="Do not start before this instant.")
    delay_seconds: float | None = Field(
        None, ge=0, le=366 * 86_400, description="Do not start before this passed."
    )
    expires_in_seconds: int | None = Field(
        None, ge=1, le=366 * 86_400, description="How long the results are kept after the end."
    )
    metadata: dict[MetadataKey, MetadataValue] = Field(default_factory=dict, max_length=MAX_METADATA_PAIRS)

    @model_validator(mode="after")
    def _start_is_said_once(self) -> "JobOptions":
        if self.run_at is not None and self.delay_seconds is not None:
            raise ValueError("give run_at or delay_seconds, not both")
        return self


class BatchPredictRequest(JobOptions):
    """Run a model over up to 1000 texts."""

    texts: list[CleanStr] = Field(
        min_length=1, description="The texts, in the order in which the predictions will come."
    )
    model: CleanStr = Field(
        "sentiment", description="`name` or `name@version`.", min_length=1, max_length=200
    )
    batch_size: int = Field(10, ge=1, le=10_000, description="How many texts are committed at a time.")

    @model_validator(mode="before")
    @classmethod
    def _bare_list_is_texts(cls, body: Any) -> Any:
        return {"texts": body} if isinstance(body, list) else body


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
    metadata: dict[str, str]
    links: JobLinks


class JobPage(TypedDict):
    """One page of jobs, newest first; `next_cursor` is null on the last one."""

    items: list[JobView]
    next_cursor: str | None


class CancelAnswer(TypedDict):
    """Whether the job is cancelled, or will be in a moment."""

    message: Literal["Job cancelled", "Cancellation requested"]
    job: JobView


class ResultRow(TypedDict):
    """The prediction for one row of the input."""

    index: int
    input_index: int
    prediction: Any


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
