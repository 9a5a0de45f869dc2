"""Routes of jobs: list, read, cancel, retry, results, events. `creation` has `POST /jobs/<kind>`."""

import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response, status

from app.auth import owners
from app.auth.actors import actor_of
from app.auth.deps import JobsReader, JobsWriter
from app.auth.errors import UserNotFound
from app.auth.owners import OwnerQuery
from app.core import paging
from app.core.database import Database
from app.core.errors import FileMissing, InvalidCursor, StorageUnavailable
from app.core.resources import Resources
from app.http import problems
from app.http.accept import choose
from app.http.deps import DatabaseDep, ResourcesDep, SessionDep
from app.http.routing import BoundedRoute
from app.jobs import explanations, queries, results, service, views
from app.jobs.deps import JobFilterDep, JobTimesDep, KindsDep, QuotaDep, WatcherDep
from app.jobs.errors import (
    DatasetDeleted,
    InputGone,
    JobAlreadyFinished,
    JobNotFound,
    JobNotRetryable,
    NoInputRows,
    NotAcceptable,
    NotYourJob,
    ResultsExpired,
    TooManyActiveJobs,
)
from app.jobs.exports import inputs, responses
from app.jobs.exports.inputs import JobInput
from app.jobs.exports.responses import CSV, NDJSON, PARQUET
from app.jobs.job import Job
from app.jobs.results import ResultBatch
from app.jobs.schemas import (
    CancelAnswer,
    EventPage,
    Explanation,
    Include,
    IncludeInResults,
    JobCounts,
    JobDetails,
    JobPage,
    JobView,
    ListView,
    ResultPage,
    RetryRequest,
)
from app.jobs.states import Status
from app.jobs.unit_of_work import unit_of_work
from app.quotas import queries as quotas
from app.quotas.values import OwnQuotas, Quotas

MAX_INLINE_RESULTS: Final = 1000
"""A completed job includes its predictions if they are at most this many rows, and 1 MiB."""

JSON: Final = "application/json"
_FORMATS: Final = (JSON, NDJSON, CSV, PARQUET)
# Numbers of at most nine digits fit into the column.
_POSITION: Final = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})")
_EXAMPLE_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"
_OWN = (JobNotFound(job_id=_EXAMPLE_ID), NotYourJob(job_id=_EXAMPLE_ID))

router = APIRouter(route_class=BoundedRoute, prefix="/jobs", tags=["jobs"])


@router.get(
    "",
    operation_id="listJobs",
    summary="List your jobs, newest first",
    response_model=JobPage,
    responses=problems.responses(InvalidCursor, UserNotFound(user="ada")),
)
async def list_jobs(
    user: JobsReader,
    session: SessionDep,
    database: DatabaseDep,
    wanted: JobFilterDep,
    statuses: Annotated[
        list[Status] | None,
        Query(alias="status", max_length=len(Status), description="Repeat it for several."),
    ] = None,
    view: Annotated[
        ListView, Query(description="`row` leaves out `result`, `metadata` and `links`.")
    ] = ListView.FULL,
    owner: OwnerQuery = None,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the previous page.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Response:
    """List your jobs, one page at a time. `metadata.KEY=value` selects jobs with that pair.

    Operators list the jobs of other users with `owner`.
    """
    before = None if cursor is None else paging.decode_cursor(cursor)
    owner_id = await owners.find(database, user, owner)
    wanted = replace(wanted, statuses=tuple(dict.fromkeys(statuses or ())))
    page = await queries.jobs(session, owner_id, wanted, before=before, limit=limit)
    return views.respond(views.job_page(page, view))


@router.get(
    "/counts",
    operation_id="countJobs",
    summary="Count your jobs by status",
    response_model=JobCounts,
    responses=problems.responses(UserNotFound(user="ada")),
)
async def count_jobs(
    user: JobsReader,
    session: SessionDep,
    database: DatabaseDep,
    wanted: JobFilterDep,
    owner: OwnerQuery = None,
) -> Response:
    """Count the jobs that the filters of the list select. A count that equals `cap` means at least as many.

    Operators count the jobs of other users with `owner`.
    """
    owner_id = await owners.find(database, user, owner)
    return views.respond(views.job_counts(await queries.counts(session, owner_id, wanted)))


@router.get(
    "/{job_id}",
    operation_id="getJob",
    summary="Get a job",
    response_model=JobDetails,
    responses={
        **problems.responses(*_OWN),
        304: {"description": "The job has not changed since `If-None-Match`"},
    },
)
async def get_job(
    job_id: UUID,
    user: JobsReader,
    database: DatabaseDep,
    watcher: WatcherDep,
    wait: Annotated[float, Query(ge=0, le=60, description="Seconds to wait for the end of the job.")] = 0,
    include: Annotated[
        Include | None, Query(description="`attempts` adds the attempts that have ended, and their `usage`.")
    ] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Get the state of a job. With `wait`, responds when the job ends, or after that many seconds."""
    job = await _read_own(database, user.reach, job_id)
    if wait and not job.has_ended:
        await watcher.wait_for_end(job.owner_id, job_id, after=job.last_seq, timeout_seconds=wait)
        job = await _read_own(database, user.reach, job_id)
    # Weak: the estimate changes with the clock, the rest only with an event or by pruning.
    etag = f'W/"{job.last_seq}{"p" if job.is_pruned else ""}"'
    if if_none_match is not None and etag in (tag.strip() for tag in if_none_match.split(",")):
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers={"ETag": etag})
    details: dict[str, object] = {**views.job(job)}
    if include is Include.ATTEMPTS:
        async with database.connection() as connection:
            attempts = await queries.attempts(connection, job_id)
        details["attempts"] = [views.attempt(tried, with_traceback=user.is_admin) for tried in attempts]
        details["usage"] = views.usage(attempts)
    return views.respond(details, headers={"ETag": etag})


_CANCEL_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    **problems.responses(*_OWN, JobAlreadyFinished(status="completed")),
    202: {"model": CancelAnswer, "description": "The cancellation is requested; the job stops in a moment"},
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
    summary="Cancel a job (same as POST /jobs/{job_id}/cancel)",
    response_model=CancelAnswer,
    responses=_CANCEL_RESPONSES,
)
async def cancel_job(
    job_id: UUID,
    request: Request,
    user: JobsWriter,
    resources: ResourcesDep,
    watcher: WatcherDep,
    times: JobTimesDep,
) -> Response:
    """Cancel a job and keep its committed results. 200 means that it has stopped, 202 that it is stopping."""
    connections = resources.database.connection()
    async with unit_of_work(resources.hints, connections, failpoint="cancel") as unit:
        await service.cancel(unit, user.reach, job_id, by=actor_of(request, user))
    job = await _read_own(resources.database, user.reach, job_id)
    if not job.has_ended:
        await watcher.wait_for_end(
            job.owner_id, job_id, after=job.last_seq, timeout_seconds=times.cancel_seconds
        )
        job = await _read_own(resources.database, user.reach, job_id)
    if job.status is Status.CANCELLED:
        return views.respond(CancelAnswer(message="Job cancelled", job=views.job(job)))
    service.ensure_can_be_cancelled(job)
    return views.respond(
        CancelAnswer(message="Cancellation requested", job=views.job(job)),
        status_code=status.HTTP_202_ACCEPTED,
    )


@router.post(
    "/{job_id}/retry",
    operation_id="retryJob",
    summary="Retry a failed or cancelled job",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=JobView,
    responses=problems.responses(
        *_OWN,
        JobNotRetryable(status="running"),
        ResultsExpired(job_id=_EXAMPLE_ID),
        InputGone(job_id=_EXAMPLE_ID),
        TooManyActiveJobs(active=10, limit=10),
    ),
)
async def retry_job(
    job_id: UUID,
    request: Request,
    user: JobsWriter,
    resources: ResourcesDep,
    quota: QuotaDep,
    body: RetryRequest | None = None,
) -> Response:
    """Resume after the last committed batch, or start over with `from_start`. The attempt count is reset."""
    from_start = body is not None and body.from_start
    owner_id = user.id
    if user.sees_everything:  # the quota is that of the job's owner
        owner_id = (await _read_own(resources.database, None, job_id)).owner_id
    async with unit_of_work(resources.hints, quota.admit(owner_id)) as unit:
        await service.retry(unit, owner_id, job_id, from_start=from_start, by=actor_of(request, user))
    job = await _read_own(resources.database, user.reach, job_id)
    return views.respond(views.job(job), status_code=status.HTTP_202_ACCEPTED)


@router.get(
    "/{job_id}/explain",
    operation_id="explainJob",
    summary="Explain the state of a job",
    response_model=Explanation,
    responses=problems.responses(*_OWN),
)
async def explain_job(job_id: UUID, user: JobsReader, resources: ResourcesDep) -> Response:
    """Get the reason as a code and a sentence, the position in the queue, and the estimated start."""
    async with resources.database.connection() as connection:
        job = await service.get_own(connection, user.reach, job_id)
        own = await quotas.get(connection, job.owner_id) or OwnQuotas()
        settings = resources.settings
        explained = await explanations.explain(
            connection,
            job,
            lease_seconds=settings.lease_seconds,
            is_redis_up=resources.redis.is_up,
            max_running=own.over(Quotas.from_settings(settings)).max_running_jobs,
            max_running_of_others=settings.max_running_jobs_per_user,
            order=settings.claim_order,
        )
    return views.respond(explained)


@router.get(
    "/{job_id}/results",
    operation_id="getJobResults",
    summary="Get the results, in input order",
    response_model=ResultPage,
    responses={
        200: {"content": {NDJSON: {}, CSV: {}, PARQUET: {}}},
        **problems.responses(
            *_OWN,
            InvalidCursor,
            ResultsExpired(job_id=_EXAMPLE_ID),
            NotAcceptable(offered=list(_FORMATS)),
            NoInputRows(kind="train_model"),
            DatasetDeleted(job_id=_EXAMPLE_ID),
            FileMissing(key=f"datasets/{_EXAMPLE_ID}/rows.parquet"),
            StorageUnavailable,
        ),
    },
)
async def get_job_results(
    job_id: UUID,
    user: JobsReader,
    resources: ResourcesDep,
    kinds: KindsDep,
    accept: Annotated[
        str, Header(description=f"`{NDJSON}`, `{CSV}` and `{PARQUET}` return all results in one response.")
    ] = "",
    cursor: Annotated[str | None, Query(description="`next_cursor` of the previous page.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    include: Annotated[
        IncludeInResults | None,
        Query(description="`input` adds the input row to each result, with its columns as written."),
    ] = None,
) -> Response:
    """Get the results computed so far, also while the job runs and after it has failed or was cancelled."""
    async with resources.database.connection() as connection:
        job = await service.get_own(connection, user.reach, job_id)
    if job.is_pruned:
        raise ResultsExpired(job_id=str(job_id))
    wanted = choose(accept, _FORMATS)
    if wanted is None:
        raise NotAcceptable(offered=list(_FORMATS))
    job_input: JobInput | None = None
    if include is IncludeInResults.INPUT:
        job_input = await inputs.find(resources, job, kinds, as_cells=wanted == CSV)
    if wanted != JSON:
        return await responses.respond(resources, job, wanted, job_input)
    return await _result_page(resources, job, job_input, _result_position(cursor), limit)


@router.get(
    "/{job_id}/events",
    operation_id="getJobEvents",
    summary="Get the event log of a job",
    response_model=EventPage,
    responses=problems.responses(*_OWN),
)
async def get_job_events(
    job_id: UUID,
    user: JobsReader,
    database: DatabaseDep,
    after: Annotated[
        int, Query(ge=0, lt=10**18, description="Only events after the one with this number.")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Response:
    """Get the events of a job in order, numbered from 1 without gaps.

    A page ends early at 4 MiB. More events follow while the last event's number is less than `last_seq`.
    """
    async with database.connection() as connection:
        job = await service.get_own(connection, user.reach, job_id)
        found = await queries.events(connection, job_id, after=min(after, 2**31 - 1), limit=limit)
    items = b",".join(event.flat() for event in found.events)
    return Response(b'{"items":[%s],"last_seq":%d}' % (items, job.last_seq), media_type="application/json")


async def _read_own(database: Database, owner_id: UUID | None, job_id: UUID) -> Job:
    async with database.connection() as connection:
        return await service.get_own(connection, owner_id, job_id, inline_rows=MAX_INLINE_RESULTS)


def _result_position(cursor: str | None) -> tuple[int, int]:
    """Return the batch, and the row within it, at which a page of results starts."""
    if cursor is None:
        return 0, 0
    position = _POSITION.fullmatch(cursor)
    if position is None:
        raise InvalidCursor
    return int(position[1]), int(position[2])


async def _rows(pieces: AsyncIterator[ResultBatch]) -> AsyncIterator[tuple[tuple[int, int], bytes]]:
    """Yield the rows, each with its position: the batch, and the row within it."""
    async for piece in pieces:
        for row, line in enumerate(views.result_rows(piece), start=piece.first_in_batch):
            yield (piece.index, row), line


async def _result_page(
    resources: Resources, job: Job, job_input: JobInput | None, position: tuple[int, int], limit: int
) -> Response:
    """Return the rows from a position on, at most `limit`, and bounded in bytes.

    While more rows may follow, the page has a cursor.
    """
    is_whole = job.has_ended
    pieces = results.starting_at(
        results.read(resources.database, resources.storage, job.id, from_index=position[0]), *position
    )
    if job_input is not None:
        pieces = job_input.attach(pieces)
    items: list[bytes] = []
    left_bytes = paging.PAGE_BYTES
    next_position: tuple[int, int] | None = None if is_whole else position
    async with aclosing(pieces):
        async for found_position, row in _rows(pieces):
            left_bytes -= len(row)
            if items and (len(items) == limit or left_bytes < 0):
                next_position = found_position
                break
            items.append(row)
            next_position = None if is_whole else (found_position[0], found_position[1] + 1)
    cursor = None if next_position is None else f"{next_position[0]}.{next_position[1]}"
    return Response(
        b'{"items":[%s],"next_cursor":%s,"retrieved_at":%s}'
        % (b",".join(items), views.encode(cursor), views.encode(datetime.now(UTC))),
        media_type="application/json",
    )
