"""Run a model over a batch of rows and turn failures of single rows into RowErrors."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, TypeVar

import msgspec

from app.jobs.params import ModelReference
from worker.children import encoding
from worker.children.encoding import NotJson, RowError
from worker.children.messages import Phase
from worker.context import BadInput, JobContext, JobError, UnserialisableOutput
from worker.runtimes import cache
from worker.runtimes.runtime import Model

TOO_MANY_ROW_ERRORS: Final = "too_many_row_errors"

P = TypeVar("P")


class WrongPredictionCount(JobError):
    """The model did not return one prediction for each row; never retried."""

    def __init__(self, predictions: int, rows: int) -> None:
        message = f"the model returned {predictions} predictions for {rows} rows"
        super().__init__("wrong_prediction_count", message, is_retryable=False)


def parse_params(job: JobContext, params_type: type[P]) -> P:
    """Return the params of a job as this type. Raises BadInput."""
    try:
        return msgspec.convert(job.params, params_type)
    except msgspec.ValidationError as error:
        raise BadInput(f"params: {error}") from error


def load_model(job: JobContext, reference: ModelReference) -> Model:
    """Return the model of a job, from the cache or from its file. A built-in model has no id and no file."""
    is_quick = reference.id is None or reference in cache.CHILD_CACHE
    with nullcontext() if is_quick else job.phase(Phase.LOAD_MODEL):
        return cache.CHILD_CACHE.load(reference, None if reference.id is None else job.file("model"))


def phase(job: JobContext, batches: int) -> AbstractContextManager[None]:
    """Return the phase in which a job predicts. A single batch gets none: the attempt itself shows it."""
    return job.phase(Phase.PREDICT) if batches > 1 else nullcontext()


def predict(
    model: Model, rows: Sequence[Any], *, has_worked: bool, may_be_structs: bool = False
) -> list[Any]:
    """Return a prediction or a RowError for each row; structs in place of dicts if they `may_be_structs`.

    If the model raises for the whole batch, it is run again on each row, to find the bad rows. If it
    raises for every row, the error is the model's and is raised, unless the model `has_worked` on other rows
    of the job: then all these rows are bad.
    """
    try:
        return _predict_batch(model, rows, may_be_structs=may_be_structs)
    except (MemoryError, WrongPredictionCount):
        raise
    except Exception as error:
        outputs = [_to_row_error(error)] if len(rows) == 1 else [_predict_row(model, row) for row in rows]
        if _are_all_errors(outputs) and not has_worked:
            raise
        return outputs


def commit_outputs(commit: Callable[[list[Any]], None], outputs: list[Any], *, has_worked: bool) -> None:
    """Commit outputs, replacing each that is not JSON, such as NaN, by a RowError.

    Raises UnserialisableOutput if no output is JSON and the model has not worked on other rows of the job.
    """
    try:
        commit(outputs)
    except UnserialisableOutput:
        checked = [_check_json(output) for output in outputs]
        if _are_all_errors(checked) and not has_worked:
            raise
        commit(checked)


def check_error_limit(job: JobContext, limit: int | None) -> None:
    """Raise JobError `too_many_row_errors` if more rows of the job have failed than the limit allows."""
    if limit is not None and job.errors > limit:
        raise JobError(
            TOO_MANY_ROW_ERRORS,
            f"{job.errors} of the first {job.done} rows failed; max_row_errors is {limit}",
            is_retryable=False,
        )


def log_errors(job: JobContext, rows: int) -> None:
    """Write down how many of all rows have an error, if any has."""
    if job.errors:
        job.log(f"{job.errors} of {rows} rows have an error instead of a prediction.", level="warning")


def _predict_batch(model: Model, rows: Sequence[Any], *, may_be_structs: bool = False) -> list[Any]:
    predict_rows = getattr(model, "predict_to_write", model.predict) if may_be_structs else model.predict
    outputs: list[Any] = predict_rows(rows)
    if len(outputs) != len(rows):
        raise WrongPredictionCount(len(outputs), len(rows))
    return outputs


def _predict_row(model: Model, row: Any) -> Any:
    try:
        return _predict_batch(model, [row])[0]
    except (MemoryError, WrongPredictionCount):
        raise
    except Exception as error:
        return _to_row_error(error)


def _to_row_error(error: Exception) -> RowError:
    if isinstance(error, JobError):
        return RowError(error.code, encoding.plain_text(error.message))
    return RowError("prediction_failed", encoding.plain_text(f"{type(error).__name__}: {error}"))


def _check_json(output: Any) -> Any:
    try:
        encoding.json_lines([output], 0)
    except NotJson as error:
        _, _, reason = str(error).partition(": ")
        return RowError("unserialisable_output", encoding.plain_text(reason))
    return output


def _are_all_errors(outputs: Sequence[Any]) -> bool:
    return all(isinstance(output, RowError) for output in outputs)
