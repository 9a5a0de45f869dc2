"""`batch_predict`: run a model over many rows, batch by batch."""

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from app.jobs.params import BatchPredictParams
from worker.children.messages import Yielded
from worker.context import BadInput, JobContext, JobError, Outcome
from worker.runtimes import cache
from worker.runtimes.runtime import Model


def batch_predict(job: JobContext) -> Outcome:
    """Predict every row that is not done yet; the result is how many there are."""
    params = _params(job)
    rows = job.rows()
    model = cache.load(params.model)
    batches = math.ceil(len(rows) / params.batch_size)
    for first_row in range(job.resume.done, len(rows), params.batch_size):
        if job.stop_requested:
            return Yielded()
        batch = rows[first_row : first_row + params.batch_size]
        job.commit(
            _predictions(model, batch),
            step=f"Batch {job.next_batch + 1}/{batches}",
            is_last=first_row + len(batch) == len(rows),
        )
    return {"total": len(rows)}


def _params(job: JobContext) -> BatchPredictParams:
    try:
        return msgspec.convert(job.params, BatchPredictParams)
    except msgspec.ValidationError as error:
        raise BadInput(f"params: {error}") from error


def _predictions(model: Model, rows: Sequence[Any]) -> Sequence[Any]:
    predictions = model.predict(rows)
    if len(predictions) != len(rows):
        raise JobError(
            "wrong_prediction_count",
            f"the model gave {len(predictions)} predictions for {len(rows)} rows",
            is_retryable=False,
        )
    return predictions
