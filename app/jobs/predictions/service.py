"""What predictions at once are made of: an ordinary job, and how it is told once it has ended."""

from typing import Any, Final

import msgspec

from app.jobs.errors import (
    PredictionCancelled,
    PredictionFailed,
    PredictionPending,
    PredictionRefused,
    PredictionTooLarge,
    ResultsExpired,
)
from app.jobs.kinds.batch_predict import BatchPredictRequest
from app.jobs.predictions.schemas import MAX_ROWS, Predicted, PredictRequest, PredictRowError
from app.jobs.states import Priority, Status

MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
RETENTION_SECONDS: Final = 3600
"""Whoever had to leave before the answer finds it here for so long."""

_decode_lines: Final = msgspec.json.Decoder(dict[str, Any]).decode_lines


def job_request(request: PredictRequest) -> BatchPredictRequest:
    """The job that gives these predictions."""
    # What was checked once is not checked again.
    return BatchPredictRequest.model_construct(
        texts=request.texts,
        instances=request.instances,
        model=request.model,
        batch_size=MAX_ROWS,
        priority=Priority.HIGH,
        expires_in_seconds=RETENTION_SECONDS,
    )


def predicted(job: Any, waited_seconds: float) -> Predicted:
    """What came of the job, as it stands with its outputs after so long.

    Raises PredictionPending, PredictionCancelled, PredictionTooLarge, PredictionFailed, and PredictionRefused
    for rows or a model that would fail again.
    """
    status = Status(job["status"])
    if not status.is_final:
        raise PredictionPending(
            seconds=int(waited_seconds), job_id=str(job["id"]), poll_url=f"/jobs/{job['id']}"
        )
    if status is Status.CANCELLED:
        raise PredictionCancelled(job_id=str(job["id"]))
    if status is Status.FAILED:
        raise _failure(job)
    if job["outputs"] is None and job["pruned_at"] is None:
        raise PredictionTooLarge(
            limit=MAX_ANSWER_BYTES, job_id=str(job["id"]), url=f"/jobs/{job['id']}/results"
        )
    if job["outputs"] is None:
        raise ResultsExpired(job_id=str(job["id"]))
    lines = [line for output in job["outputs"] for line in _decode_lines(output)]
    model = job["params"]["model"]
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
        job_id=job["id"],
    )


def _failure(job: Any) -> PredictionRefused | PredictionFailed:
    error = job["error"]
    kind = PredictionFailed if error["retryable"] else PredictionRefused
    return kind(reason=error["message"], job_id=str(job["id"]), error=error)
