"""The route of shards."""

import re
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Response

from app.auth.deps import JobsReader
from app.core.errors import InvalidCursor
from app.http import problems
from app.http.deps import DatabaseDep
from app.http.routing import BoundedRoute
from app.jobs import service, views
from app.jobs.errors import JobNotFound, NotYourJob
from app.jobs.shards import queries
from app.jobs.shards.queries import ListedShard
from app.jobs.shards.schemas import ShardCounts, ShardPage, ShardView
from app.jobs.states import Status

_CURSOR: Final = re.compile("[0-9]{1,4}")
_EXAMPLE_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"

router = APIRouter(route_class=BoundedRoute, prefix="/jobs", tags=["jobs"])


@router.get(
    "/{job_id}/shards",
    operation_id="listJobShards",
    summary="List the shards of a job",
    response_model=ShardPage,
    responses=problems.responses(
        JobNotFound(job_id=_EXAMPLE_ID), NotYourJob(job_id=_EXAMPLE_ID), InvalidCursor
    ),
)
async def list_job_shards(
    job_id: UUID,
    user: JobsReader,
    database: DatabaseDep,
    status: Annotated[Status | None, Query(description="Only shards with this status.")] = None,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the previous page.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """List the shards of a job in the order of their rows: where each runs, and how far it is."""
    if cursor is not None and not _CURSOR.fullmatch(cursor):
        raise InvalidCursor
    async with database.connection() as connection:
        await service.get_own(connection, user.reach, job_id)
        counts = await queries.counts(connection, job_id)
        found = await queries.page(connection, job_id, status, first=int(cursor or 0), limit=limit + 1)
    return views.respond(
        ShardPage(
            counts=_counts(counts),
            items=[_view(shard) for shard in found[:limit]],
            next_cursor=str(found[limit].number) if len(found) > limit else None,
        )
    )


def _counts(counts: dict[Status, int]) -> ShardCounts:
    return ShardCounts(
        all=sum(counts.values()),
        pending=counts[Status.PENDING],
        running=counts[Status.RUNNING],
        completed=counts[Status.COMPLETED],
        failed=counts[Status.FAILED],
        cancelled=counts[Status.CANCELLED],
    )


def _view(shard: ListedShard) -> ShardView:
    return ShardView(
        shard=shard.number,
        job_id=shard.job_id,
        first_row=shard.first_row,
        rows=shard.rows,
        status=shard.status,
        done=shard.done,
        errors=shard.errors,
        attempt=shard.attempt,
        failures=shard.failures,
        worker=shard.worker,
        started_at=shard.attempt_started_at,
        error=shard.error,
    )
