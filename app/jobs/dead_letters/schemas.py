"""Requests and responses of the routes of dead letters."""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from pydantic import Field, model_validator
from typing_extensions import TypedDict

from app.http.body import CleanStr, StrictBody
from app.http.instants import Instant
from app.jobs.dead_letters.filters import LetterFilter

MAX_JOBS: Final = 1000
"""Dead letters that one request changes."""

MAX_REASON_LENGTH: Final = 200


class LetterSelector(StrictBody):
    """The filters of the list. `failed_before` keeps jobs that fail later out of it."""

    failed_before: Instant
    code: CleanStr | None = None
    kind: CleanStr | None = None
    model: CleanStr | None = Field(
        None,
        description="`name@version`, or the name alone. Empty: jobs that use no version of a model.",
    )
    queue: CleanStr | None = None

    def to_filter(self) -> LetterFilter:
        """Return the filter as queries take it."""
        return LetterFilter(**dict(self))


class Selection(StrictBody):
    """A selection of dead letters: these jobs, all, or those of a filter; at most 1000 in one request.

    With `filter`, repeat the request with the `cursor` of the response until that is null.
    """

    job_ids: list[UUID] = Field(default_factory=list, max_length=MAX_JOBS)
    all: bool = False
    filter: LetterSelector | None = None
    cursor: str | None = Field(None, description="`next_cursor` of the previous response.")
    limit: int = Field(MAX_JOBS, ge=1, le=MAX_JOBS, description="Most jobs that a filter selects at once.")
    dry_run: bool = Field(False, description="Only count the jobs that the filter selects.")

    @model_validator(mode="after")
    def _check_one_selection(self) -> "Selection":
        if sum((bool(self.job_ids), self.all, self.filter is not None)) != 1:
            raise ValueError("give job_ids, all: true, or filter")
        if self.filter is None and (self.cursor is not None or self.dry_run):
            raise ValueError("cursor and dry_run need a filter")
        return self


class DismissSelection(Selection):
    """A selection of dead letters, and why they are dismissed."""

    reason: Annotated[
        CleanStr | None,
        Field(
            min_length=1,
            max_length=MAX_REASON_LENGTH,
            description="Shown with the job, in `dismissed`.",
            examples=["The customer has cancelled the order"],
        ),
    ] = None


class Handled(TypedDict):
    """The dead letters that were retried or dismissed.

    `skipped` counts jobs that are no dead letters, or cannot be retried. `next_cursor` is null at the end,
    and without a filter.
    """

    job_ids: list[UUID]
    skipped: int
    next_cursor: str | None


class LetterPreview(TypedDict):
    """How many dead letters the filter selects, and how many of them the action would change."""

    matched: int
    eligible: int


class LetterGroupView(TypedDict):
    """Dead letters with the same error code, kind and model; `model` is null for jobs that use no version."""

    code: Annotated[str, Field(examples=["time_limit"])]
    kind: Annotated[str, Field(examples=["batch_predict"])]
    model: Annotated[str | None, Field(examples=["sentiment@3"])]
    count: int
    newest_at: datetime


class LetterSummary(TypedDict):
    """Dead letters by error code, kind and model, the largest group first, at most 200 groups.

    Of more than 10 000 dead letters, the newest 10 000 are counted.
    """

    items: list[LetterGroupView]
