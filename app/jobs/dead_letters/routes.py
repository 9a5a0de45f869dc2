"""Routes of dead letters."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Response, status

from app.auth.deps import JobsReader, JobsWriter
from app.core import paging
from app.core.errors import InvalidCursor
from app.http import problems
from app.http.deps import DatabaseDep, ResourcesDep
from app.http.routing import BoundedRoute
from app.jobs import views
from app.jobs.dead_letters import queries, service
from app.jobs.dead_letters.schemas import Handled, Selection
from app.jobs.deps import QuotaDep
from app.jobs.errors import DeadLetterNotFound, InputGone, JobNotRetryable, ResultsExpired, TooManyActiveJobs
from app.jobs.schemas import JobPage
from app.jobs.unit_of_work import unit_of_work

_UNKNOWN: Final = DeadLetterNotFound(job_id="019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d")

_TOO_MANY: Final = TooManyActiveJobs(active=10, limit=10)

router = APIRouter(route_class=BoundedRoute, prefix="/dead-letters", tags=["dead letters"])


@router.get(
    "",
    operation_id="listDeadLetters",
    summary="List your dead letters",
    response_model=JobPage,
    responses=problems.responses(InvalidCursor),
)
async def list_dead_letters(
    user: JobsReader,
    database: DatabaseDep,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the previous page.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Response:
    """List your failed jobs, newest first, except those that you have retried or dismissed."""
    before = None if cursor is None else paging.decode_cursor(cursor)
    async with database.connection() as connection:
        page = await queries.page(connection, user.id, before=before, limit=limit)
    return views.respond(views.job_page(page))


@router.post(
    "/retry",
    operation_id="retryDeadLetters",
    summary="Retry several dead letters",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=Handled,
    responses=problems.responses(_TOO_MANY),
)
async def retry_dead_letters(
    body: Selection, user: JobsWriter, resources: ResourcesDep, quota: QuotaDep
) -> Response:
    """Each job resumes after its last committed batch. Its attempt count is reset."""
    wanted = None if body.all else body.job_ids
    async with resources.database.connection() as connection:
        letters = await service.retryable(connection, user.id, wanted)
    retried: list[UUID] = []
    if letters:
        async with unit_of_work(resources.hints, quota.admit(user.id, len(letters))) as unit:
            retried = await service.retry(unit, letters)
    return views.respond(Handled(job_ids=retried), status_code=status.HTTP_202_ACCEPTED)


@router.post(
    "/dismiss",
    operation_id="dismissDeadLetters",
    summary="Dismiss several dead letters",
    response_model=Handled,
)
async def dismiss_dead_letters(body: Selection, user: JobsWriter, database: DatabaseDep) -> Response:
    """The jobs remain failed jobs, but are no longer dead letters."""
    async with database.connection() as connection:
        dismissed = await service.dismiss(connection, user.id, None if body.all else body.job_ids)
    return views.respond(Handled(job_ids=dismissed))


@router.post(
    "/{job_id}/retry",
    operation_id="retryDeadLetter",
    summary="Retry a dead letter",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=Handled,
    responses=problems.responses(
        _UNKNOWN,
        JobNotRetryable(status="pending"),
        ResultsExpired(job_id=_UNKNOWN.facts["job_id"]),
        InputGone(job_id=_UNKNOWN.facts["job_id"]),
        _TOO_MANY,
    ),
)
async def retry_dead_letter(
    job_id: UUID, user: JobsWriter, resources: ResourcesDep, quota: QuotaDep
) -> Response:
    """The job resumes after its last committed batch. Its attempt count is reset."""
    async with unit_of_work(resources.hints, quota.admit(user.id)) as unit:
        await service.retry_one(unit, user.id, job_id)
    return views.respond(Handled(job_ids=[job_id]), status_code=status.HTTP_202_ACCEPTED)


@router.delete(
    "/{job_id}",
    operation_id="dismissDeadLetter",
    summary="Dismiss a dead letter",
    response_model=Handled,
    responses=problems.responses(_UNKNOWN),
)
async def dismiss_dead_letter(job_id: UUID, user: JobsWriter, database: DatabaseDep) -> Response:
    """The job remains a failed job, but is no longer a dead letter."""
    async with database.connection() as connection:
        dismissed = service.only(await service.dismiss(connection, user.id, [job_id]), job_id)
    return views.respond(Handled(job_ids=[dismissed]))
