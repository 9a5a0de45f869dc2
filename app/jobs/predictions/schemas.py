"""Requests and responses of synchronous predictions."""

from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import Field, model_validator
from typing_extensions import TypedDict

from app.http.body import CleanRow, CleanStr, LargeBody, at_most
from app.jobs.errors import TooManyInstances, TooManyRows
from app.models.names import MAX_REFERENCE_LENGTH, MODEL_REFERENCE

MAX_ROWS: Final = 100


Texts = Annotated[
    list[CleanStr],
    Field(min_length=1, fail_fast=True),
    at_most(MAX_ROWS, lambda got: TooManyRows(limit=MAX_ROWS, got=got)),
]
Instances = Annotated[
    list[CleanRow],
    Field(min_length=1, fail_fast=True),
    at_most(MAX_ROWS, lambda got: TooManyInstances(limit=MAX_ROWS, got=got)),
]


class PredictRequest(LargeBody):
    """Up to 100 texts or instances to predict."""

    texts: Texts | None = None
    instances: Instances | None = Field(
        None,
        description="Objects by the names of the model's columns, or lists in their order.",
    )
    model: CleanStr = Field(
        "sentiment", description=MODEL_REFERENCE, min_length=1, max_length=MAX_REFERENCE_LENGTH
    )

    @model_validator(mode="after")
    def _check_one_row_source(self) -> "PredictRequest":
        if (self.texts is None) == (self.instances is None):
            raise ValueError("give one of texts and instances")
        return self


class PredictRowError(TypedDict):
    """The error of one row."""

    index: int
    code: str
    message: str


class Predicted(TypedDict):
    """The predictions in the order of the rows; null for a row with an error."""

    predictions: list[Any]
    errors: int
    row_errors: list[PredictRowError]
    model: str
    job_id: UUID
