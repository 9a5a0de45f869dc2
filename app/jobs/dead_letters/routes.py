"""Routes of dead letters."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response, status

from app.auth import owners
from app.auth.actors import actor_of
from app.auth.deps import JobsReader, JobsWriter
from app.auth.errors import UserNotFound
from app.auth.identities import Identity
from app.auth.owners import OwnerQuery
from app.core import paging
from app.core.database import Database
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
    responses=problems.responses(InvalidCursor, UserNotFound(user="ada")),
)
async def list_dead_letters(
    user: JobsReader,
    database: DatabaseDep,
    owner: OwnerQuery = None,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the previous page.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Response:
    """List your failed jobs, newest first, except those that you have retried or dismissed.

    Operators list the dead letters of other users with `owner`.
    """
    before = None if cursor is None else paging.decode_cursor(cursor)
    owner_id = await owners.find(database, user, owner)
    async with database.connection() as connection:
        page = await queries.page(connection, owner_id, before=before, limit=limit)
    return views.respond(views.job_page(page))


@router.post(
    "/retry",
    operation_id="retryDeadLetters",
    summary="Retry several dead letters",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=Handled,
    responses=problems.responses(_TOO_MANY, UserNotFound(user="ada")),
)
async def retry_dead_letters(
    body: Selection,
    request: Request,
    user: JobsWriter,
    resources: ResourcesDep,
    quota: QuotaDep,
    owner: OwnerQuery = None,
) -> Response:
    """Each job resumes after its last committed batch. Its attempt count is reset.

    `all` means all of yours; operators name another `owner`.
    """
    owner_id = await _owner(resources.database, user, body, owner)
    async with resources.database.connection() as connection:
        letters = await service.retryable(connection, owner_id, None if body.all else body.job_ids)
    retried: list[UUID] = []
    for one_owner, of_owner in service.by_owner(letters).items():
        async with unit_of_work(resources.hints, quota.admit(one_owner, len(of_owner))) as unit:
            retried += await service.retry(unit, of_owner, by=actor_of(request, user))
    return views.respond(Handled(job_ids=retried), status_code=status.HTTP_202_ACCEPTED)


@router.post(
    "/dismiss",
    operation_id="dismissDeadLetters",
    summary="Dismiss several dead letters",
    response_model=Handled,
    responses=problems.responses(UserNotFound(user="ada")),
)
async def dismiss_dead_letters(
    body: Selection, request: Request, user: JobsWriter, database: DatabaseDep, owner: OwnerQuery = None
) -> Response:
    """The jobs remain failed jobs, but are no longer dead letters.

    `all` means all of yours; operators name another `owner`.
    """
    owner_id = await _owner(database, user, body, owner)
    job_ids = None if body.all else body.job_ids
    async with database.transaction() as connection:
        dismissed = await service.dismiss(connection, owner_id, job_ids, by=actor_of(request, user))
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
    job_id: UUID, request: Request, user: JobsWriter, resources: ResourcesDep, quota: QuotaDep
) -> Response:
    """The job resumes after its last committed batch. Its attempt count is reset."""
    owner_id = user.id
    if user.sees_everything:  # the quota is that of the job's owner
        async with resources.database.connection() as connection:
            letter = service.only(await queries.dead_letters(connection, None, [job_id], 1), job_id)
        owner_id = letter.owner_id
    async with unit_of_work(resources.hints, quota.admit(owner_id)) as unit:
        await service.retry_one(unit, owner_id, job_id, by=actor_of(request, user))
    return views.respond(Handled(job_ids=[job_id]), status_code=status.HTTP_202_ACCEPTED)


@router.delete(
    "/{job_id}",
    operation_id="dismissDeadLetter",
    summary="Dismiss a dead letter",
    response_model=Handled,
    responses=problems.responses(_UNKNOWN),
)
async def dismiss_dead_letter(
    job_id: UUID, request: Request, user: JobsWriter, database: DatabaseDep
) -> Response:
    """The job remains a failed job, but is no longer a dead letter."""
    async with database.transaction() as connection:
        found = await service.dismiss(connection, user.reach, [job_id], by=actor_of(request, user))
        dismissed = service.only(found, job_id)
    return views.respond(Handled(job_ids=[dismissed]))


async def _owner(database: Database, user: Identity, selection: Selection, owner: str | None) -> UUID | None:
    """Return the owner of the selected dead letters, None for any. Raises PermissionDenied, UserNotFound."""
    if owner is None and not selection.all:
        return user.reach  # an operator may name any job
    return await owners.find(database, user, owner)
