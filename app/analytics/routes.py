"""Routes of figures about jobs and workers."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Response

from app.analytics import overview, performance, queries, service, views
from app.analytics.deps import ScopeQuery, ThisProcessDep
from app.analytics.errors import HoursNotKept, UsersNeedAllScope
from app.analytics.facts import ALL_USERS
from app.analytics.ranges import By, OverviewRange, OwnerScope, TimeRange
from app.analytics.schemas import (
    ActiveTasks,
    Overview,
    StatsView,
    TaskAnalytics,
    TaskPerformance,
    TaskProgress,
)
from app.auth.deps import JobsReader
from app.core.errors import InvalidCursor
from app.http import problems
from app.http.deps import DatabaseDep, ResourcesDep
from app.http.routing import BoundedRoute
from app.jobs import active
from app.jobs import service as jobs
from app.jobs import views as job_views
from app.jobs.errors import JobNotFound, NotYourJob

_EXAMPLE_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"

router = APIRouter(route_class=BoundedRoute, tags=["analytics"])


@router.get(
    "/task-analytics",
    operation_id="getTaskAnalytics",
    summary="Get how your jobs have ended",
    response_model=TaskAnalytics,
)
async def get_task_analytics(
    user: JobsReader,
    database: DatabaseDep,
    process: ThisProcessDep,
    wanted: Annotated[TimeRange, Query(alias="range")] = TimeRange.DAY,
    scope: ScopeQuery = OwnerScope.OWN,
) -> Response:
    """Get how many jobs ended and how, how long they ran, and how many ran at once. Includes the last one.

    Ranges up to 24 hours begin on a whole hour, longer ones on a whole day (UTC).
    """
    owner_id = service.owner_of(user, scope)
    async with database.connection() as connection:
        found = await queries.statistics(connection, owner_id, wanted)
        waiting = await queries.waiting(connection, owner_id)
        peak = await queries.peak(connection, owner_id, found.since)
    return job_views.respond(
        views.task_analytics(
            scope, wanted, found, waiting=waiting, peak=peak, uptime_seconds=process.uptime_seconds
        )
    )


@router.get(
    "/task-performance",
    operation_id="getTaskPerformance",
    summary="Get the performance of the worker pool",
    response_model=TaskPerformance,
)
async def get_task_performance(
    user: JobsReader, resources: ResourcesDep, process: ThisProcessDep
) -> Response:
    """Get what the workers use, how many jobs end per second, and how many fail.

    Covers the jobs of all users, in numbers only.
    """
    lease = timedelta(seconds=resources.settings.lease_seconds)
    async with resources.database.connection() as connection:
        found = await performance.minutes(connection, ALL_USERS)
        fleet = await performance.fleet(connection, lease)
        queues = await performance.queues(connection)
    now = datetime.now(UTC)
    return job_views.respond(
        views.task_performance(found, fleet, queues, process.loops(now), process.machine.measure(), now)
    )


@router.get(
    "/stats",
    operation_id="getStats",
    summary="Get figures about jobs, in total and in groups",
    response_model=StatsView,
    responses=problems.responses(HoursNotKept, UsersNeedAllScope),
)
async def get_stats(
    user: JobsReader,
    database: DatabaseDep,
    wanted: Annotated[TimeRange, Query(alias="range")] = TimeRange.DAY,
    scope: ScopeQuery = OwnerScope.OWN,
    by: Annotated[By | None, Query(description="How to group the figures; `user` needs `scope=all`.")] = None,
) -> Response:
    """Get counts, durations, waiting times and costs, with the 50 largest groups and the others together.

    Groups by hour and day are the latest 50 in order of time.
    """
    owner_id = service.owner_of(user, scope)
    service.ensure_available(wanted, scope, by)
    async with database.connection() as connection:
        found = await queries.statistics(connection, owner_id, wanted, by)
    return job_views.respond(views.stats(scope, wanted, by, found))


@router.get(
    "/stats/overview",
    operation_id="getOverview",
    summary="Get an overview of your jobs",
    response_model=Overview,
)
async def get_overview(
    user: JobsReader,
    resources: ResourcesDep,
    wanted: Annotated[OverviewRange, Query(alias="range")] = OverviewRange.DAY,
    scope: ScopeQuery = OwnerScope.OWN,
) -> Response:
    """Get what waits, runs and has ended, in buckets of 1 minute, 15 minutes or 2 hours.

    The numbers of workers and slots are those of the whole system.
    """
    owner_id = service.owner_of(user, scope)
    lease = timedelta(seconds=resources.settings.lease_seconds)
    async with resources.database.connection() as connection:
        found = await overview.buckets(connection, owner_id, wanted)
        recent = await performance.minutes(connection, owner_id, count=performance.RECENT_MINUTES + 1)
        view = views.overview(
            scope,
            wanted,
            found,
            pending=await overview.pending(connection, owner_id),
            running=await overview.running(connection, owner_id),
            fleet=await performance.fleet(connection, lease),
            marks=await overview.marks(connection, owner_id, found.buckets[0].at),
            ended_per_second=recent.executed_per_second,
        )
    return job_views.respond(view, headers={"Cache-Control": "private, max-age=1"})


@router.get(
    "/active-tasks",
    operation_id="listActiveTasks",
    summary="List your running jobs, the latest start first",
    response_model=ActiveTasks,
    responses=problems.responses(InvalidCursor),
)
async def list_active_tasks(
    user: JobsReader,
    database: DatabaseDep,
    scope: ScopeQuery = OwnerScope.OWN,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the previous page.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Response:
    """List running jobs, one page at a time, each as `GET /jobs/{job_id}` shows it."""
    owner_id = None if service.owner_of(user, scope) == ALL_USERS else user.id
    before = None if cursor is None else active.decode(cursor)
    async with database.connection() as connection:
        page = await active.running(connection, owner_id, before=before, limit=limit)
        total = await active.count(connection, owner_id)
    return job_views.respond(
        ActiveTasks(
            active_tasks=[job_views.job(job) for job in page.items],
            total_count=total,
            next_cursor=page.next_cursor(active.encode),
        )
    )


@router.get(
    "/task-progress/{job_id}",
    operation_id="getTaskProgress",
    summary="Get how far a job is",
    response_model=TaskProgress,
    responses=problems.responses(JobNotFound(job_id=_EXAMPLE_ID), NotYourJob(job_id=_EXAMPLE_ID)),
)
async def get_task_progress(job_id: UUID, user: JobsReader, database: DatabaseDep) -> Response:
    """Get the progress of a job, with an estimate of when it completes."""
    async with database.connection() as connection:
        job = await jobs.get_own(connection, user.reach, job_id)
    return job_views.respond(views.task_progress(job))
