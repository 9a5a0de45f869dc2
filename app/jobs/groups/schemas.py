"""Requests and responses of the routes of groups."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal, NotRequired, Union
from uuid import UUID

from pydantic import BaseModel, Field, create_model
from typing_extensions import TypedDict

from app.http.body import LargeBody, at_most
from app.jobs.errors import TooManyJobs
from app.jobs.kinds.kind import Kind
from app.jobs.states import Status

MAX_JOBS: Final = 1000


class GroupCreated(TypedDict):
    """A group that was created, with the ids of its jobs in the order of the request."""

    group_id: UUID
    job_ids: list[UUID]
    message: str
    poll_url: str


class FoldOfTrial(TypedDict):
    """The job that holds out one fold of a trial. `value` is the metric there, null if it has none (yet)."""

    fold: int
    job_id: UUID
    status: Status
    progress: float
    value: float | None


class Trial(TypedDict):
    """One training of a search. `value` is the metric it is ranked by, null if it has none (yet).

    With folds, `job_id` is the job that registers the model, `status`, `progress` and `error` are those of
    all jobs of the trial, and `value` and `metrics` are means over the `folds`, with the standard deviation
    `std` of the value, once all jobs have completed.
    """

    rank: int | None
    job_id: UUID
    status: Status
    progress: float
    algorithm: str
    params: dict[str, Any]
    value: float | None
    std: float | None
    folds: list[FoldOfTrial]
    metrics: dict[str, Any] | None
    model: str | None
    error: dict[str, Any] | None


class SearchView(TypedDict):
    """The state of a search: the best model so far, and all trials, best first.

    `folds` is the number of folds of each trial, null if one job measures it.
    """

    metric: str | None
    best_job_id: UUID | None
    best_model: str | None
    best_value: float | None
    folds: int | None
    leaderboard: list[Trial]


class GroupView(TypedDict):
    """A group as its owner sees it. `progress` is the mean over its jobs."""

    group_id: UUID
    created_at: datetime
    jobs: int
    progress: float
    is_finished: bool
    statuses: dict[Status, int]
    search: NotRequired[SearchView]


class GroupCancelled(TypedDict):
    """How many jobs of a group are cancelled, and for how many the cancellation is requested."""

    message: str
    cancelled: int
    cancel_requested: int


def bulk_request(kinds: Mapping[str, Kind]) -> type[BaseModel]:
    """The body of `POST /jobs/bulk`: a list of requests, each of which names its kind."""
    items = tuple(_item(kind) for kind in kinds.values() if not kind.is_internal)
    item: Any = Annotated[Union[items], Field(discriminator="kind")] if len(items) > 1 else items[0]  # noqa: UP007
    jobs: Any = Annotated[list[item], Field(min_length=1, fail_fast=True), at_most(MAX_JOBS, _too_many)]
    return create_model(
        "BulkRequest",
        __base__=LargeBody,
        __doc__="Many jobs, of which all or none are created.",
        jobs=(jobs, ...),
    )


def _too_many(got: int) -> TooManyJobs:
    return TooManyJobs(limit=MAX_JOBS, got=got)


def _item(kind: Kind) -> type[BaseModel]:
    name = "".join(word.capitalize() for word in kind.name.split("_"))
    fields: dict[str, Any] = {"kind": (Literal[kind.name], ...)}
    return create_model(f"{name}InBulk", __base__=kind.request, **fields)
