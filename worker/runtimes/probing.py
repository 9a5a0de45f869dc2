"""Predicts a few made-up rows with a model that is new: what cannot predict is refused at the upload."""

from collections.abc import Iterable
from typing import Any, Final

from app.models.versions import Task
from worker.context import JobError, RowError
from worker.runtimes.runtime import BrokenModel, Model

BAD_ROW: Final = "bad_row"
WAY_OUT: Final = "test it on rows of your own, as arrays without column names, before you save it"


def prediction_of(model: Model, rows: Iterable[Any]) -> Any:
    """What a model predicts for the first of these rows that it takes; None if that cannot be told from them.

    Raises BrokenModel if the model fails at each of them.
    """
    reason: str | None = None
    has_answered = False
    for row in rows:
        try:
            (said,) = model.predict([row])
        except JobError as error:
            reason = reason or error.message
            continue
        if not isinstance(said, RowError):
            return said
        # A row that does not fit says nothing about the model.
        has_answered = has_answered or said.code != BAD_ROW
    if reason is not None and not has_answered:
        raise BrokenModel(f"it cannot predict: {reason.rstrip('.')}; {WAY_OUT}")
    return None


def task_of(prediction: Any) -> Task | None:
    """The task of a model, by a prediction of it."""
    if isinstance(prediction, dict) and "label" in prediction:
        return Task.CLASSIFICATION
    return Task.REGRESSION if isinstance(prediction, dict) and "value" in prediction else None
