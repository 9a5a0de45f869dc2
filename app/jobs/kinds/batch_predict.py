"""`batch_predict`: run a model over many rows, batch by batch."""

from typing import Any, Final, Self

from pydantic import Field, model_validator

from app.http.body import CleanStr
from app.jobs.errors import TextTooLong, TooManyRows
from app.jobs.kinds import inputs, row_based
from app.jobs.kinds.kind import JobPlan, Kind, References, ResolvedReferences
from app.jobs.kinds.row_based import DATASET_BATCH_SIZE, EXAMPLE_ID, INLINE_BATCH_SIZE, MAX_INLINE_ROWS
from app.jobs.params import BatchPredictParams, RowShape
from app.models.names import MAX_REFERENCE_LENGTH, MODEL_REFERENCE
from app.models.versions import ModelVersion

MAX_TEXT_CHARACTERS: Final = 100_000


class BatchPredictRequest(row_based.RowsRequest):
    """Run a model over up to 1000 texts or instances, or over all rows of a dataset.

    A bare list of texts means `{"texts": […]}`.
    """

    texts: row_based.Texts | None = Field(None, description="The texts; the predictions have the same order.")
    instances: row_based.Instances | None = Field(
        None,
        description="Rows for a model with columns: objects by the columns' names, or lists in their order.",
    )
    model: CleanStr = Field(
        "sentiment", description=MODEL_REFERENCE, min_length=1, max_length=MAX_REFERENCE_LENGTH
    )

    @model_validator(mode="before")
    @classmethod
    def _bare_list_is_texts(cls, body: Any) -> Any:
        return {"texts": body} if isinstance(body, list) else body

    @model_validator(mode="after")
    def _check_one_row_source(self) -> Self:
        if [self.texts, self.instances, self.dataset_id, self.dataset].count(None) != 3:
            raise ValueError("give one of texts, instances, dataset_id and dataset")
        if self.texts is not None and (self.column is not None or self.id_column is not None):
            raise ValueError("column and id_column are for instances and datasets, texts have none")
        return self


def references(request: BatchPredictRequest) -> References:
    """Return the model, and the dataset if the request names one."""
    return row_based.references(request.model, request)


def plan(request: BatchPredictRequest, found: ResolvedReferences) -> JobPlan:
    """Check that the model accepts the rows. Raises TextTooLong, and what `inputs` raises."""
    model = found.models[request.model]
    if request.dataset_reference is not None:
        dataset = found.datasets[request.dataset_reference]
        shape = inputs.shape_of_dataset(model, dataset, column=request.column, id_column=request.id_column)
        return row_based.plan_for_dataset(_params(request, model, shape, DATASET_BATCH_SIZE), model, dataset)
    rows: list[Any]
    if request.instances is not None:
        rows = request.instances
        shape = inputs.shape_of_instances(model, rows, column=request.column, id_column=request.id_column)
    else:
        rows = request.texts or []
        _check_texts(rows)
        shape = inputs.shape_of_texts(model)
    return row_based.plan_for_rows(_params(request, model, shape, INLINE_BATCH_SIZE), model, rows)


def _params(
    request: BatchPredictRequest, model: ModelVersion, shape: RowShape, batch_size: int
) -> BatchPredictParams:
    return BatchPredictParams(
        row_based.reference(model), request.batch_size or batch_size, shape, request.max_row_errors
    )


def _check_texts(texts: list[str]) -> None:
    for index, text in enumerate(texts):
        if len(text) > MAX_TEXT_CHARACTERS:
            raise TextTooLong(index=index, length=len(text), limit=MAX_TEXT_CHARACTERS)


KIND: Final = Kind(
    name="batch_predict",
    summary="Run a model over many rows",
    request=BatchPredictRequest,
    references=references,
    plan=plan,
    errors=(
        TooManyRows(limit=MAX_INLINE_ROWS, got=1001),
        TextTooLong(index=3, length=100_001, limit=MAX_TEXT_CHARACTERS),
        *row_based.INPUT_ERRORS,
    ),
    examples={
        "texts": {"value": {"texts": ["What a lovely day", "The support was rude and useless"]}},
        "in small batches, urgently": {
            "value": {"texts": ["One", "Two", "Three"], "batch_size": 1, "priority": "high"}
        },
        "instances": {"value": {"model": "houses", "instances": [{"rooms": 3, "year": 1931}]}},
        "a dataset": {"value": {"dataset_id": EXAMPLE_ID, "column": "review", "max_row_errors": 100}},
        "the newest dataset of a name": {"value": {"dataset": "reviews.csv", "column": "review"}},
    },
    retry=row_based.RETRY,
    shares_children=True,
    outputs_rows=True,
    writes_files=False,
)
