"""Routes of jobs: list, read, cancel, retry, events. `creation` has `POST /jobs/<kind>`."""

from dataclasses import replace
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response, status

from app.auth import owners
from app.auth.actors import actor_of
from app.auth.deps import JobsReader, JobsWriter
from app.auth.errors import UserNotFound
from app.auth.owners import OwnerQuery
from app.core import paging
from app.core.errors import InvalidCursor
from app.http import problems
from app.http.deps import DatabaseDep, ResourcesDep, SessionDep
from app.http.direct import DirectRoute
from app.http.routing import BoundedRoute
from app.jobs import explanations, queries, service, views
from app.jobs.deps import JobFilterDep, JobTimesDep, QuotaDep, ReaderDep, WatcherDep
from app.jobs.errors import (
    InputGone,
    IsAShard,
    JobAlreadyFinished,
    JobNotFound,
    JobNotRetryable,
    NotYourJob,
    ResultsExpired,
    TooManyActiveJobs,
)
from app.jobs.explanations import ClaimConditions
from app.jobs.schemas import (
    CancelAnswer,
    EventPage,
    Explanation,
    Include,
    JobCounts,
    JobDetails,
    JobPage,
    JobView,
    ListView,
    RetryRequest,
)
from app.jobs.shards import explanations as shard_explanations
from app.jobs.shards import queries as shards
from app.jobs.states import Status
from app.jobs.unit_of_work import unit_of_work
from app.quotas import queries as quotas
from app.quotas.values import OwnQuotas

_EXAMPLE_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"
_EXAMPLE_PARENT_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8e"
_OWN = (JobNotFound(job_id=_EXAMPLE_ID), NotYourJob(job_id=_EXAMPLE_ID))
_SUBMITTED = (*_OWN, IsAShard(job_id=_EXAMPLE_ID, parent_id=_EXAMPLE_PARENT_ID))

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


async def get_job(
    job_id: UUID,
    user: JobsReader,
    database: DatabaseDep,
    reader: ReaderDep,
    watcher: WatcherDep,
    wait: Annotated[float, Query(ge=0, le=60, description="Seconds to wait for the end of the job.")] = 0,
    include: Annotated[
        list[Include] | None,
        Query(max_length=10, description="`attempts` adds the attempts that have ended, and their `usage`."),
    ] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Get the state of a job. With `wait`, responds when the job ends, or after that many seconds.

    The attempts of a job with shards are those of its shards: the last 1000, the newest first.
    """
    job = await reader.read_own(user.reach, job_id)
    if wait and not job.has_ended:
        await watcher.wait_for_end(job.owner_id, job_id, after=job.last_seq, timeout_seconds=wait)
        job = await reader.read_own(user.reach, job_id)
    # Weak: the estimate changes with the clock, the rest only with an event, by pruning or by dismissal.
    etag = f'W/"{job.last_seq}{"p" if job.is_pruned else ""}{"d" if job.dismissed_at is not None else ""}"'
    if if_none_match is not None and etag in (tag.strip() for tag in if_none_match.split(",")):
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers={"ETag": etag})
    details: dict[str, object] = {
        **views.job(job),
        "params": job.params,
        "dismissed": views.dismissal(job),
    }
    if Include.ATTEMPTS in (include or ()):
        async with database.connection() as connection:
            if job.shards is None:
                attempts = await queries.attempts(connection, job_id)
                details["usage"] = views.usage(attempts)
            else:
                attempts = await shards.attempts(connection, job_id)
                details["usage"] = await shards.usage(connection, job_id)
        details["attempts"] = [views.attempt(tried, with_traceback=user.is_admin) for tried in attempts]
    return views.respond(details, headers={"ETag": etag})


router.add_api_route(
    "/{job_id}",
    get_job,
    route_class_override=DirectRoute,
    operation_id="getJob",
    summary="Get a job",
    response_model=JobDetails,
    responses={
        **problems.responses(*_OWN),
        304: {"description": "The job has not changed since `If-None-Match`"},
    },
)


_CANCEL_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    **problems.responses(*_SUBMITTED, JobAlreadyFinished(status="completed")),
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
    reader: ReaderDep,
    watcher: WatcherDep,
    times: JobTimesDep,
) -> Response:
    """Cancel a job and keep its committed results. 200 means that it has stopped, 202 that it is stopping."""
    connections = resources.database.connection()
    async with unit_of_work(resources.hints, connections, failpoint="cancel") as unit:
        await service.cancel(unit, user.reach, job_id, by=actor_of(request, user))
    job = await reader.read_own(user.reach, job_id)
    if not job.has_ended:
        await watcher.wait_for_end(
            job.owner_id, job_id, after=job.last_seq, timeout_seconds=times.cancel_seconds
        )
        job = await reader.read_own(user.reach, job_id)
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
        *_SUBMITTED,
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
    reader: ReaderDep,
    body: RetryRequest | None = None,
) -> Response:
    """Resume after the last committed batch, or start over with `from_start`. The attempt count is reset."""
    from_start = body is not None and body.from_start
    owner_id = user.id
    if user.sees_everything:  # the quota is that of the job's owner
        owner_id = (await reader.read_own(None, job_id)).owner_id
    admitted = quota.admit_retries(owner_id, [job_id], from_start=from_start)
    async with unit_of_work(resources.hints, admitted) as unit:
        await service.retry(unit, owner_id, job_id, from_start=from_start, by=actor_of(request, user))
    job = await reader.read_own(user.reach, job_id)
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
        conditions = ClaimConditions.from_settings(resources.settings, own, is_redis_up=resources.redis.is_up)
        explain = explanations.explain if job.shards is None else shard_explanations.explain
        return views.respond(await explain(connection, job, conditions))


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
