"""Jobs over HTTP."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response, status
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime

from app.auth.deps import CurrentUser
from app.core import paging
from app.core.database import Database
from app.core.errors import DatabaseUnavailable, InvalidCursor
from app.core.metrics import JOBS_CREATED
from app.http import problems
from app.http.deps import DatabaseDep, ResourcesDep, SessionDep
from app.jobs import queries, service, views
from app.jobs.announcements import announce
from app.jobs.deps import IdempotencyKey, WatcherDep
from app.jobs.errors import (
    IdempotencyKeyReused,
    JobAlreadyFinished,
    JobNotFound,
    NotYourJob,
    ResultsExpired,
    TextTooLong,
    TooManyRows,
)
from app.jobs.queries import JobFilter
from app.jobs.schemas import (
    MAX_INLINE_ROWS,
    MAX_TEXT_CHARACTERS,
    BatchPredictRequest,
    CancelAnswer,
    EventPage,
    JobCreated,
    JobPage,
    JobView,
    ResultPage,
)
from app.jobs.states import Status
from app.models.errors import ModelNotFound

CANCEL_WAIT_SECONDS: Final = 3.0
NDJSON: Final = "application/x-ndjson"
CSV: Final = "text/csv"
_EXAMPLE_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"
_OWN = (JobNotFound(job_id=_EXAMPLE_ID), NotYourJob(job_id=_EXAMPLE_ID))

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.post(
    "/batch-predict",
    operation_id="createBatchPredictJob",
    summary="Run a model over many texts",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=JobCreated,
    responses=problems.responses(
        TooManyRows(limit=MAX_INLINE_ROWS, got=1001),
        ModelNotFound(model="sentimental"),
        TextTooLong(index=3, length=100_001, limit=MAX_TEXT_CHARACTERS),
        IdempotencyKeyReused,
        DatabaseUnavailable,
    ),
    openapi_extra={
        "requestBody": {
            "content": {
                "application/json": {
                    "examples": {
                        "texts": {"value": {"texts": ["What a lovely day", "I want my money back"]}},
                        "a bare list": {"value": ["What a lovely day", "I want my money back"]},
                        "in small batches, urgently": {
                            "value": {"texts": ["One", "Two", "Three"], "batch_size": 1, "priority": "high"}
                        },
                    }
                }
            }
        }
    },
)
async def create_batch_predict_job(
    body: BatchPredictRequest, user: CurrentUser, resources: ResourcesDep, key: IdempotencyKey = None
) -> Response:
    """Queue up to 1000 texts; the answer says where to watch the job. The work itself starts at once."""
    async with resources.database.connection() as connection:
        submitted = await service.submit_batch_predict(connection, resources.settings, user.id, body, key)
    headers = {"Location": f"/jobs/{submitted.job_id}"}
    if submitted.moved is None:
        headers["Idempotent-Replayed"] = "true"
        return _json(views.job_created(submitted.job_id, submitted.status), headers=headers)
    announce(resources.hints, submitted.moved)
    JOBS_CREATED.labels(submitted.moved.kind, submitted.moved.queue).inc()
    return _json(
        views.job_created(submitted.job_id, submitted.status),
        status_code=status.HTTP_202_ACCEPTED,
        headers=headers,
    )


@router.get(
    "",
    operation_id="listJobs",
    summary="List your jobs, newest first",
    response_model=JobPage,
    responses=problems.responses(InvalidCursor),
)
async def list_jobs(
    request: Request,
    user: CurrentUser,
    session: SessionDep,
    wanted_status: Annotated[Status | None, Query(alias="status")] = None,
    kind: str | None = None,
    queue: str | None = None,
    model: Annotated[str | None, Query(description="The model's name, without a version.")] = None,
    created_after: AwareDatetime | None = None,
    created_before: AwareDatetime | None = None,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Response:
    """One page of your jobs. `metadata.KEY=value` asks for jobs with that pair."""
    wanted = JobFilter(
        status=wanted_status,
        kind=kind,
        queue=queue,
        model=model,
        metadata=_metadata_filter(request),
        created_after=created_after,
        created_before=created_before,
    )
    before = None if cursor is None else paging.decode_cursor(cursor)
    rows = await queries.jobs(session, user.id, wanted, before=before, limit=limit + 1)
    next_cursor = paging.encode_cursor(rows[limit - 1]["id"]) if len(rows) > limit else None
    return _json(JobPage(items=[views.job(row) for row in rows[:limit]], next_cursor=next_cursor))


@router.get(
    "/{job_id}",
    operation_id="getJob",
    summary="One job",
    response_model=JobView,
    responses={
        **problems.responses(*_OWN),
        304: {"description": "Nothing has changed since `If-None-Match`"},
    },
)
async def get_job(
    job_id: UUID,
    user: CurrentUser,
    database: DatabaseDep,
    watcher: WatcherDep,
    wait: Annotated[float, Query(ge=0, le=60, description="Seconds to wait for the job's end.")] = 0,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Where a job stands. With `wait` the answer is held until the job has ended, at most so long."""
    row = await _read_own(database, user.id, job_id)
    if wait and not Status(row["status"]).is_final:
        await watcher.wait_for_end(user.id, job_id, after=row["last_seq"], timeout_seconds=wait)
        row = await _read_own(database, user.id, job_id)
    # Weak: the estimate moves on with the clock, the rest changes only with an event or by pruning.
    etag = f'W/"{row["last_seq"]}{"" if row["pruned_at"] is None else "p"}"'
    if if_none_match is not None and etag in (tag.strip() for tag in if_none_match.split(",")):
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers={"ETag": etag})
    return _json(views.job(row), headers={"ETag": etag})


_CANCEL_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    **problems.responses(*_OWN, JobAlreadyFinished(status="completed")),
    202: {"model": CancelAnswer, "description": "The cancel is asked for and will be true in a moment"},
}


@router.post(
    "/{job_id}/cancel",
    operation_id="cancelJob",
    summary="Cancel a job",
    response_model=CancelAnswer,
    responses=_CANCEL_RESPONSES,
)
@router.delete(
    "/{job_id}",
    operation_id="deleteJob",
    summary="Cancel a job (the same as the POST)",
    response_model=CancelAnswer,
    responses=_CANCEL_RESPONSES,
)
async def cancel_job(
    job_id: UUID, user: CurrentUser, resources: ResourcesDep, watcher: WatcherDep
) -> Response:
    """Stop a job. What it has committed is kept. 200 once it has stopped, 202 if that takes a while."""
    async with resources.database.connection() as connection:
        moved = await service.cancel(connection, user.id, job_id)
    if moved is not None:
        announce(resources.hints, moved)
    row = await _read_own(resources.database, user.id, job_id)
    if not Status(row["status"]).is_final:
        await watcher.wait_for_end(
            user.id, job_id, after=row["last_seq"], timeout_seconds=CANCEL_WAIT_SECONDS
        )
        row = await _read_own(resources.database, user.id, job_id)
    if row["status"] == Status.CANCELLED:
        return _json(CancelAnswer(message="Job cancelled", job=views.job(row)))
    service.ensure_can_be_cancelled(row)
    return _json(
        CancelAnswer(message="Cancellation requested", job=views.job(row)),
        status_code=status.HTTP_202_ACCEPTED,
    )


@router.get(
    "/{job_id}/results",
    operation_id="getJobResults",
    summary="The predictions, in input order",
    response_model=ResultPage,
    responses={
        200: {"content": {NDJSON: {}, CSV: {}}},
        **problems.responses(*_OWN, InvalidCursor, ResultsExpired(job_id=_EXAMPLE_ID)),
    },
)
async def get_job_results(
    job_id: UUID,
    user: CurrentUser,
    database: DatabaseDep,
    accept: Annotated[str, Header(description=f"`{NDJSON}` and `{CSV}` stream all of it.")] = "",
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """What is computed so far: also while the job runs, and after it was cancelled or failed."""
    row = await _read_own(database, user.id, job_id)
    if row["pruned_at"] is not None:
        raise ResultsExpired(job_id=str(job_id))
    if NDJSON in accept:
        return StreamingResponse(_ndjson(database, job_id), media_type=NDJSON)
    if CSV in accept:
        return StreamingResponse(_csv(database, job_id), media_type=CSV)
    return await _result_page(
        database, job_id, _result_place(cursor), limit, is_whole=Status(row["status"]).is_final
    )


@router.get(
    "/{job_id}/events",
    operation_id="getJobEvents",
    summary="The event log of a job",
    response_model=EventPage,
    responses=problems.responses(*_OWN),
)
async def get_job_events(
    job_id: UUID,
    user: CurrentUser,
    database: DatabaseDep,
    after: Annotated[int, Query(ge=0, lt=10**18, description="Only events with a greater number.")] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Response:
    """What happened to a job, in order, numbered from 1 without a gap."""
    async with database.connection() as connection:
        row = await service.get_own(connection, user.id, job_id)
        found = await queries.events(connection, job_id, after=min(after, 2**31 - 1), limit=limit)
    items = b",".join(event.flat() for event in found)
    return Response(b'{"items":[%s],"last_seq":%d}' % (items, row["last_seq"]), media_type="application/json")


async def _read_own(database: Database, owner_id: UUID, job_id: UUID) -> Any:
    async with database.connection() as connection:
        return await service.get_own(connection, owner_id, job_id, inline_rows=MAX_INLINE_ROWS)


def _json(content: object, *, status_code: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(
        views.encode(content), status_code=status_code, headers=headers, media_type="application/json"
    )


def _metadata_filter(request: Request) -> dict[str, str] | None:
    pairs = {
        name.removeprefix("metadata."): value
        for name, value in request.query_params.items()
        if name.startswith("metadata.")
    }
    return pairs or None


def _result_place(cursor: str | None) -> tuple[int, int]:
    """The batch, and the row within it, at which a page of results starts."""
    if cursor is None:
        return 0, 0
    batch, _, row = cursor.partition(".")
    if not (batch.isdecimal() and row.isdecimal() and len(cursor) <= 18):
        raise InvalidCursor
    return int(batch), int(row)


async def _result_page(
    database: Database, job_id: UUID, place: tuple[int, int], limit: int, *, is_whole: bool
) -> Response:
    """The rows from a place on. While more may come there is always a place to go on from."""
    index, skip = place
    items: list[bytes] = []
    next_place: tuple[int, int] | None = None if is_whole else place
    async for batch in queries.all_batches(database, job_id, from_index=index):
        first = skip if batch["index"] == index else 0
        rows = list(views.result_rows(batch, skip=first))
        room = limit - len(items)
        items += rows[:room]
        if len(rows) > room:
            next_place = batch["index"], first + room
            break
        next_place = None if is_whole else (batch["index"] + 1, 0)
    cursor = None if next_place is None else f"{next_place[0]}.{next_place[1]}"
    return Response(
        b'{"items":[%s],"next_cursor":%s}' % (b",".join(items), views.encode(cursor)),
        media_type="application/json",
    )


async def _ndjson(database: Database, job_id: UUID) -> AsyncIterator[bytes]:
    async for batch in queries.all_batches(database, job_id):
        yield b"".join(row + b"\n" for row in views.result_rows(batch))


async def _csv(database: Database, job_id: UUID) -> AsyncIterator[bytes]:
    columns: list[str] = []
    async for batch in queries.all_batches(database, job_id):
        yield views.csv_rows(batch, columns)
