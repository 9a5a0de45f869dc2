"""`batch_predict`: run a model over many rows, batch by batch."""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator, model_validator

from app.http.body import CleanStr
from app.jobs.errors import CannotShard, TextTooLong, TooManyRows
from app.jobs.kinds import inputs, row_based
from app.jobs.kinds.kind import JobPlan, Kind, References, ResolvedReferences, RestoredRequest, StoredRequest
from app.jobs.kinds.row_based import DATASET_BATCH_SIZE, EXAMPLE_ID, INLINE_BATCH_SIZE, MAX_INLINE_ROWS
from app.jobs.params import BatchPredictParams, RowShape
from app.jobs.shards.plan import AUTO_ROWS, MAX_SHARDS, Divisible
from app.models.names import MAX_REFERENCE_LENGTH, MODEL_REFERENCE
from app.models.versions import ModelVersion

MAX_TEXT_CHARACTERS: Final = 100_000
AUTO: Final = "auto"
INLINE_ROWS: Final = "only the rows of a dataset are divided; leave out `shards`."


def _with_one_error(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """Replace the errors of all members of the union, whose paths name members and not fields."""
    try:
        return validate(value)
    except ValidationError:
        raise ValueError(f"shards: give a number from 1 to {MAX_SHARDS}, or {AUTO}") from None


Shards = Annotated[
    Literal["auto"] | Annotated[int, Field(ge=1, le=MAX_SHARDS)], WrapValidator(_with_one_error)
]


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
    shards: Shards = Field(
        AUTO,
        description=f"Into how many shards to divide the rows of a dataset, for many workers at once. "
        f"`auto` fits them to the slots from {AUTO_ROWS} rows on.",
        # So that requests without it keep their digest under an idempotency key.
        exclude_if=lambda shards: shards == AUTO,
    )
    max_failed_shards: int = Field(
        0,
        ge=0,
        le=MAX_SHARDS,
        description="With more failed shards, the others are stopped. The job fails with any failed shard.",
        exclude_if=lambda shards: shards == 0,
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
    """Check that the model accepts the rows. Raises TextTooLong, CannotShard, and what `inputs` raises."""
    model = found.models[request.model]
    if request.dataset_reference is not None:
        dataset = found.datasets[request.dataset_reference]
        shape = inputs.shape_of_dataset(model, dataset, column=request.column, id_column=request.id_column)
        params = _params(request, model, shape, DATASET_BATCH_SIZE)
        divisible = Divisible(
            params.batch_size, None if request.shards == AUTO else request.shards, request.max_failed_shards
        )
        return row_based.plan_for_dataset(params, model, dataset, divisible=divisible)
    if request.shards not in (AUTO, 1):
        raise CannotShard(reason=INLINE_ROWS)
    rows: list[Any]
    if request.instances is not None:
        rows = request.instances
        shape = inputs.shape_of_instances(model, rows, column=request.column, id_column=request.id_column)
    else:
        rows = request.texts or []
        _check_texts(rows)
        shape = inputs.shape_of_texts(model)
    return row_based.plan_for_rows(_params(request, model, shape, INLINE_BATCH_SIZE), model, rows)


def restore(stored: StoredRequest) -> RestoredRequest:
    """Return the request; texts have no column, for they are the rows."""
    body = row_based.restore(stored, stored.read_params(BatchPredictParams))
    if stored.dataset_id is not None:
        return RestoredRequest({**body, **_restored_shards(stored)})
    return RestoredRequest(body, "texts" if stored.has_text_rows else "instances")


def _restored_shards(stored: StoredRequest) -> dict[str, Any]:
    """Return the number of shards that the job had: what `auto` makes of it depends on the workers."""
    if stored.shards is not None:
        return {"shards": stored.shards, "max_failed_shards": stored.max_failed_shards}
    return {"shards": 1} if stored.total is not None and stored.total >= AUTO_ROWS else {}


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
    restore=restore,
    errors=(
        TooManyRows(limit=MAX_INLINE_ROWS, got=1001),
        TextTooLong(index=3, length=100_001, limit=MAX_TEXT_CHARACTERS),
        CannotShard(reason=INLINE_ROWS),
        *row_based.INPUT_ERRORS,
    ),
    examples={
        "texts": {"value": {"texts": ["What a lovely day", "The support was rude and useless"]}},
        "in small batches, urgently": {
            "value": {"texts": ["One", "Two", "Three"], "batch_size": 1, "priority": "high"}
        },
        "instances": {"value": {"model": "houses", "instances": [{"rooms": 3, "year": 1931}]}},
        "a dataset": {"value": {"dataset_id": EXAMPLE_ID, "column": "review", "max_row_errors": 100}},
        "a large dataset in 20 shards": {"value": {"dataset_id": EXAMPLE_ID, "shards": 20}},
        "the newest dataset of a name": {"value": {"dataset": "reviews.csv", "column": "review"}},
    },
    retry=row_based.RETRY,
    shares_children=True,
    outputs_rows=True,
    writes_files=False,
)
