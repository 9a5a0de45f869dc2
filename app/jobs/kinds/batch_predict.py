"""`batch_predict`: run a model over many rows, batch by batch."""

from typing import Any, Final

import msgspec
from pydantic import Field, model_validator

from app.http.body import CleanStr
from app.jobs.errors import TextTooLong, TooManyRows
from app.jobs.kinds.kind import Found, Kind, References, Work
from app.jobs.params import BatchPredictParams, ModelReference
from app.jobs.requests import JobOptions
from app.models.errors import ModelNotFound

MAX_INLINE_ROWS: Final = 1000
MAX_TEXT_CHARACTERS: Final = 100_000


class BatchPredictRequest(JobOptions):
    """Run a model over up to 1000 texts."""

    texts: list[CleanStr] = Field(
        min_length=1, description="The texts, in the order in which the predictions will come."
    )
    model: CleanStr = Field(
        "sentiment", description="`name` or `name@version`.", min_length=1, max_length=200
    )
    batch_size: int = Field(10, ge=1, le=10_000, description="How many texts are committed at a time.")

    @model_validator(mode="before")
    @classmethod
    def _bare_list_is_texts(cls, body: Any) -> Any:
        return {"texts": body} if isinstance(body, list) else body


def references(request: BatchPredictRequest) -> References:
    """The model."""
    return References(models=(request.model,))


def plan(request: BatchPredictRequest, found: Found) -> Work:
    """Check the texts. Raises TooManyRows, TextTooLong."""
    _check(request.texts)
    model = found.models[request.model]
    reference = ModelReference(model.name, model.version, model.runtime, model.id)
    return Work(
        params=msgspec.json.encode(BatchPredictParams(reference, request.batch_size)),
        rows=msgspec.json.encode(request.texts),
        total=len(request.texts),
        files={} if model.file is None else {"model": model.file},
        model_version_id=model.id,
    )


def _check(texts: list[str]) -> None:
    if len(texts) > MAX_INLINE_ROWS:
        raise TooManyRows(limit=MAX_INLINE_ROWS, got=len(texts))
    for index, text in enumerate(texts):
        if len(text) > MAX_TEXT_CHARACTERS:
            raise TextTooLong(index=index, length=len(text), limit=MAX_TEXT_CHARACTERS)


KIND: Final = Kind(
    name="batch_predict",
    summary="Run a model over many texts",
    request=BatchPredictRequest,
    references=references,
    plan=plan,
    errors=(
        TooManyRows(limit=MAX_INLINE_ROWS, got=1001),
        ModelNotFound(model="sentimental"),
        TextTooLong(index=3, length=100_001, limit=MAX_TEXT_CHARACTERS),
    ),
    examples={
        "texts": {"value": {"texts": ["What a lovely day", "I want my money back"]}},
        "a bare list": {"value": ["What a lovely day", "I want my money back"]},
        "in small batches, urgently": {
            "value": {"texts": ["One", "Two", "Three"], "batch_size": 1, "priority": "high"}
        },
    },
)
