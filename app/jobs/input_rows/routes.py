"""The route of input rows."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Response

from app.auth.deps import JobsReader
from app.auth.permissions import Permission
from app.core.errors import FileMissing, StorageUnavailable
from app.http import problems
from app.http.deps import ResourcesDep
from app.http.routing import BoundedRoute
from app.jobs import service as jobs
from app.jobs import views
from app.jobs.errors import InputDeleted, JobNotFound, NoInput, NotYourJob, ResultsExpired
from app.jobs.input_rows import service
from app.jobs.input_rows.schemas import InputPage

MAX_ROWS: Final = 100
_EXAMPLE_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"

router = APIRouter(route_class=BoundedRoute, prefix="/jobs", tags=["jobs"])


@router.get(
    "/{job_id}/input",
    operation_id="getJobInput",
    summary="Get the input rows of a job",
    response_model=InputPage,
    responses=problems.responses(
        JobNotFound(job_id=_EXAMPLE_ID),
        NotYourJob(job_id=_EXAMPLE_ID),
        InputDeleted(job_id=_EXAMPLE_ID),
        ResultsExpired(job_id=_EXAMPLE_ID),
        NoInput(kind="inspect_model"),
        FileMissing(key=f"datasets/{_EXAMPLE_ID}/rows.parquet"),
        StorageUnavailable,
    ),
)
async def get_job_input(
    job_id: UUID,
    user: JobsReader,
    resources: ResourcesDep,
    first_row: Annotated[int, Query(ge=0, lt=10**15, description="Number of the first row.")] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_ROWS)] = 20,
) -> Response:
    """Get rows that were submitted with the job, or those of its dataset. A page ends early at 1 MiB.

    The rows of a shard are those of its job. Rows of a dataset also need `datasets:read`.
    """
    async with resources.database.connection() as connection:
        job = await jobs.get_own(connection, user.reach, job_id)
        job = await jobs.with_input(connection, job)
    if job.dataset_id is not None:
        user.ensure(Permission.DATASETS_READ)
    return views.respond(await service.page(resources, job, first_row, limit))
