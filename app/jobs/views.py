"""How stored jobs, results and events are shown. Bytes that are JSON already are set in as they are."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec
from starlette.responses import Response

from app.core import paging
from app.jobs.queries import estimated_completion
from app.jobs.results import ResultBatch
from app.jobs.schemas import AttemptView, JobCreated, JobLinks, JobPage, JobView
from app.jobs.states import Priority, Status

encode: Final = msgspec.json.Encoder().encode


def respond(content: object, *, status_code: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer with this content as JSON."""
    return Response(encode(content), status_code=status_code, headers=headers, media_type="application/json")


class Row(Protocol):
    """A row as asyncpg or SQLAlchemy gives it."""

    def __getitem__(self, column: str, /) -> Any:
        """The value of a column."""

    def get(self, column: str, /) -> Any:
        """The value of a column, None if the row does not have it."""


_PLAIN: Final = b'{"prediction":'


def job_created(job_id: UUID, status: Status, message: str) -> JobCreated:
    """The answer to a request for work."""
    return JobCreated(
        job_id=job_id,
        status=status,
        message=message,
        poll_url=f"/jobs/{job_id}",
        stream_url=f"/jobs/{job_id}/stream",
    )


def job(row: Row) -> JobView:
    """A job as its owner sees it."""
    return JobView(
        job_id=row["id"],
        kind=row["kind"],
        job_type=row["kind"],
        status=Status(row["status"]),
        user_id=row["owner_id"],
        queue=row["queue"],
        priority=Priority(row["priority"]),
        model=_model(row["params"].get("model")),
        attempt=row["attempt"],
        max_attempts=row["max_attempts"],
        progress=row["progress"],
        done=row["done"],
        total=row["total"],
        step=row["step"],
        estimated_completion=estimated_completion(row, datetime.now(UTC)),
        created_at=row["created_at"],
        started_at=row["started_at"],
        completed_at=row["finished_at"],
        run_at=row["run_at"],
        expires_at=row["expires_at"],
        cancel_requested=row["cancel_requested_at"] is not None,
        result=_result(row),
        error=row["error"],
        errors=row["errors"],
        group_id=row["group_id"],
        metadata=row["metadata"],
        links=_links(row["id"]),
    )


def job_page(rows: Sequence[Row], limit: int) -> JobPage:
    """A page of at most `limit` jobs, from one row more than that if there are more."""
    shown, is_last = paging.page(rows, limit)
    next_cursor = None if is_last else paging.encode_cursor(shown[-1]["id"])
    return JobPage(items=[job(row) for row in shown], next_cursor=next_cursor)


def attempt(row: Row) -> AttemptView:
    """One try at a job, as its owner sees it: without the traceback, which is for whoever runs the system."""
    return AttemptView(
        attempt=row["attempt"],
        outcome=row["outcome"],
        queue=row["queue"],
        worker=row["worker"],
        due_at=row["due_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        error=None if row["error"] is None else row["error"] | {"attempt": row["attempt"]},
    )


def _model(model: Any) -> str | None:
    """The version of a model that a job works with; what else a plugin's kind may call `model` is its own."""
    match model:
        case {"name": name, "version": version}:
            return f"{name}@{version}"
        case _:
            return None


def _links(job_id: UUID) -> JobLinks:
    here = f"/jobs/{job_id}"
    return JobLinks(self=here, stream=f"{here}/stream", results=f"{here}/results", events=f"{here}/events")


def _result(row: Row) -> dict[str, Any] | None:
    """What came of a job: the handler's summary, its figures, and the predictions where they are few."""
    if row["result"] is None:
        return None
    seconds = (row["finished_at"] - row["started_at"]).total_seconds()
    result = {
        **row["result"],
        "results_url": f"/jobs/{row['id']}/results",
        "seconds": round(seconds, 6),
        "rows_per_second": round(row["done"] / seconds, 1) if seconds > 0 else None,
    }
    outputs = row.get("outputs")
    if outputs and None not in outputs:
        lines = b"\n".join(outputs).split(b"\n")
        result["predictions"] = msgspec.Raw(b"[%s]" % b",".join(_prediction(line) for line in lines if line))
    return result


def _prediction(line: bytes) -> bytes:
    """What was predicted for a row, null if there was an error."""
    if line.startswith(_PLAIN):
        return line[len(_PLAIN) : -1]
    return encode(msgspec.json.decode(line).get("prediction"))


def result_rows(batch: ResultBatch) -> Iterator[bytes]:
    """The rows of a piece of a stored batch, each as a JSON object."""
    for row, line in enumerate(batch.lines, start=batch.first_row):
        yield b'{"index":%d,"input_index":%d,%s' % (row, row, line[1:])
