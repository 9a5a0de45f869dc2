"""`batch_predict`: run a model over many rows, batch by batch."""

from typing import Any, Final, Self
from uuid import UUID

import msgspec
from pydantic import Field, model_validator

from app.core.files import StoredFile
from app.datasets.errors import DatasetNotFound
from app.http.body import CleanJson, CleanStr
from app.jobs.errors import (
    AmbiguousColumn,
    ColumnMismatch,
    InputMismatch,
    MissingColumns,
    TextTooLong,
    TooManyInstances,
    TooManyRows,
    UnknownColumn,
    WrongRowLength,
)
from app.jobs.kinds import inputs
from app.jobs.kinds.kind import Found, Kind, References, RetryPolicy, Work
from app.jobs.params import BatchPredictParams, ModelReference, RowShape
from app.jobs.requests import JobOptions
from app.models.errors import ModelNotFound
from app.models.versions import ModelVersion

MAX_INLINE_ROWS: Final = 1000
MAX_TEXT_CHARACTERS: Final = 100_000
INLINE_BATCH_SIZE: Final = 10
DATASET_BATCH_SIZE: Final = 1000
TOO_MANY_ROW_ERRORS: Final = "too_many_row_errors"

ColumnName = CleanStr
_EXAMPLE_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"


class BatchPredictRequest(JobOptions):
    """Run a model over up to 1000 texts or instances, or over all rows of a dataset."""

    texts: list[CleanStr] | None = Field(
        None, min_length=1, description="The texts, in the order in which the predictions will come."
    )
    instances: list[dict[str, CleanJson] | list[CleanJson]] | None = Field(
        None,
        min_length=1,
        description="Rows for a model with columns: objects by the columns' names, or lists in their order.",
    )
    dataset_id: UUID | None = Field(None, description="Every row of this dataset, however many there are.")
    model: CleanStr = Field(
        "sentiment", description="`name`, `name@version` or `name@alias`.", min_length=1, max_length=200
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="How many rows are committed at a time."
        f" Default {INLINE_BATCH_SIZE}, of a dataset {DATASET_BATCH_SIZE}.",
    )
    column: ColumnName | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="The column with the text, for a model that takes texts.",
    )
    id_column: ColumnName | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="The column whose value each result carries as its `id`; default `id`, if there is one.",
    )
    max_row_errors: int | None = Field(
        None, ge=0, description="With more rows in error than this the job fails, for good."
    )

    @model_validator(mode="before")
    @classmethod
    def _bare_list_is_texts(cls, body: Any) -> Any:
        return {"texts": body} if isinstance(body, list) else body

    @model_validator(mode="after")
    def _rows_are_said_once(self) -> Self:
        if [self.texts, self.instances, self.dataset_id].count(None) != 2:
            raise ValueError("give one of texts, instances and dataset_id")
        if self.texts is not None and (self.column is not None or self.id_column is not None):
            raise ValueError("column and id_column are for instances and datasets, texts have none")
        return self


def references(request: BatchPredictRequest) -> References:
    """The model, and the dataset if there is one."""
    datasets = () if request.dataset_id is None else (request.dataset_id,)
    return References(models=(request.model,), datasets=datasets)


def plan(request: BatchPredictRequest, found: Found) -> Work:
    """Check that the model can take the rows. Raises TooManyRows, TextTooLong, and what `inputs` raises."""
    model = found.models[request.model]
    if request.dataset_id is not None:
        dataset = found.datasets[request.dataset_id]
        shape = inputs.of_dataset(model, dataset, column=request.column, id_column=request.id_column)
        return Work(
            params=_params(request, model, shape, DATASET_BATCH_SIZE),
            total=dataset.rows,
            files={**model_files(model), "dataset": dataset.file},
            dataset_id=dataset.id,
            model_version_id=model.id,
        )
    rows: list[Any]
    if request.instances is not None:
        rows = request.instances
        ensure_not_too_many(rows)
        shape = inputs.of_instances(model, rows, column=request.column, id_column=request.id_column)
    else:
        rows = request.texts or []
        _check_texts(rows)
        shape = inputs.of_texts(model)
    return Work(
        params=_params(request, model, shape, INLINE_BATCH_SIZE),
        rows=msgspec.json.encode(rows),
        total=len(rows),
        files=model_files(model),
        model_version_id=model.id,
    )


def reference(model: ModelVersion) -> ModelReference:
    """The model as a handler is told of it."""
    return ModelReference(model.name, model.version, model.runtime, model.id)


def model_files(model: ModelVersion) -> dict[str, StoredFile]:
    """The file of the model, if it is not built in."""
    return {} if model.file is None else {"model": model.file}


def ensure_not_too_many(instances: list[Any]) -> None:
    """Raise TooManyInstances for more rows than can be sent along."""
    if len(instances) > MAX_INLINE_ROWS:
        raise TooManyInstances(limit=MAX_INLINE_ROWS, got=len(instances))


def _params(request: BatchPredictRequest, model: ModelVersion, shape: RowShape, batch_size: int) -> bytes:
    return msgspec.json.encode(
        BatchPredictParams(reference(model), request.batch_size or batch_size, shape, request.max_row_errors)
    )


def _check_texts(texts: list[str]) -> None:
    if len(texts) > MAX_INLINE_ROWS:
        raise TooManyRows(limit=MAX_INLINE_ROWS, got=len(texts))
    for index, text in enumerate(texts):
        if len(text) > MAX_TEXT_CHARACTERS:
            raise TextTooLong(index=index, length=len(text), limit=MAX_TEXT_CHARACTERS)


INPUT_ERRORS: Final = (
    ModelNotFound(model="sentimental"),
    DatasetNotFound(dataset_id=_EXAMPLE_ID),
    InputMismatch(model="houses@2", takes="instances with columns", got="texts"),
    MissingColumns(missing=["rooms"], expected=["rooms", "year"]),
    WrongRowLength(row=3, rows=1, got=2, expected=3),
    ColumnMismatch(column="rooms", expected="number", found="text"),
    AmbiguousColumn(candidates=["title", "review"]),
    UnknownColumn(option="column", column="reviews", dataset="reviews.csv", columns=["id", "review"]),
)
"""What may be wrong with the rows that a model is to be given."""

KIND: Final = Kind(
    name="batch_predict",
    summary="Run a model over many rows",
    request=BatchPredictRequest,
    references=references,
    plan=plan,
    errors=(
        TooManyRows(limit=MAX_INLINE_ROWS, got=1001),
        TextTooLong(index=3, length=100_001, limit=MAX_TEXT_CHARACTERS),
        *INPUT_ERRORS,
    ),
    examples={
        "texts": {"value": {"texts": ["What a lovely day", "I want my money back"]}},
        "a bare list": {"value": ["What a lovely day", "I want my money back"]},
        "in small batches, urgently": {
            "value": {"texts": ["One", "Two", "Three"], "batch_size": 1, "priority": "high"}
        },
        "instances": {"value": {"model": "houses", "instances": [{"rooms": 3, "year": 1931}]}},
        "a dataset": {"value": {"dataset_id": _EXAMPLE_ID, "column": "review", "max_row_errors": 100}},
    },
    retry=RetryPolicy(never=frozenset({TOO_MANY_ROW_ERRORS})),
)
