"""Routes of groups, and `POST /jobs/bulk`, which creates one."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response, status

from app.auth.actors import actor_of
from app.auth.deps import JobsReader, JobsWriter
from app.core.errors import DatabaseUnavailable
from app.http import problems
from app.http.deps import DatabaseDep, ResourcesDep
from app.http.offloading import offload
from app.http.routing import BoundedRoute
from app.jobs import limits, views
from app.jobs.deps import IdempotencyKey, QuotaDep, refuse_while_stopping, replay_responses
from app.jobs.errors import GroupNotFound, IdempotencyKeyReused, ProfilingOff, TooManyActiveJobs, TooManyJobs
from app.jobs.groups import creation, service
from app.jobs.groups.schemas import MAX_JOBS, GroupCancelled, GroupCreated, GroupView, bulk_request
from app.jobs.kinds.kind import Kind
from app.jobs.service import digest
from app.jobs.unit_of_work import unit_of_work

_UNKNOWN: Final = GroupNotFound(group_id="019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d")

router = APIRouter(route_class=BoundedRoute, prefix="/groups", tags=["groups"])


def bulk_router(kinds: Mapping[str, Kind]) -> APIRouter:
    """Return `POST /jobs/bulk`, for every kind that is not internal."""
    bulk = APIRouter(
        route_class=BoundedRoute,
        prefix="/jobs",
        tags=["groups"],
        dependencies=[Depends(refuse_while_stopping)],
    )
    bulk.add_api_route(
        "/bulk",
        _bulk_endpoint(kinds),
        methods=["POST"],
        operation_id="createJobs",
        summary="Create many jobs at once",
        status_code=status.HTTP_202_ACCEPTED,
        response_model=GroupCreated,
        responses={
            **replay_responses(GroupCreated),
            **problems.responses(
                TooManyJobs(limit=MAX_JOBS, got=1001),
                *(error for kind in kinds.values() if not kind.is_internal for error in kind.errors),
                IdempotencyKeyReused,
                ProfilingOff(field="profile"),
                TooManyActiveJobs(active=10, limit=10),
                DatabaseUnavailable,
            ),
        },
    )
    return bulk


def _bulk_endpoint(kinds: Mapping[str, Kind]) -> Callable[..., Awaitable[Response]]:
    async def create_jobs(
        body: Any, user: JobsWriter, resources: ResourcesDep, quota: QuotaDep, key: IdempotencyKey = None
    ) -> Response:
        """Create up to 1000 jobs in one transaction: all of them, or none. They form a group."""
        limits.ensure_allowed(resources.settings, user, body.jobs)
        return await creation.create(
            resources,
            quota,
            user.id,
            [(kinds[job.kind], job) for job in body.jobs],
            key=key,
            digest=await offload(digest, "bulk", body),
            message=f"{len(body.jobs)} jobs created successfully",
            member="jobs",
        )

    # FastAPI reads the type of the body from the annotation; it depends on the kinds.
    create_jobs.__annotations__["body"] = bulk_request(kinds)
    return create_jobs


@router.get(
    "/{group_id}",
    operation_id="getGroup",
    summary="Get the progress of a group",
    response_model=GroupView,
    responses=problems.responses(_UNKNOWN),
)
async def get_group(group_id: UUID, user: JobsReader, database: DatabaseDep) -> Response:
    """Get how many jobs of a group have each status, and their mean progress."""
    async with database.connection() as connection:
        return views.respond(await service.get_own(connection, user.reach, group_id))


@router.delete(
    "/{group_id}",
    operation_id="cancelGroup",
    summary="Cancel all jobs of a group",
    response_model=GroupCancelled,
    responses=problems.responses(_UNKNOWN),
)
async def cancel_group(
    group_id: UUID, request: Request, user: JobsWriter, resources: ResourcesDep
) -> Response:
    """Cancel pending jobs at once and request the cancellation of running ones. Ended jobs do not change."""
    async with unit_of_work(resources.hints, resources.database.connection()) as unit:
        cancelled = await service.cancel(unit, user.reach, group_id, by=actor_of(request, user))
    return views.respond(
        GroupCancelled(
            message="Cancellation requested",
            cancelled=cancelled.at_once,
            cancel_requested=cancelled.requested,
        )
    )
