"""The route of logs."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Response

from app.auth.deps import JobsReader
from app.http import problems
from app.http.deps import DatabaseDep
from app.http.routing import BoundedRoute
from app.jobs import service, views
from app.jobs.errors import JobNotFound, NotYourJob, ResultsExpired
from app.jobs.logs import queries
from app.jobs.logs.levels import LogLevel
from app.jobs.logs.lines import StoredLine
from app.jobs.logs.queries import BEYOND, LogFilter
from app.jobs.logs.schemas import JobLog, LogLine

MAX_PAGE: Final = 1000
_EXAMPLE_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"

router = APIRouter(route_class=BoundedRoute, prefix="/jobs", tags=["jobs"])


@router.get(
    "/{job_id}/logs",
    operation_id="getJobLog",
    summary="Get the log lines of a job",
    response_model=JobLog,
    responses=problems.responses(
        JobNotFound(job_id=_EXAMPLE_ID), NotYourJob(job_id=_EXAMPLE_ID), ResultsExpired(job_id=_EXAMPLE_ID)
    ),
)
async def get_job_log(
    job_id: UUID,
    user: JobsReader,
    database: DatabaseDep,
    attempt: Annotated[
        int | None, Query(ge=1, lt=2**31, description="Only lines of this attempt; default: all.")
    ] = None,
    level: Annotated[
        LogLevel, Query(description="Only lines of this level and of more important ones.")
    ] = LogLevel.DEBUG,
    after: Annotated[
        int, Query(ge=0, lt=10**18, description="Only lines after the one with this number.")
    ] = 0,
    before: Annotated[
        int | None, Query(ge=1, lt=10**18, description="Only lines before the one with this number.")
    ] = None,
    newest: Annotated[
        bool, Query(description="The last `limit` lines instead of the first ones, in the same order.")
    ] = False,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
) -> Response:
    """Get what the handler has written, in order, up to about a second ago.

    The last 10 000 lines are kept, or 1 MiB of text if that is less, until the results expire. Of a job with
    shards, as much is kept of each shard; the lines of all come in the order of time.
    """
    wanted = LogFilter(after, BEYOND if before is None else before, attempt, level)
    async with database.connection() as connection:
        job = await service.get_own(connection, user.reach, job_id)
        if job.is_pruned:
            raise ResultsExpired(job_id=str(job_id))
        if job.shards is None:
            page = await queries.page(connection, job_id, wanted, limit=limit, is_last=newest)
        else:
            page = await queries.page_of_shards(
                connection, job_id, wanted, limit=limit, is_last=newest, is_complete=job.has_ended
            )
    return views.respond(JobLog(items=[_view(line) for line in page.lines], next_after=page.next_after))


def _view(line: StoredLine) -> LogLine:
    view = LogLine(line=line.number, attempt=line.attempt, at=line.at, level=line.level, text=line.text)
    if line.shard is not None:
        view["shard"] = line.shard
    return view
