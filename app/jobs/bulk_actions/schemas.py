"""Requests and responses of the route of bulk actions."""

from enum import StrEnum
from typing import Annotated, Final
from uuid import UUID

from pydantic import Field, model_validator
from typing_extensions import TypedDict

from app.http.body import CleanStr, StrictBody, at_most
from app.http.instants import Instant
from app.jobs.filters import MAX_PREFIX_LENGTH, JobFilter, ModelFilter, split_model
from app.jobs.requests import MAX_METADATA_PAIRS, MetadataKey, MetadataValue
from app.jobs.states import Priority, Status

MAX_JOBS: Final = 1000
"""Jobs that one request changes."""


class BulkActionName(StrEnum):
    """What to do with the jobs."""

    CANCEL = "cancel"
    RETRY = "retry"
    RETRY_FROM_START = "retry_from_start"


class BulkFilter(StrictBody):
    """The filters of the list of jobs. `created_before` keeps jobs that are created later out of it."""

    created_before: Instant
    created_after: Instant | None = None
    status: list[Status] = Field(default_factory=list, max_length=len(Status))
    priority: list[Priority] = Field(default_factory=list, max_length=len(Priority))
    kind: CleanStr | None = None
    queue: CleanStr | None = None
    model: ModelFilter | None = None
    dataset_id: UUID | None = None
    q: CleanStr | None = Field(None, min_length=1, max_length=MAX_PREFIX_LENGTH)
    metadata: Annotated[dict[MetadataKey, MetadataValue], at_most(MAX_METADATA_PAIRS)] = Field(
        default_factory=dict
    )
    schedule_id: UUID | None = None
    group_id: UUID | None = None

    def to_filter(self) -> JobFilter:
        """Return the filter as queries take it."""
        model, version = split_model(self.model)
        return JobFilter(
            statuses=tuple(dict.fromkeys(self.status)),
            priorities=tuple(dict.fromkeys(self.priority)),
            kind=self.kind,
            queue=self.queue,
            model=model,
            model_version=version,
            dataset_id=self.dataset_id,
            prefix=self.q,
            metadata=self.metadata or None,
            created_after=self.created_after,
            created_before=self.created_before,
            schedule_id=self.schedule_id,
            group_id=self.group_id,
        )


class BulkAction(StrictBody):
    """An action on these jobs, or on those that a filter selects: at most `limit` in one request.

    With `filter`, repeat the request with the `cursor` of the response until that is null.
    """

    action: BulkActionName
    job_ids: list[UUID] = Field(default_factory=list, max_length=MAX_JOBS)
    filter: BulkFilter | None = None
    cursor: str | None = Field(None, description="`next_cursor` of the previous response.")
    limit: int = Field(MAX_JOBS, ge=1, le=MAX_JOBS, description="Most jobs that a filter selects at once.")
    dry_run: bool = Field(False, description="Only count the jobs that the filter selects.")

    @model_validator(mode="after")
    def _check_one_selection(self) -> "BulkAction":
        if bool(self.job_ids) == (self.filter is not None):
            raise ValueError("give job_ids or filter")
        if self.filter is None and (self.cursor is not None or self.dry_run):
            raise ValueError("cursor and dry_run need a filter")
        return self


class FailedAction(TypedDict):
    """A job that could not be changed. `code` is that of the error of the single action."""

    job_id: UUID
    code: str


class BulkResult(TypedDict):
    """How many jobs were changed, and how many needed no change. `next_cursor` is null at the end."""

    changed: int
    skipped: int
    failed: list[FailedAction]
    next_cursor: str | None


class BulkPreview(TypedDict):
    """The jobs that the filter selects by status, and how many of them the action would change."""

    matched: dict[Status, int]
    eligible: int
