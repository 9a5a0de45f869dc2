"""The route of summaries."""

from typing import Final
from uuid import UUID

from fastapi import APIRouter, Response

from app.auth.deps import JobsReader
from app.core.errors import StorageUnavailable
from app.http import problems
from app.http.deps import ResourcesDep
from app.http.routing import BoundedRoute
from app.jobs import service as jobs
from app.jobs import views
from app.jobs.errors import JobNotEnded, JobNotFound, NotYourJob, ResultsExpired
from app.jobs.result_summaries import service
from app.jobs.result_summaries.schemas import ResultSummary

_EXAMPLE_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"

router = APIRouter(route_class=BoundedRoute, prefix="/jobs", tags=["jobs"])


@router.get(
    "/{job_id}/results/summary",
    operation_id="getJobResultSummary",
    summary="Count the results of a job by label",
    response_model=ResultSummary,
    responses=problems.responses(
        JobNotFound(job_id=_EXAMPLE_ID),
        NotYourJob(job_id=_EXAMPLE_ID),
        JobNotEnded(job_id=_EXAMPLE_ID),
        ResultsExpired(job_id=_EXAMPLE_ID),
        StorageUnavailable,
    ),
)
async def get_job_result_summary(job_id: UUID, user: JobsReader, resources: ResourcesDep) -> Response:
    """Count the rows of a job that has ended. The first request reads all results, which takes a while.

    The first 1000 labels are counted.
    """
    async with resources.database.connection() as connection:
        job = await jobs.get_own(connection, user.reach, job_id)
    service.ensure_complete(job)
    return views.respond(await service.get(resources, job))
