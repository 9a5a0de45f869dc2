"""The routes that create jobs, one for each kind. `groups.routes` creates many at once."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Response, status

from app.auth.deps import JobsWriter
from app.core.errors import DatabaseUnavailable
from app.http import problems
from app.http.deps import ResourcesDep
from app.http.direct import DirectRoute
from app.http.links import link
from app.http.offloading import offload
from app.jobs import limits, service, views
from app.jobs.deps import CreatorDep, IdempotencyKey, QuotaDep, refuse_while_stopping, replay_responses
from app.jobs.dry_runs import service as dry_runs
from app.jobs.dry_runs.schemas import DryRun
from app.jobs.errors import (
    IdempotencyKeyReused,
    JobLimitExceeded,
    JobNotFound,
    NotYourJob,
    ProfilingOff,
    TooManyActiveJobs,
)
from app.jobs.groups import creation as groups
from app.jobs.groups.schemas import GroupCreated
from app.jobs.kinds.kind import Kind, no_fan_out
from app.jobs.schemas import JobCreated
from app.jobs.service import Submitted
from app.quotas.errors import QuotaExceeded

_EXAMPLE_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"


def creation_router(kinds: Mapping[str, Kind]) -> APIRouter:
    """Return `POST /jobs/<kind>` for every kind that is not internal."""
    router = APIRouter(
        route_class=DirectRoute, prefix="/jobs", tags=["jobs"], dependencies=[Depends(refuse_while_stopping)]
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
                **_ok_responses(kind),
                **problems.responses(
                    *kind.errors,
                    IdempotencyKeyReused,
                    ProfilingOff(field="profile"),
                    JobNotFound(job_id=_EXAMPLE_ID),
                    NotYourJob(job_id=_EXAMPLE_ID),
                    TooManyActiveJobs(active=10, limit=10),
                    JobLimitExceeded(field="time_limit_seconds", limit=21_600, got=86_400),
                    QuotaExceeded(used=20 * 1024**3, limit=20 * 1024**3),
                    DatabaseUnavailable,
                ),
            },
            openapi_extra={"requestBody": {"content": {"application/json": {"examples": kind.examples}}}},
        )
    return router


def _ok_responses(kind: Kind) -> dict[int | str, dict[str, Any]]:
    """Return what the status 200 means: the response to a repeated idempotency key, or to a dry run."""
    [(status_code, replayed)] = replay_responses(_created(kind) | DryRun).items()
    return {status_code: {**replayed, "description": f"{replayed['description']}, or a dry run"}}


def _created(kind: Kind) -> Any:
    return JobCreated if kind.fan_out is no_fan_out else JobCreated | GroupCreated


def _endpoint(kind: Kind) -> Callable[..., Awaitable[Response]]:
    async def create_job(
        body: Any,
        user: JobsWriter,
        resources: ResourcesDep,
        quota: QuotaDep,
        creator: CreatorDep,
        dry_run: Annotated[
            bool, Query(description="Check the request and estimate when its job would start; store nothing.")
        ] = False,
        key: IdempotencyKey = None,
    ) -> Response:
        """Create a job. It starts once a worker has a free slot; the response says where to follow it."""
        limits.ensure_allowed(resources.settings, user, [body])
        fan_out = await offload(kind.fan_out, body)
        if dry_run:
            return views.respond(await dry_runs.dry_run(resources, quota, user.id, kind, body, fan_out))
        if fan_out is not None:
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
        submitted = await creator.submit(quota, user.id, kind, body, key)
        retention_seconds = body.expires_in_seconds or resources.settings.result_retention_seconds
        return _created_response(kind, submitted, retention_seconds)

    # FastAPI reads the type of the body from the annotation; each kind has its own.
    create_job.__annotations__["body"] = kind.request
    return create_job


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
