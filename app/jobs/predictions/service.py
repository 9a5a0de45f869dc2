"""Synchronous predictions: an ordinary job, and the response once it has ended."""

from datetime import timedelta
from typing import Any, Final

import asyncpg
import msgspec

from app.http.links import link
from app.jobs import lane
from app.jobs.errors import (
    PredictionCancelled,
    PredictionFailed,
    PredictionPending,
    PredictionRefused,
    PredictionTooLarge,
    ResultsExpired,
)
from app.jobs.job import Job
from app.jobs.kinds.batch_predict import BatchPredictRequest
from app.jobs.predictions.schemas import MAX_ROWS, Predicted, PredictRequest, PredictRowError
from app.jobs.states import Priority, Status
from app.jobs.workers import queries as workers

MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
TIME_LIMIT_SECONDS: Final = 300
"""Ten times as long as a client waits: a prediction that hangs does not keep the lane from others."""

RETENTION_SECONDS: Final = 3600
"""How long a client that disconnected can read the results of the job."""

_decode_lines: Final = msgspec.json.Decoder(dict[str, Any]).decode_lines


async def job_request(
    connection: asyncpg.Connection, request: PredictRequest, lease: timedelta
) -> BatchPredictRequest:
    """Return the request for the job that makes these predictions.

    It waits in the lane if a worker serves it. During an update, workers of a version without a lane may be
    the only ones.
    """
    has_lane = await workers.is_served(connection, lane.QUEUE, lease)
    # The values are validated already. No request can name the lane, so the schema does not allow it.
    return BatchPredictRequest.model_construct(
        queue=lane.QUEUE if has_lane else None,
        texts=request.texts,
        instances=request.instances,
        model=request.model,
        batch_size=MAX_ROWS,
        priority=Priority.HIGH,
        time_limit_seconds=TIME_LIMIT_SECONDS,
        expires_in_seconds=RETENTION_SECONDS,
    )


def read_predictions(job: Job, waited_seconds: float) -> Predicted:
    """Return the predictions of a job that was read with its outputs after a wait.

    Raises PredictionPending, PredictionCancelled, PredictionTooLarge, PredictionFailed, and PredictionRefused
    for rows or a model that would fail again.
    """
    here = link(f"/jobs/{job.id}")
    if not job.has_ended:
        raise PredictionPending(seconds=int(waited_seconds), job_id=str(job.id), poll_url=here)
    if job.status is Status.CANCELLED:
        raise PredictionCancelled(job_id=str(job.id))
    if job.status is Status.FAILED:
        raise _failure(job)
    if job.outputs is None and not job.is_pruned:
        raise PredictionTooLarge(limit=MAX_ANSWER_BYTES, job_id=str(job.id), url=f"{here}/results")
    if job.outputs is None:
        raise ResultsExpired(job_id=str(job.id))
    # The job has a single batch. If its output were in a part file, `outputs` would be None.
    lines = [line for output in job.outputs if output is not None for line in _decode_lines(output)]
    model = job.params["model"]
    row_errors = [
        PredictRowError(index=index, code=line["error"]["code"], message=line["error"]["message"])
        for index, line in enumerate(lines)
        if "error" in line
    ]
    return Predicted(
        predictions=[line.get("prediction") for line in lines],
        errors=len(row_errors),
        row_errors=row_errors,
        model=f"{model['name']}@{model['version']}",
        job_id=job.id,
    )


def _failure(job: Job) -> PredictionRefused | PredictionFailed:
    error = job.error
    assert error is not None  # noqa: S101  # the database has no failed job without an error
    kind = PredictionFailed if error["retryable"] else PredictionRefused
    return kind(reason=error["message"], job_id=str(job.id), error=error)
