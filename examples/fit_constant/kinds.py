"""The API's half: the body of `POST /jobs/fit-constant`, and what is stored of it."""

from typing import Final

import msgspec
from pydantic import Field

from app.http.body import CleanStr
from app.jobs.kinds.kind import JobPlan, Kind, ResolvedReferences, RestoredRequest, StoredRequest
from app.jobs.requests import JobOptions
from app.models.names import ModelName


class FitConstantRequest(JobOptions):
    """Register a model that always predicts the most frequent label."""

    labels: list[CleanStr] = Field(min_length=1, max_length=1000)
    columns: list[CleanStr] = Field(min_length=1, max_length=100, description="Columns of the model's rows.")
    model: ModelName = Field(description="The name to register the model under, as its next version.")


class Params(msgspec.Struct, frozen=True):
    """Params of the handler and the completion. The labels are stored separately, as the job's rows."""

    columns: tuple[str, ...]
    model: str


def plan(request: FitConstantRequest, _found: ResolvedReferences) -> JobPlan:
    """Return what is stored."""
    return JobPlan(
        params=msgspec.json.encode(Params(tuple(request.columns), request.model)),
        rows=msgspec.json.encode(request.labels),
    )


def restore(stored: StoredRequest) -> RestoredRequest:
    """Return the request again, the inverse of `plan`. The labels are the rows."""
    return RestoredRequest(dict(stored.params), rows_member="labels")


KIND: Final = Kind(
    name="fit_constant",
    summary="Fit a constant model",
    request=FitConstantRequest,
    plan=plan,
    restore=restore,
    examples={"three labels": {"value": {"labels": ["a", "b", "a"], "columns": ["x"], "model": "baseline"}}},
)

KINDS: Final = {KIND.name: KIND}
