"""Shared by the kinds that run a model over rows, from the request or from a dataset."""

from typing import Annotated, Any, Final, Protocol

import msgspec
from pydantic import Field

from app.core.files import StoredFile
from app.datasets.errors import DatasetNotFound
from app.datasets.values import Dataset
from app.http import serializing
from app.http.body import CleanObject, CleanRow, CleanStr, at_most
from app.jobs.errors import (
    AmbiguousColumn,
    ColumnMismatch,
    InputMismatch,
    MissingColumns,
    TooManyInstances,
    TooManyRows,
    UnknownColumn,
    WrongRowLength,
)
from app.jobs.kinds.kind import JobPlan, References, RetryPolicy, StoredRequest
from app.jobs.params import ModelReference, RowShape
from app.jobs.requests import DatasetOptions
from app.jobs.shards.plan import Divisible
from app.models.errors import ModelNotFound
from app.models.versions import ModelVersion

MAX_INLINE_ROWS: Final = 1000
INLINE_BATCH_SIZE: Final = 10
DATASET_BATCH_SIZE: Final = 1000

# A list that is too long is rejected before its entries are validated, and validation stops at the first
# error: building an error object for each of a million rows would take minutes.
Texts = Annotated[
    list[CleanStr],
    Field(min_length=1, fail_fast=True),
    at_most(MAX_INLINE_ROWS, lambda got: TooManyRows(limit=MAX_INLINE_ROWS, got=got)),
]
Instances = Annotated[
    list[CleanRow],
    Field(min_length=1, fail_fast=True),
    at_most(MAX_INLINE_ROWS, lambda got: TooManyInstances(limit=MAX_INLINE_ROWS, got=got)),
]
Rows = Annotated[
    list[CleanObject],
    Field(min_length=1, fail_fast=True),
    at_most(MAX_INLINE_ROWS, lambda got: TooManyInstances(limit=MAX_INLINE_ROWS, got=got)),
]

EXAMPLE_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"

# In another attempt the same rows would fail.
RETRY: Final = RetryPolicy(never=frozenset({"too_many_row_errors"}))


class _RowsParams(Protocol):
    """What the params of all these kinds have."""

    @property
    def model(self) -> ModelReference: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def shape(self) -> RowShape: ...
    @property
    def max_row_errors(self) -> int | None: ...


class RowsRequest(DatasetOptions):
    """Options of every job that runs a model over rows."""

    batch_size: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description=f"Rows per commit. Default: {INLINE_BATCH_SIZE}, or {DATASET_BATCH_SIZE} for a dataset.",
    )
    column: CleanStr | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="Column that contains the text, for a model that takes texts.",
    )
    id_column: CleanStr | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="Column whose value is the `id` of each result. Default: `id`, if it exists.",
    )
    max_row_errors: int | None = Field(
        None, ge=0, description="Maximum number of failed rows. With more, the job fails and is not retried."
    )


def references(model: str, request: RowsRequest) -> References:
    """Return the references to the model and, if there is one, to the dataset."""
    dataset = request.dataset_reference
    return References(models=(model,), datasets=() if dataset is None else (dataset,))


def plan_for_dataset(
    params: msgspec.Struct, model: ModelVersion, dataset: Dataset, *, divisible: Divisible | None = None
) -> JobPlan:
    """Return the plan of a job over all rows of a dataset."""
    return JobPlan(
        params=msgspec.json.encode(params),
        total=dataset.rows,
        files={**_files(model), "dataset": dataset.file},
        dataset_id=dataset.id,
        model_version_id=model.id,
        divisible=divisible,
    )


def plan_for_rows(params: msgspec.Struct, model: ModelVersion, rows: list[Any]) -> JobPlan:
    """Return the plan of a job over the rows of the request."""
    return JobPlan(
        params=msgspec.json.encode(params),
        rows=serializing.encode(rows),
        total=len(rows),
        files=_files(model),
        model_version_id=model.id,
    )


def restore(stored: StoredRequest, params: _RowsParams) -> dict[str, Any]:
    """Return the members that all these kinds share. The model is the version that the job has used."""
    default = INLINE_BATCH_SIZE if stored.dataset_id is None else DATASET_BATCH_SIZE
    return {
        "model": restored_reference(params.model),
        "dataset_id": stored.dataset_id,
        "column": params.shape.column,
        "id_column": params.shape.id_column,
        "batch_size": None if params.batch_size == default else params.batch_size,
        "max_row_errors": params.max_row_errors,
    }


def restored_reference(model: ModelReference) -> str:
    """Return a model as a request names it; the built-in one has a single version."""
    return model.name if model.id is None else f"{model.name}@{model.version}"


def reference(model: ModelVersion) -> ModelReference:
    """Return what the handler needs to know to load the model."""
    return ModelReference(model.name, model.version, model.runtime, model.id)


def _files(model: ModelVersion) -> dict[str, StoredFile]:
    return {} if model.file is None else {"model": model.file}


INPUT_ERRORS: Final = (
    ModelNotFound(model="sentimental"),
    DatasetNotFound(dataset_id=EXAMPLE_ID),
    InputMismatch(model="houses@2", takes="instances with columns", got="texts"),
    MissingColumns(missing=["rooms"], expected=["rooms", "year"]),
    WrongRowLength(row=3, rows=1, got=2, expected=3),
    ColumnMismatch(column="rooms", expected="number", found="text"),
    AmbiguousColumn(candidates=["title", "review"]),
    UnknownColumn(option="column", column="reviews", dataset="reviews.csv", columns=["id", "review"]),
)
"""Errors that a request for any of these kinds can return."""
