"""`evaluate_model`: measure a model on rows whose true values are known."""

from typing import Any, Final, Self

from pydantic import Field, model_validator

from app.http.body import CleanStr
from app.jobs.errors import InputMismatch, TooManyInstances
from app.jobs.kinds import inputs, row_based
from app.jobs.kinds.kind import JobPlan, Kind, References, ResolvedReferences, RestoredRequest, StoredRequest
from app.jobs.kinds.row_based import DATASET_BATCH_SIZE, EXAMPLE_ID, INLINE_BATCH_SIZE, MAX_INLINE_ROWS
from app.jobs.params import EvaluateModelParams, RowShape
from app.models.names import MAX_REFERENCE_LENGTH, MODEL_REFERENCE
from app.models.versions import ModelVersion


class EvaluateModelRequest(row_based.RowsRequest):
    """Compare the predictions of a model with the true values, over a dataset or up to 1000 rows."""

    model: CleanStr = Field(description=MODEL_REFERENCE, min_length=1, max_length=MAX_REFERENCE_LENGTH)
    rows: row_based.Rows | None = Field(None, description="Rows that include the target.")
    target: CleanStr = Field(min_length=1, max_length=1000, description="The column with the true values.")

    @model_validator(mode="after")
    def _check_one_row_source(self) -> Self:
        if [self.rows, self.dataset_id, self.dataset].count(None) != 2:
            raise ValueError("give one of rows, dataset_id and dataset")
        if self.target in (self.column, self.id_column):
            raise ValueError("the target must differ from column and id_column")
        return self


def references(request: EvaluateModelRequest) -> References:
    """Return the model, and the dataset if the request names one."""
    return row_based.references(request.model, request)


def plan(request: EvaluateModelRequest, found: ResolvedReferences) -> JobPlan:
    """Check that the model accepts the rows, and does not need the target.

    Raises what `inputs` raises.
    """
    model = found.models[request.model]
    needed = () if model.columns is None or inputs.text_column(model) else model.columns
    if any(expected.name == request.target for expected in needed):
        raise InputMismatch(
            model=model.reference, takes=f"{request.target!r} to predict from", got="as the target"
        )
    if request.dataset_reference is not None:
        dataset = found.datasets[request.dataset_reference]
        shape = inputs.shape_of_dataset(
            model, dataset, column=request.column, id_column=request.id_column, target=request.target
        )
        return row_based.plan_for_dataset(_params(request, model, shape, DATASET_BATCH_SIZE), model, dataset)
    rows: list[Any] = request.rows or []
    inputs.ensure_each_has(rows, (request.target,))
    shape = inputs.shape_of_instances(
        model, rows, column=request.column, id_column=request.id_column, target=request.target
    )
    return row_based.plan_for_rows(_params(request, model, shape, INLINE_BATCH_SIZE), model, rows)


def restore(stored: StoredRequest) -> RestoredRequest:
    """Return the request."""
    params = stored.read_params(EvaluateModelParams)
    body = {**row_based.restore(stored, params), "target": params.target}
    return RestoredRequest(body, "rows" if stored.dataset_id is None else None)


def _params(
    request: EvaluateModelRequest, model: ModelVersion, shape: RowShape, batch_size: int
) -> EvaluateModelParams:
    return EvaluateModelParams(
        model=row_based.reference(model),
        batch_size=request.batch_size or batch_size,
        target=request.target,
        shape=shape,
        max_row_errors=request.max_row_errors,
        classes=model.classes,
    )


KIND: Final = Kind(
    name="evaluate_model",
    summary="Evaluate a model",
    request=EvaluateModelRequest,
    references=references,
    plan=plan,
    restore=restore,
    message="Evaluation job created",
    errors=(TooManyInstances(limit=MAX_INLINE_ROWS, got=1001), *row_based.INPUT_ERRORS),
    examples={
        "a dataset": {"value": {"model": "houses@2", "dataset_id": EXAMPLE_ID, "target": "price"}},
        "rows": {
            "value": {
                "model": "sentiment",
                "rows": [{"text": "What a lovely day", "mood": "positive"}],
                "target": "mood",
            }
        },
    },
    retry=row_based.RETRY,
    shares_children=True,
    outputs_rows=True,
)
