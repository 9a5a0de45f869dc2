"""Try an uploaded model on example rows, so that a model that cannot predict is rejected at upload."""

from collections.abc import Iterable
from typing import Any, Final

from app.models.versions import Task
from worker.context import JobError, RowError
from worker.runtimes.runtime import BrokenModel, Model

BAD_ROW: Final = "bad_row"
ADVICE: Final = (
    "before you save it, check that it predicts rows of your own, given as arrays without column names"
)


def try_rows(model: Model, rows: Iterable[Any]) -> Any:
    """Return the prediction for the first example row that the model accepts.

    Returns None if the model accepts none of them but may accept others. Raises BrokenModel if it fails on
    all.
    """
    reason: str | None = None
    has_answered = False
    for row in rows:
        try:
            (prediction,) = model.predict([row])
        except JobError as error:
            reason = reason or error.message
            continue
        if not isinstance(prediction, RowError):
            return prediction
        # An example row that does not fit says nothing about the model.
        has_answered = has_answered or prediction.code != BAD_ROW
    if reason is not None and not has_answered:
        raise BrokenModel(f"it failed on every example row: {reason.rstrip('.')}; {ADVICE}")
    return None


def infer_task(prediction: Any) -> Task | None:
    """Return the task of a model, from the form of a prediction; None for neither label nor value."""
    if isinstance(prediction, dict) and "label" in prediction:
        return Task.CLASSIFICATION
    return Task.REGRESSION if isinstance(prediction, dict) and "value" in prediction else None
