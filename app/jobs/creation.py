"""The routes that create jobs, one for each kind. `groups.routes` creates many at once."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Depends, Response, status

from app.auth.deps import JobsWriter
from app.core.errors import DatabaseUnavailable
from app.core.resources import Resources
from app.http import problems
from app.http.deps import ResourcesDep
from app.http.links import link
from app.http.offloading import offload
from app.http.routing import BoundedRoute
from app.jobs import limits, service, views
from app.jobs.deps import IdempotencyKey, QuotaDep, refuse_while_stopping, replay_responses
from app.jobs.errors import IdempotencyKeyReused, JobLimitExceeded, ProfilingOff, TooManyActiveJobs
from app.jobs.groups import creation as groups
from app.jobs.groups.schemas import GroupCreated
from app.jobs.kinds.kind import Kind, no_fan_out
from app.jobs.quota import Quota
from app.jobs.requests import JobOptions
from app.jobs.schemas import JobCreated
from app.jobs.service import Submitted
from app.jobs.unit_of_work import unit_of_work
from app.quotas.errors import QuotaExceeded


def creation_router(kinds: Mapping[str, Kind]) -> APIRouter:
    """Return `POST /jobs/<kind>` for every kind that is not internal."""
    router = APIRouter(
        route_class=BoundedRoute, prefix="/jobs", tags=["jobs"], dependencies=[Depends(refuse_while_stopping)]
    )
    for kind in kinds.values():
        if kind.is_internal:
            continue
        router.add_api_route(
            f"/{kind.path}",
            _endpoint(kind),
            methods=["POST"],
            operation_id=kind.operation_id,
            summary=kind.summary,
            status_code=status.HTTP_202_ACCEPTED,
            response_model=_created(kind),
            responses={
                **replay_responses(_created(kind)),
                **problems.responses(
                    *kind.errors,
                    IdempotencyKeyReused,
                    ProfilingOff(field="profile"),
                    TooManyActiveJobs(active=10, limit=10),
                    JobLimitExceeded(field="time_limit_seconds", limit=21_600, got=86_400),
                    QuotaExceeded(used=20 * 1024**3, limit=20 * 1024**3),
                    DatabaseUnavailable,
                ),
            },
            openapi_extra={"requestBody": {"content": {"application/json": {"examples": kind.examples}}}},
        )
    return router


def _created(kind: Kind) -> Any:
    return JobCreated if kind.fan_out is no_fan_out else JobCreated | GroupCreated


def _endpoint(kind: Kind) -> Callable[..., Awaitable[Response]]:
    async def create_job(
        body: Any, user: JobsWriter, resources: ResourcesDep, quota: QuotaDep, key: IdempotencyKey = None
    ) -> Response:
        """Create a job. It starts once a worker has a free slot; the response says where to follow it."""
        limits.ensure_allowed(resources.settings, user, [body])
        if (fan_out := await offload(kind.fan_out, body)) is not None:
            return await groups.create(
                resources,
                quota,
                user.id,
                [(kind, request) for request in fan_out.requests],
                key=key,
                digest=await offload(service.digest, kind.name, body),
                message=fan_out.message,
                search=fan_out.search,
                member=fan_out.member,
            )
        submitted = await submit(resources, quota, user.id, kind, body, key)
        retention_seconds = body.expires_in_seconds or resources.settings.result_retention_seconds
        return _created_response(kind, submitted, retention_seconds)

    # FastAPI reads the type of the body from the annotation; each kind has its own.
    create_job.__annotations__["body"] = kind.request
    return create_job


async def submit(
    resources: Resources, quota: Quota, owner_id: UUID, kind: Kind, body: JobOptions, key: str | None = None
) -> Submitted:
    """Create a job, or find the one that the same request with the same key created before."""
    try:
        async with unit_of_work(resources.hints, quota.admit(owner_id), failpoint="create") as unit:
            return await service.submit(unit, resources.settings, owner_id, kind, body, key)
    except TooManyActiveJobs:
        async with resources.database.connection() as connection:
            earlier = await service.find_earlier(connection, owner_id, kind, body, key)
        if earlier is None:
            raise
        return earlier


def _created_response(kind: Kind, submitted: Submitted, retention_seconds: int) -> Response:
    headers = {"Location": link(f"/jobs/{submitted.job_id}")}
    if submitted.is_replay:
        headers["Idempotent-Replayed"] = "true"
    return views.respond(
        views.job_created(
            submitted.job_id, submitted.status, kind.message, retention_seconds=retention_seconds
        ),
        status_code=status.HTTP_200_OK if submitted.is_replay else status.HTTP_202_ACCEPTED,
        headers=headers,
    )
