"""Predictions for rows, a few of which a model may not be able to take."""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from app.jobs.params import ModelReference
from worker.children import encoding
from worker.children.encoding import NotJson, RowError
from worker.context import BadInput, JobContext, JobError, UnserialisableOutput
from worker.runtimes import cache
from worker.runtimes.runtime import Model, QuickModel

TOO_MANY_ROW_ERRORS: Final = "too_many_row_errors"

P = TypeVar("P")


class WrongPredictionCount(JobError):
    """The model did not give one prediction for each row; never retried."""

    def __init__(self, got: int, rows: int) -> None:
        message = f"the model gave {got} predictions for {rows} rows"
        super().__init__("wrong_prediction_count", message, is_retryable=False)


def params_of(job: JobContext, kind: type[P]) -> P:
    """The params of a job. Raises BadInput."""
    try:
        return msgspec.convert(job.params, kind)
    except msgspec.ValidationError as error:
        raise BadInput(f"params: {error}") from error


def load(job: JobContext, reference: ModelReference) -> Model:
    """The model of a job, from its file if it is not built in."""
    return cache.OF_THIS_CHILD.load(reference, None if reference.id is None else job.file("model"))


def predict(
    model: Model, rows: Sequence[Any], *, has_worked: bool, is_only_written: bool = False
) -> list[Any]:
    """For each row a prediction, or a RowError. Those that are `is_only_written` need not be dicts.

    A model that raises over all rows together is asked for each of them, once, to find those that it raises
    for. If these are all of them, the fault is theirs if the model `has_worked` for others, however large the
    batch is. Else it is the model's: its first error passes.
    """
    try:
        return _outputs(model, rows, is_only_written=is_only_written)
    except (MemoryError, WrongPredictionCount):
        raise
    except Exception as error:
        outputs = [_row_error(error)] if len(rows) == 1 else [_output(model, row) for row in rows]
        if _are_all_errors(outputs) and not has_worked:
            raise
        return outputs


def commit(send: Callable[[list[Any]], None], outputs: list[Any], *, has_worked: bool) -> None:
    """Send outputs; one that is not JSON, like NaN for one row in a million, goes as a RowError in its place.

    Raises UnserialisableOutput if that would be all of them, and the model has not worked for others.
    """
    try:
        send(outputs)
    except UnserialisableOutput:
        checked = [_checked(output) for output in outputs]
        if _are_all_errors(checked) and not has_worked:
            raise
        send(checked)


def ensure_few_errors(job: JobContext, limit: int | None) -> None:
    """Raise JobError `too_many_row_errors` once more rows than the limit are in error."""
    if limit is not None and job.errors > limit:
        raise JobError(
            TOO_MANY_ROW_ERRORS,
            f"{job.errors} of the first {job.done} rows are in error; the limit is {limit}",
            is_retryable=False,
        )


def _outputs(model: Model, rows: Sequence[Any], *, is_only_written: bool = False) -> list[Any]:
    if is_only_written and isinstance(model, QuickModel):
        outputs = model.predict_to_write(rows)
    else:
        outputs = model.predict(rows)
    if len(outputs) != len(rows):
        raise WrongPredictionCount(len(outputs), len(rows))
    return outputs


def _output(model: Model, row: Any) -> Any:
    try:
        return _outputs(model, [row])[0]
    except (MemoryError, WrongPredictionCount):
        raise
    except Exception as error:
        return _row_error(error)


def _row_error(error: Exception) -> RowError:
    if isinstance(error, JobError):
        return RowError(error.code, encoding.plain_text(error.message))
    return RowError("prediction_failed", encoding.plain_text(f"{type(error).__name__}: {error}"))


def _checked(output: Any) -> Any:
    try:
        encoding.json_lines([output], 0)
    except NotJson as error:
        _, _, reason = str(error).partition(": ")
        return RowError("unserialisable_output", encoding.plain_text(reason))
    return output


def _are_all_errors(outputs: Sequence[Any]) -> bool:
    return all(isinstance(output, RowError) for output in outputs)
