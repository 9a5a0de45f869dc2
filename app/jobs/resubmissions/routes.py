"""The route of the request of a job."""

from typing import Final
from uuid import UUID

from fastapi import APIRouter, Response

from app.auth.deps import JobsReader
from app.http import problems
from app.http.deps import ResourcesDep
from app.http.routing import BoundedRoute
from app.jobs import service as jobs
from app.jobs import views
from app.jobs.deps import KindsDep
from app.jobs.errors import IsAShard, JobNotFound, NotYourJob, RequestNotRestored, ResultsExpired
from app.jobs.resubmissions import queries, service
from app.jobs.resubmissions.schemas import JobRequest

_EXAMPLE_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"
_EXAMPLE_PARENT_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8e"

router = APIRouter(route_class=BoundedRoute, prefix="/jobs", tags=["jobs"])


@router.get(
    "/{job_id}/request",
    operation_id="getJobRequest",
    summary="Get the request of a job",
    response_model=JobRequest,
    responses=problems.responses(
        JobNotFound(job_id=_EXAMPLE_ID),
        NotYourJob(job_id=_EXAMPLE_ID),
        IsAShard(job_id=_EXAMPLE_ID, parent_id=_EXAMPLE_PARENT_ID),
        RequestNotRestored(job_id=_EXAMPLE_ID, reason=service.NO_REQUEST),
        ResultsExpired(job_id=_EXAMPLE_ID),
    ),
)
async def get_job_request(
    job_id: UUID, user: JobsReader, resources: ResourcesDep, kinds: KindsDep
) -> Response:
    """Get the body that creates a job like this one, to change it and to send it again.

    It names the dataset and the model version that the job has used. The time of its start is left out.
    """
    async with resources.database.connection() as connection:
        job = await jobs.get_submitted(connection, user.reach, job_id)
        stored = await queries.stored_options(connection, job_id)
    if stored is None:
        raise JobNotFound(job_id=str(job_id))
    return views.respond(service.restore(resources.settings, kinds, job, stored))
