"""What predictions at once look like over HTTP."""

from typing import Any, Final
from uuid import UUID

from pydantic import Field, model_validator
from typing_extensions import TypedDict

from app.http.body import CleanJson, CleanStr, StrictBody
from app.models.names import MAX_REFERENCE_LENGTH, MODEL_REFERENCE

MAX_ROWS: Final = 100


class PredictRequest(StrictBody):
    """Up to 100 texts or instances to be predicted at once."""

    texts: list[CleanStr] | None = Field(None, min_length=1)
    instances: list[dict[str, CleanJson] | list[CleanJson]] | None = Field(
        None,
        min_length=1,
        description="Objects by the names of the model's columns, or lists in their order.",
    )
    model: CleanStr = Field(
        "sentiment", description=MODEL_REFERENCE, min_length=1, max_length=MAX_REFERENCE_LENGTH
    )

    @model_validator(mode="after")
    def _rows_are_said_once(self) -> "PredictRequest":
        if (self.texts is None) == (self.instances is None):
            raise ValueError("give one of texts and instances")
        return self


class PredictRowError(TypedDict):
    """Why there is no prediction for one of the rows."""

    index: int
    code: str
    message: str


class Predicted(TypedDict):
    """The predictions in the order of the rows, null where there is an error."""

    predictions: list[Any]
    errors: int
    row_errors: list[PredictRowError]
    model: str
    job_id: UUID
