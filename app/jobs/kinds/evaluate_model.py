"""`evaluate_model`: how good a model is, on rows whose true values are known."""

from typing import Any, Final, Self
from uuid import UUID

import msgspec
from pydantic import Field, model_validator

from app.http.body import CleanObject, CleanStr
from app.jobs.errors import InputMismatch, TooManyInstances
from app.jobs.kinds import inputs
from app.jobs.kinds.batch_predict import (
    DATASET_BATCH_SIZE,
    INLINE_BATCH_SIZE,
    INPUT_ERRORS,
    MAX_INLINE_ROWS,
    TOO_MANY_ROW_ERRORS,
    ensure_not_too_many,
    model_files,
    reference,
)
from app.jobs.kinds.kind import Found, Kind, References, RetryPolicy, Work
from app.jobs.params import EvaluateModelParams, RowShape
from app.jobs.requests import JobOptions
from app.models.versions import ModelVersion

_EXAMPLE_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"


class EvaluateModelRequest(JobOptions):
    """Compare what a model predicts with what is true, over a dataset or up to 1000 rows."""

    model: CleanStr = Field(
        description="`name`, `name@version` or `name@alias`.", min_length=1, max_length=200
    )
    dataset_id: UUID | None = Field(None, description="Every row of this dataset.")
    rows: list[CleanObject] | None = Field(None, min_length=1, description="Rows with the target among them.")
    target: CleanStr = Field(
        min_length=1, max_length=1000, description="The column with what should be predicted."
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="How many rows are committed at a time."
        f" Default {INLINE_BATCH_SIZE}, of a dataset {DATASET_BATCH_SIZE}.",
    )
    column: CleanStr | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="The column with the text, for a model that takes texts.",
    )
    id_column: CleanStr | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="The column whose value each result carries as its `id`; default `id`, if there is one.",
    )
    max_row_errors: int | None = Field(
        None, ge=0, description="With more rows in error than this the job fails, for good."
    )

    @model_validator(mode="after")
    def _rows_are_said_once(self) -> Self:
        if (self.rows is None) == (self.dataset_id is None):
            raise ValueError("give one of rows and dataset_id")
        if self.target in (self.column, self.id_column):
            raise ValueError("the target is a column of its own")
        return self


def references(request: EvaluateModelRequest) -> References:
    """The model, and the dataset if there is one."""
    datasets = () if request.dataset_id is None else (request.dataset_id,)
    return References(models=(request.model,), datasets=datasets)


def plan(request: EvaluateModelRequest, found: Found) -> Work:
    """Check that the model can take the rows, and does not need the target.

    Raises TooManyInstances, and what `inputs` raises.
    """
    model = found.models[request.model]
    needed = () if model.columns is None or inputs.text_column(model) else model.columns
    if any(expected.name == request.target for expected in needed):
        raise InputMismatch(
            model=model.reference, takes=f"{request.target!r} to predict from", got="as the target"
        )
    if request.dataset_id is not None:
        dataset = found.datasets[request.dataset_id]
        shape = inputs.of_dataset(
            model, dataset, column=request.column, id_column=request.id_column, target=request.target
        )
        return Work(
            params=_params(request, model, shape, DATASET_BATCH_SIZE),
            total=dataset.rows,
            files={**model_files(model), "dataset": dataset.file},
            dataset_id=dataset.id,
            model_version_id=model.id,
        )
    rows: list[Any] = request.rows or []
    ensure_not_too_many(rows)
    inputs.ensure_each_has(rows, (request.target,))
    shape = inputs.of_instances(
        model, rows, column=request.column, id_column=request.id_column, target=request.target
    )
    return Work(
        params=_params(request, model, shape, INLINE_BATCH_SIZE),
        rows=msgspec.json.encode(rows),
        total=len(rows),
        files=model_files(model),
        model_version_id=model.id,
    )


def _params(request: EvaluateModelRequest, model: ModelVersion, shape: RowShape, batch_size: int) -> bytes:
    return msgspec.json.encode(
        EvaluateModelParams(
            model=reference(model),
            batch_size=request.batch_size or batch_size,
            target=request.target,
            shape=shape,
            max_row_errors=request.max_row_errors,
        )
    )


KIND: Final = Kind(
    name="evaluate_model",
    summary="Compare a model's predictions with what is true",
    request=EvaluateModelRequest,
    references=references,
    plan=plan,
    message="Evaluation job created",
    errors=(TooManyInstances(limit=MAX_INLINE_ROWS, got=1001), *INPUT_ERRORS),
    examples={
        "a dataset": {"value": {"model": "houses@2", "dataset_id": _EXAMPLE_ID, "target": "price"}},
        "rows": {
            "value": {
                "model": "sentiment",
                "rows": [{"text": "What a lovely day", "mood": "positive"}],
                "target": "mood",
            }
        },
    },
    retry=RetryPolicy(never=frozenset({TOO_MANY_ROW_ERRORS})),
)
