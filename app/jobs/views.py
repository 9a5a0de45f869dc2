"""Jobs, attempts and results in the shape the API returns. Stored JSON is passed through unparsed."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from starlette.responses import Response

from app.core import paging
from app.core.paging import Page
from app.http.links import link
from app.jobs.job import Attempt, Job
from app.jobs.results import ResultBatch
from app.jobs.schemas import AttemptView, JobCreated, JobLinks, JobPage, JobView
from app.jobs.states import Status

encode: Final = msgspec.json.Encoder().encode


def respond(content: object, *, status_code: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a response with this content as JSON."""
    return Response(encode(content), status_code=status_code, headers=headers, media_type="application/json")


_PREDICTION_ONLY: Final = b'{"prediction":'
"""Start of the line of a row that has neither an id nor an error."""


def job_created(job_id: UUID, status: Status, message: str) -> JobCreated:
    """Return the response to a request that created a job."""
    return JobCreated(
        job_id=job_id,
        status=status,
        message=message,
        poll_url=link(f"/jobs/{job_id}"),
        stream_url=link(f"/jobs/{job_id}/stream"),
    )


def job(job: Job) -> JobView:
    """Return a job as its owner sees it."""
    return JobView(
        job_id=job.id,
        kind=job.kind,
        job_type=job.kind,
        status=job.status,
        user_id=job.owner_id,
        queue=job.queue,
        priority=job.priority,
        model=_model(job.params.get("model")),
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        progress=job.progress,
        done=job.done,
        total=job.total,
        step=job.step,
        estimated_completion=job.estimated_completion(datetime.now(UTC)),
        created_at=job.created_at,
        started_at=job.started_at,
        completed_at=job.finished_at,
        run_at=job.run_at,
        expires_at=job.expires_at,
        cancel_requested=job.cancel_requested_at is not None,
        result=_result(job),
        error=job.error,
        errors=job.errors,
        group_id=job.group_id,
        metadata=job.metadata,
        links=_links(job.id),
    )


def job_page(page: Page[Job]) -> JobPage:
    """Return a page of jobs."""
    return JobPage(
        items=[job(found) for found in page.items],
        next_cursor=page.next_cursor(lambda last: paging.encode_cursor(last.id)),
    )


def attempt(attempt: Attempt, *, with_traceback: bool) -> AttemptView:
    """Return an attempt as its owner sees it. The traceback is for administrators only."""
    view = AttemptView(
        attempt=attempt.attempt,
        outcome=attempt.outcome,
        queue=attempt.queue,
        worker=attempt.worker,
        due_at=attempt.due_at,
        started_at=attempt.started_at,
        ended_at=attempt.ended_at,
        error=attempt.error,
    )
    if with_traceback:
        view["traceback"] = attempt.traceback
    return view


def _model(model: Any) -> str | None:
    """Return `name@version` of a job's model. A plugin may use the param `model` for something else."""
    match model:
        case {"name": name, "version": version}:
            return f"{name}@{version}"
        case _:
            return None


def _links(job_id: UUID) -> JobLinks:
    here = link(f"/jobs/{job_id}")
    return JobLinks(self=here, stream=f"{here}/stream", results=f"{here}/results", events=f"{here}/events")


def _result(job: Job) -> dict[str, Any] | None:
    """Return the handler's result with duration and rate, and with the predictions if there are few."""
    if job.result is None:
        return None
    seconds = 0.0
    if job.started_at is not None and job.finished_at is not None:
        seconds = (job.finished_at - job.started_at).total_seconds()
    result = {
        **job.result,
        "results_url": link(f"/jobs/{job.id}/results"),
        "seconds": round(seconds, 6),
        "rows_per_second": round(job.done / seconds, 1) if seconds > 0 else None,
    }
    outputs = [output for output in job.outputs or () if output is not None]
    if job.outputs and len(outputs) == len(job.outputs):
        lines = b"\n".join(outputs).split(b"\n")
        result["predictions"] = msgspec.Raw(b"[%s]" % b",".join(_prediction(line) for line in lines if line))
    return result


def _prediction(line: bytes) -> bytes:
    """Return the prediction for a row, null if there was an error."""
    if line.startswith(_PREDICTION_ONLY):
        return line[len(_PREDICTION_ONLY) : -1]
    return encode(msgspec.json.decode(line).get("prediction"))


def result_rows(batch: ResultBatch) -> Iterator[bytes]:
    """Yield the rows of a batch, each as a JSON object."""
    for row, line in enumerate(batch.lines, start=batch.first_row):
        yield b'{"index":%d,"input_index":%d,%s' % (row, row, line[1:])
