"""Routes of dead letters."""

from collections.abc import Sequence
from typing import Annotated, Any, Final
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Depends, Query, Request, Response, status

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
from app.http.body import CleanStr
from app.http.deps import DatabaseDep, ResourcesDep
from app.http.routing import BoundedRoute
from app.jobs import views
from app.jobs.dead_letters import queries, service
from app.jobs.dead_letters.filters import LetterFilter
from app.jobs.dead_letters.queries import DeadLetter, LetterCount
from app.jobs.dead_letters.schemas import (
    DismissSelection,
    Handled,
    LetterGroupView,
    LetterPreview,
    LetterSummary,
    Selection,
)
from app.jobs.dead_letters.service import Selected
from app.jobs.deps import QuotaDep
from app.jobs.errors import DeadLetterNotFound, InputGone, JobNotRetryable, ResultsExpired, TooManyActiveJobs
from app.jobs.queries import COUNT_LIMIT
from app.jobs.schemas import JobPage
from app.jobs.unit_of_work import unit_of_work

_UNKNOWN: Final = DeadLetterNotFound(job_id="019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d")

_TOO_MANY: Final = TooManyActiveJobs(active=10, limit=10)

_PREVIEW: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": LetterPreview, "description": "With `dry_run`: how many jobs the filter selects"}
}


def _filter(
    code: Annotated[CleanStr | None, Query(description="Code of the error.")] = None,
    kind: Annotated[CleanStr | None, Query(description="Kind of the job.")] = None,
    model: Annotated[
        CleanStr | None,
        Query(
            description="`name@version`, or the name alone. Empty: jobs that use no version of a model.",
            examples=["sentiment@3"],
        ),
    ] = None,
    queue: Annotated[CleanStr | None, Query(description="Queue of the job.")] = None,
) -> LetterFilter:
    return LetterFilter(code=code, kind=kind, model=model, queue=queue)


LetterFilterDep = Annotated[LetterFilter, Depends(_filter)]

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
    wanted: LetterFilterDep,
    owner: OwnerQuery = None,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the previous page.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Response:
    """List your failed jobs, newest first, except those that you have retried or dismissed.

    With a filter, a page looks at 5000 of them, and may have few jobs or none though later ones match: go on
    until `next_cursor` is null.

    Operators list the dead letters of other users with `owner`.
    """
    before = None if cursor is None else paging.decode_cursor(cursor)
    owner_id = await owners.find(database, user, owner)
    async with database.connection() as connection:
        page = await queries.page(connection, owner_id, wanted, before=before, limit=limit)
    body = JobPage(
        items=[views.job(found) for found in page.items],
        next_cursor=None if page.next_before is None else paging.encode_cursor(page.next_before),
    )
    return views.respond(body)


@router.get(
    "/summary",
    operation_id="summarizeDeadLetters",
    summary="Count your dead letters by error, kind and model",
    response_model=LetterSummary,
    responses=problems.responses(UserNotFound(user="ada")),
)
async def summarize_dead_letters(
    user: JobsReader, database: DatabaseDep, wanted: LetterFilterDep, owner: OwnerQuery = None
) -> Response:
    """Count your dead letters by what they have in common. The filters are those of the list.

    Operators count the dead letters of other users with `owner`.
    """
    owner_id = await owners.find(database, user, owner)
    async with database.connection() as connection:
        groups = await queries.summary(connection, owner_id, wanted)
    items = [
        LetterGroupView(
            code=group.code, kind=group.kind, model=group.model, count=group.count, newest_at=group.newest_at
        )
        for group in groups
    ]
    return views.respond(LetterSummary(items=items))


@router.post(
    "/retry",
    operation_id="retryDeadLetters",
    summary="Retry several dead letters",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=Handled,
    responses={**_PREVIEW, **problems.responses(InvalidCursor, _TOO_MANY, UserNotFound(user="ada"))},
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

    `all` and `filter` mean yours; operators name another `owner`. With `dry_run`, only counts the jobs.
    """
    owner_id = await _owner(resources.database, user, body, owner)
    selected = _selected(body)
    async with resources.database.connection() as connection:
        if body.dry_run:
            counted = await _count(connection, owner_id, selected)
            return views.respond(LetterPreview(matched=counted.letters, eligible=counted.retryable))
        letters = await service.find(connection, owner_id, selected, only_retryable=True)
    retried: list[UUID] = []
    for one_owner, of_owner in service.by_owner(letters).items():
        admitted = quota.admit_retries(one_owner, [letter.job_id for letter in of_owner])
        async with unit_of_work(resources.hints, admitted) as unit:
            retried += await service.retry(unit, of_owner, by=actor_of(request, user))
    return views.respond(_handled(body, letters, retried), status_code=status.HTTP_202_ACCEPTED)


@router.post(
    "/dismiss",
    operation_id="dismissDeadLetters",
    summary="Dismiss several dead letters",
    response_model=Handled | LetterPreview,
    responses=problems.responses(InvalidCursor, UserNotFound(user="ada")),
)
async def dismiss_dead_letters(
    body: DismissSelection,
    request: Request,
    user: JobsWriter,
    database: DatabaseDep,
    owner: OwnerQuery = None,
) -> Response:
    """The jobs remain failed jobs, but are no longer dead letters.

    `all` and `filter` mean yours; operators name another `owner`. With `dry_run`, only counts the jobs.
    """
    owner_id = await _owner(database, user, body, owner)
    selected = _selected(body)
    async with database.transaction() as connection:
        if body.dry_run:
            counted = await _count(connection, owner_id, selected)
            return views.respond(LetterPreview(matched=counted.letters, eligible=counted.letters))
        letters = await service.find(connection, owner_id, selected)
        dismissed = await service.dismiss(connection, letters, by=actor_of(request, user), reason=body.reason)
    return views.respond(_handled(body, letters, dismissed))


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
    async with unit_of_work(resources.hints, quota.admit_retries(owner_id, [job_id])) as unit:
        await service.retry_one(unit, owner_id, job_id, by=actor_of(request, user))
    handled = Handled(job_ids=[job_id], skipped=0, next_cursor=None)
    return views.respond(handled, status_code=status.HTTP_202_ACCEPTED)


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
        letters = await service.find(connection, user.reach, Selected(job_ids=[job_id]))
        found = await service.dismiss(connection, letters, by=actor_of(request, user))
        dismissed = service.only(found, job_id)
    return views.respond(Handled(job_ids=[dismissed], skipped=0, next_cursor=None))


async def _owner(database: Database, user: Identity, selection: Selection, owner: str | None) -> UUID | None:
    """Return the owner of the selected dead letters, None for any. Raises PermissionDenied, UserNotFound."""
    if owner is None and selection.job_ids:
        return user.reach  # an operator may name any job
    return await owners.find(database, user, owner)


def _selected(body: Selection) -> Selected:
    """Return the selection as the service takes it. Raises InvalidCursor."""
    if body.filter is None:
        return Selected(job_ids=None if body.all else body.job_ids)
    after = None if body.cursor is None else paging.decode_cursor(body.cursor)
    return Selected(wanted=body.filter.to_filter(), after=after, limit=body.limit)


async def _count(connection: asyncpg.Connection, owner_id: UUID | None, selected: Selected) -> LetterCount:
    return await queries.matched(connection, owner_id, selected.wanted, limit=COUNT_LIMIT)


def _handled(body: Selection, letters: Sequence[DeadLetter], changed: list[UUID]) -> Handled:
    """Return what became of the selected letters. A filter may select more if it has filled its limit."""
    has_more = body.filter is not None and len(letters) == body.limit
    asked = len(set(body.job_ids)) if body.job_ids else len(letters)
    return Handled(
        job_ids=changed,
        skipped=asked - len(changed),
        next_cursor=paging.encode_cursor(letters[-1].job_id) if has_more else None,
    )
