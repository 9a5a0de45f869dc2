"""The route of bulk actions."""

from uuid import UUID

from fastapi import APIRouter, Request, Response

from app.audit.values import Actor
from app.auth import owners
from app.auth.actors import actor_of
from app.auth.deps import JobsWriter
from app.auth.errors import UserNotFound
from app.auth.owners import OwnerQuery
from app.core import paging
from app.core.errors import InvalidCursor
from app.core.resources import Resources
from app.http import problems
from app.http.deps import ResourcesDep
from app.http.routing import BoundedRoute
from app.jobs import queries as jobs
from app.jobs import views
from app.jobs.bulk_actions import queries, service
from app.jobs.bulk_actions.queries import Candidate
from app.jobs.bulk_actions.schemas import (
    BulkAction,
    BulkActionName,
    BulkFilter,
    BulkPreview,
    BulkResult,
)
from app.jobs.bulk_actions.service import Outcome
from app.jobs.deps import QuotaDep
from app.jobs.errors import TooManyActiveJobs
from app.jobs.quota import Quota

router = APIRouter(route_class=BoundedRoute, prefix="/jobs", tags=["jobs"])


@router.post(
    "/bulk-actions",
    operation_id="changeJobs",
    summary="Cancel or retry many jobs at once",
    response_model=BulkResult | BulkPreview,
    responses=problems.responses(
        InvalidCursor, TooManyActiveJobs(active=10, limit=10), UserNotFound(user="ada")
    ),
)
async def change_jobs(
    body: BulkAction,
    request: Request,
    user: JobsWriter,
    resources: ResourcesDep,
    quota: QuotaDep,
    owner: OwnerQuery = None,
) -> Response:
    """Cancel or retry up to 1000 jobs, by id or by filter. Jobs that need no change are skipped.

    With `dry_run`, only counts the jobs. Operators name another `owner` of the jobs that a filter selects.
    """
    by = actor_of(request, user)
    if body.filter is None:
        async with resources.database.connection() as connection:
            found = await queries.named(connection, body.job_ids)
        candidates, refused = service.split_by_reach(body.job_ids, found, user.reach)
        outcome = await _act(resources, quota, body.action, candidates, by)
        outcome.failed[:0] = refused
        return views.respond(_result(outcome, next_cursor=None))
    before = None if body.cursor is None else paging.decode_cursor(body.cursor)
    owner_id = await owners.find(resources.database, user, owner)
    if body.dry_run:
        return views.respond(await _preview(resources, owner_id, body.action, body.filter))
    candidates = await _select(resources, owner_id, body.action, body.filter, before=before, limit=body.limit)
    outcome = await _act(resources, quota, body.action, candidates, by)
    is_last = len(candidates) < body.limit
    return views.respond(
        _result(outcome, next_cursor=None if is_last else paging.encode_cursor(candidates[-1].job_id))
    )


async def _preview(
    resources: Resources, owner_id: UUID | None, action: BulkActionName, selection: BulkFilter
) -> BulkPreview:
    wanted = selection.to_filter()
    async with resources.database.session() as session:
        counts = await jobs.counts(session, owner_id, wanted)
    matched = {status: count for status, count in counts.items() if count}
    return BulkPreview(
        matched=matched, eligible=sum(matched.get(status, 0) for status in service.ELIGIBLE[action])
    )


async def _select(
    resources: Resources,
    owner_id: UUID | None,
    action: BulkActionName,
    selection: BulkFilter,
    *,
    before: UUID | None,
    limit: int,
) -> list[Candidate]:
    wanted = service.eligible(action, selection.to_filter())
    if wanted is None:
        return []
    async with resources.database.session() as session:
        return await queries.selected(session, owner_id, wanted, before=before, limit=limit)


async def _act(
    resources: Resources, quota: Quota, action: BulkActionName, candidates: list[Candidate], by: Actor
) -> Outcome:
    if action is BulkActionName.CANCEL:
        return await service.cancel(resources, candidates, by=by)
    from_start = action is BulkActionName.RETRY_FROM_START
    return await service.retry(resources, quota, candidates, from_start=from_start, by=by)


def _result(outcome: Outcome, *, next_cursor: str | None) -> BulkResult:
    return BulkResult(
        changed=outcome.changed, skipped=outcome.skipped, failed=outcome.failed, next_cursor=next_cursor
    )
