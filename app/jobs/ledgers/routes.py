"""The route of ledgers."""

from typing import Final
from uuid import UUID

from fastapi import APIRouter, Response

from app.auth.deps import JobsReader
from app.http import problems
from app.http.deps import DatabaseDep
from app.http.routing import BoundedRoute
from app.jobs import service, views
from app.jobs.errors import JobNotFound, NotYourJob, ResultsExpired
from app.jobs.ledgers import queries
from app.jobs.ledgers.ledger import ledger, of_shards
from app.jobs.ledgers.schemas import Ledger
from app.jobs.shards import queries as shards

_EXAMPLE_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"

router = APIRouter(route_class=BoundedRoute, prefix="/jobs", tags=["jobs"])


@router.get(
    "/{job_id}/ledger",
    operation_id="getJobLedger",
    summary="Get which attempt stored which batches",
    response_model=Ledger,
    responses=problems.responses(
        JobNotFound(job_id=_EXAMPLE_ID), NotYourJob(job_id=_EXAMPLE_ID), ResultsExpired(job_id=_EXAMPLE_ID)
    ),
)
async def get_job_ledger(job_id: UUID, user: JobsReader, database: DatabaseDep) -> Response:
    """Get the run of batches of each attempt. The second run shows where the job resumed, and so on.

    That of a job with shards has sums only: each shard has a ledger of its own.
    """
    async with database.connection() as connection:
        job = await service.get_own(connection, user.reach, job_id)
        if job.is_pruned:
            raise ResultsExpired(job_id=str(job_id))
        if job.shards is not None:
            return views.respond(of_shards(job, await shards.stored(connection, job_id)))
        runs = await queries.runs(connection, job_id)
    return views.respond(ledger(job, runs))
