"""Jobs, attempts and results in the shape the API returns. Stored JSON is passed through unparsed."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final
from uuid import UUID

import msgspec
from starlette.responses import Response

from app.core import paging
from app.core.paging import Page
from app.http.links import link
from app.jobs.job import Attempt, Job
from app.jobs.queries import COUNT_LIMIT
from app.jobs.results import ResultBatch
from app.jobs.schemas import (
    AttemptView,
    DatasetName,
    Dismissal,
    JobCounts,
    JobCreated,
    JobLinks,
    JobPage,
    JobRow,
    JobView,
    ListView,
    UsageView,
)
from app.jobs.states import Status

encode: Final = msgspec.json.Encoder().encode


def respond(content: object, *, status_code: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a response with this content as JSON."""
    return Response(encode(content), status_code=status_code, headers=headers, media_type="application/json")


_PREDICTION_ONLY: Final = b'{"prediction":'
"""Start of the line of a row that has neither an id nor an error."""


_UNITS: Final = (("hour", 3600), ("minute", 60), ("second", 1))


def job_created(job_id: UUID, status: Status, message: str, *, retention_seconds: int) -> JobCreated:
    """Return the response to a request that created a job, whose results are kept for so long."""
    return JobCreated(
        job_id=job_id,
        status=status,
        message=message,
        poll_url=link(f"/jobs/{job_id}"),
        stream_url=link(f"/jobs/{job_id}/stream"),
        result_available_for=_length(retention_seconds),
    )


def _length(seconds: int) -> str:
    """Return a length of time in the largest unit in which it is a whole number, e.g. `24 hours`."""
    unit, count = next((unit, seconds // length) for unit, length in _UNITS if seconds % length == 0)
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def job(job: Job) -> JobView:
    """Return a job as its owner sees it."""
    return {**job_row(job), "result": _result(job), "metadata": job.metadata, "links": _links(job.id)}


def dismissal(job: Job) -> Dismissal | None:
    """Return when and why a job was dismissed; None if it was not."""
    return None if job.dismissed_at is None else Dismissal(at=job.dismissed_at, reason=job.dismiss_reason)


def job_row(job: Job) -> JobRow:
    """Return a job without what may be large."""
    return JobRow(
        job_id=job.id,
        kind=job.kind,
        job_type=job.kind,
        status=job.status,
        user_id=job.owner_id,
        owner=job.owner,
        queue=job.queue,
        priority=job.priority,
        model=_model(job.params.get("model")),
        dataset_id=job.dataset_id,
        dataset=_dataset(job),
        worker=job.worker,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        failures=job.failures,
        attempt_started_at=job.attempt_started_at,
        attempt_first_row=job.attempt_first_row,
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
        cancel_requested_at=job.cancel_requested_at,
        error=job.error,
        errors=job.errors,
        group_id=job.group_id,
        schedule_id=job.schedule_id,
        fire_at=job.fire_at,
        resubmitted_from=job.resubmitted_from,
        gpus=job.gpus,
        shards=job.shards,
        parent_id=job.parent_id,
    )


def job_page(page: Page[Job], view: ListView = ListView.FULL) -> JobPage:
    """Return a page of jobs."""
    show = job if view is ListView.FULL else job_row
    return JobPage(
        items=[show(found) for found in page.items],
        next_cursor=page.next_cursor(lambda last: paging.encode_cursor(last.id)),
    )


def job_counts(counts: Mapping[Status, int]) -> JobCounts:
    """Return counts of jobs by status, with their sum. Each stops at `COUNT_LIMIT`, and so does the sum."""
    return JobCounts(
        all=min(sum(counts.values()), COUNT_LIMIT),
        pending=counts[Status.PENDING],
        running=counts[Status.RUNNING],
        completed=counts[Status.COMPLETED],
        failed=counts[Status.FAILED],
        cancelled=counts[Status.CANCELLED],
        cap=COUNT_LIMIT,
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
        rows=attempt.rows,
        cpu_seconds=attempt.cpu_seconds,
        memory_peak_bytes=attempt.memory_peak_bytes,
        has_profile=attempt.profile_key is not None,
    )
    if attempt.shard is not None:
        view["shard"] = attempt.shard
    if with_traceback:
        view["traceback"] = attempt.traceback
    return view


def usage(attempts: Sequence[Attempt]) -> UsageView:
    """Return what ended attempts have used together: sums, and the largest peak of memory."""
    rows = [tried.rows for tried in attempts if tried.rows is not None]
    cpu_seconds = [tried.cpu_seconds for tried in attempts if tried.cpu_seconds is not None]
    peaks = (tried.memory_peak_bytes for tried in attempts if tried.memory_peak_bytes is not None)
    return UsageView(
        attempts=len(attempts),
        run_seconds=sum((tried.ended_at - tried.started_at).total_seconds() for tried in attempts),
        rows=sum(rows) if rows else None,
        cpu_seconds=sum(cpu_seconds) if cpu_seconds else None,
        memory_peak_bytes=max(peaks, default=None),
    )


def _model(model: Any) -> str | None:
    """Return `name@version` of a job's model. A plugin may use the param `model` for something else."""
    match model:
        case {"name": name, "version": version}:
            return f"{name}@{version}"
        case _:
            return None


def _dataset(job: Job) -> DatasetName | None:
    if job.dataset_id is None or job.dataset_name is None:
        return None
    return DatasetName(dataset_id=job.dataset_id, name=job.dataset_name)


def _links(job_id: UUID) -> JobLinks:
    here = link(f"/jobs/{job_id}")
    return JobLinks(self=here, stream=f"{here}/stream", results=f"{here}/results", events=f"{here}/events")


def _result(job: Job) -> dict[str, Any] | None:
    """Return the handler's result, and the predictions if there are few.

    The duration and the rate are those of the attempt that completed the job: between attempts it waited.
    """
    if job.result is None:
        return None
    seconds = 0.0
    if job.attempt_started_at is not None and job.finished_at is not None:
        seconds = (job.finished_at - job.attempt_started_at).total_seconds()
    result = {
        **job.result,
        "results_url": link(f"/jobs/{job.id}/results"),
        "seconds": round(seconds, 6),
        "rows_per_second": round((job.done - job.attempt_first_row) / seconds, 1) if seconds > 0 else None,
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


def numbered_lines(batch: ResultBatch) -> bytes:
    """Return the rows of a batch as lines of JSON, without their input. Faster than `result_rows`."""
    if not batch.output or b"\r" in batch.output:
        return b"".join(row + b"\n" for row in result_rows(batch))
    # As if each byte were a character (Latin-1): texts are formatted faster than bytes.
    rows = batch.output.removesuffix(b"\n").decode("latin-1").split("\n")
    numbers = map(str, batch.chosen or count(batch.first_row))
    lines = [
        f'{{"index":{number},"input_index":{number},{row[1:]}\n'
        for number, row in zip(numbers, rows, strict=False)
    ]
    return "".join(lines).encode("latin-1")


def result_rows(batch: ResultBatch) -> Iterator[bytes]:
    """Yield the rows of a batch, each as a JSON object, with their input if the batch has it."""
    if batch.inputs is not None:
        for row, line, given in zip(batch.numbers, batch.lines, batch.inputs, strict=True):
            yield b'{"index":%d,"input_index":%d,"input":%s,%s' % (row, row, encode(given), line[1:])
        return
    for row, line in zip(batch.numbers, batch.lines, strict=True):
        yield b'{"index":%d,"input_index":%d,%s' % (row, row, line[1:])
