"""Routes below `/scheduler/api`, for clients that were written for fastscheduler.

They sign in as everywhere, and errors are problems with their real statuses.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from fastapi import APIRouter, Depends, Request, Response, status

from app.auth.actors import actor_of
from app.auth.deps import JobsReader, JobsWriter
from app.http import problems
from app.http.body import CleanStr
from app.http.deps import DatabaseDep, ResourcesDep
from app.http.links import link
from app.http.routing import BoundedRoute
from app.jobs.deps import QuotaDep, refuse_while_stopping
from app.jobs.errors import TooManyActiveJobs
from app.jobs.kinds.kind import Kind
from app.jobs.unit_of_work import unit_of_work
from app.jobs.views import respond
from app.schedules import group_service, queries, service
from app.schedules.compatibility.schemas import (
    OneSchedulerJob,
    SchedulerCancelled,
    SchedulerDone,
    SchedulerGroups,
    SchedulerJobCreated,
    SchedulerJobList,
    SchedulerJobRequest,
    SchedulerPaused,
    SchedulerRan,
    SchedulerResumed,
    SchedulerState,
    SchedulerStatistics,
)
from app.schedules.compatibility.translation import to_job, to_request
from app.schedules.deps import IsFiringDep, PlannerDep
from app.schedules.errors import (
    ArgumentsByPosition,
    FunctionNotRegistered,
    ScheduleBusy,
    ScheduleFinished,
    ScheduleGroupNotFound,
    ScheduleNotFound,
    ScheduleTimePassed,
)
from app.schedules.group_routes import GroupReference
from app.schedules.queries import ScheduleSummary
from app.schedules.routes import DEFINITION_ERRORS, ScheduleReference
from app.schedules.schemas import ScheduleRequest

_UNKNOWN: Final = ScheduleNotFound(schedule="batch-predict-7f3a9c01")
_UNKNOWN_GROUP: Final = ScheduleGroupNotFound(group="reports")

_PREFIX: Final = "/scheduler/api"
_TAG: Final = "scheduler compatibility"

router = APIRouter(route_class=BoundedRoute, prefix=_PREFIX, tags=[_TAG])


def creation_router(kinds: Mapping[str, Kind], request: type[ScheduleRequest]) -> APIRouter:
    """Return `POST /scheduler/api/jobs`, for every kind that is not internal."""
    creating = APIRouter(route_class=BoundedRoute, prefix=_PREFIX, tags=[_TAG])
    creating.add_api_route(
        "/jobs",
        _create_endpoint(kinds, request),
        methods=["POST"],
        operation_id="createSchedulerJob",
        summary="Create a schedule, in the terms of fastscheduler",
        status_code=status.HTTP_201_CREATED,
        response_model=SchedulerJobCreated,
        responses=problems.responses(
            FunctionNotRegistered(function="train", functions=["batch_predict", "train_model"]),
            ArgumentsByPosition,
            *DEFINITION_ERRORS,
        ),
    )
    return creating


def _create_endpoint(
    kinds: Mapping[str, Kind], request: type[ScheduleRequest]
) -> Callable[..., Awaitable[Response]]:
    async def create_scheduler_job(
        body: SchedulerJobRequest, user: JobsWriter, database: DatabaseDep, planner: PlannerDep
    ) -> Response:
        """Create a schedule. `POST /schedules` has all options."""
        translated = to_request(body, kinds, request)
        async with database.transaction() as connection:
            saved = await service.create(connection, planner, user, translated, None)
        schedule_id = str(saved.schedule.id)
        return respond(
            SchedulerJobCreated(success=True, message="Job created successfully", job_id=schedule_id),
            status_code=status.HTTP_201_CREATED,
            headers={"Location": link(f"/schedules/{schedule_id}")},
        )

    return create_scheduler_job


@router.get(
    "/jobs",
    operation_id="listSchedulerJobs",
    summary="List your schedules, in the terms of fastscheduler",
    response_model=SchedulerJobList,
)
async def list_scheduler_jobs(
    user: JobsReader, database: DatabaseDep, group: CleanStr | None = None
) -> Response:
    """List your schedules, the oldest first. `GET /schedules` has all members, and pages."""
    async with database.connection() as connection:
        found = await queries.summaries(connection, user.id, group=group)
    return respond(SchedulerJobList(jobs=[to_job(one) for one in found]))


@router.get(
    "/jobs/{schedule}",
    operation_id="getSchedulerJob",
    summary="Get a schedule, in the terms of fastscheduler",
    response_model=OneSchedulerJob,
    responses=problems.responses(_UNKNOWN),
)
async def get_scheduler_job(schedule: ScheduleReference, user: JobsReader, database: DatabaseDep) -> Response:
    """Get a schedule. `GET /schedules/{schedule}` has all members."""
    async with database.connection() as connection:
        found = await service.find(connection, user, schedule)
    return respond(OneSchedulerJob(job=to_job(ScheduleSummary.of(found))))


@router.post(
    "/jobs/{schedule}/pause",
    operation_id="pauseSchedulerJob",
    summary="Pause a schedule, in the terms of fastscheduler",
    response_model=SchedulerDone,
    responses=problems.responses(_UNKNOWN, ScheduleFinished),
)
async def pause_scheduler_job(
    schedule: ScheduleReference, user: JobsWriter, request: Request, database: DatabaseDep
) -> Response:
    """Pause a schedule."""
    async with database.transaction() as connection:
        paused = await service.pause(connection, user, schedule, by=actor_of(request, user))
    return respond(SchedulerDone(success=True, message=f"Job {paused.name} paused"))


@router.post(
    "/jobs/{schedule}/resume",
    operation_id="resumeSchedulerJob",
    summary="Resume a schedule, in the terms of fastscheduler",
    response_model=SchedulerDone,
    responses=problems.responses(
        _UNKNOWN, ScheduleFinished, ScheduleTimePassed(at="2027-03-01T09:00:00+00:00")
    ),
)
async def resume_scheduler_job(
    schedule: ScheduleReference, user: JobsWriter, request: Request, database: DatabaseDep
) -> Response:
    """Resume a schedule."""
    async with database.transaction() as connection:
        resumed = await service.resume(connection, user, schedule, by=actor_of(request, user))
    return respond(SchedulerDone(success=True, message=f"Job {resumed.name} resumed"))


@router.post(
    "/jobs/{schedule}/run",
    operation_id="runSchedulerJob",
    summary="Run a schedule now, in the terms of fastscheduler",
    response_model=SchedulerRan,
    responses=problems.responses(_UNKNOWN, ScheduleBusy, TooManyActiveJobs(active=10, limit=10)),
    dependencies=[Depends(refuse_while_stopping)],
)
async def run_scheduler_job(
    schedule: ScheduleReference,
    user: JobsWriter,
    request: Request,
    resources: ResourcesDep,
    planner: PlannerDep,
    quota: QuotaDep,
) -> Response:
    """Create a job of the schedule now. `run_job_id` is the job."""
    by = actor_of(request, user)
    async with unit_of_work(resources.hints, resources.database.transaction()) as unit:
        job_id = await service.run(unit, planner, quota, user, schedule, is_forced=False, by=by)
    return respond(SchedulerRan(success=True, message=f"Job {schedule} triggered", run_job_id=str(job_id)))


@router.delete(
    "/jobs/{schedule}",
    operation_id="deleteSchedulerJob",
    summary="Delete a schedule, in the terms of fastscheduler",
    response_model=SchedulerCancelled,
    responses=problems.responses(_UNKNOWN),
)
async def delete_scheduler_job(
    schedule: ScheduleReference, user: JobsWriter, request: Request, resources: ResourcesDep
) -> Response:
    """Delete a schedule. Its jobs stay."""
    by = actor_of(request, user)
    async with unit_of_work(resources.hints, resources.database.connection()) as unit:
        await service.delete(unit, user, schedule, cancels_jobs=False, by=by)
    return respond(SchedulerCancelled(success=True, message=f"Job {schedule} deleted", cancelled=1))


@router.get(
    "/groups",
    operation_id="listSchedulerGroups",
    summary="List the groups of your schedules, in the terms of fastscheduler",
    response_model=SchedulerGroups,
)
async def list_scheduler_groups(user: JobsReader, database: DatabaseDep) -> Response:
    """List the names of the groups of your schedules."""
    async with database.connection() as connection:
        found = await queries.groups(connection, user.id)
    return respond(SchedulerGroups(groups=[one.group for one in found]))


@router.post(
    "/groups/{group}/pause",
    operation_id="pauseSchedulerGroup",
    summary="Pause a group of schedules, in the terms of fastscheduler",
    response_model=SchedulerPaused,
    responses=problems.responses(_UNKNOWN_GROUP),
)
async def pause_scheduler_group(
    group: GroupReference, user: JobsWriter, request: Request, database: DatabaseDep
) -> Response:
    """Pause your schedules of a group."""
    paused = await group_service.pause(database, user, group, by=actor_of(request, user))
    return respond(
        SchedulerPaused(success=True, message=f"Paused {paused} jobs in group {group}", paused=paused)
    )


@router.post(
    "/groups/{group}/resume",
    operation_id="resumeSchedulerGroup",
    summary="Resume a group of schedules, in the terms of fastscheduler",
    response_model=SchedulerResumed,
    responses=problems.responses(_UNKNOWN_GROUP),
)
async def resume_scheduler_group(
    group: GroupReference, user: JobsWriter, request: Request, database: DatabaseDep
) -> Response:
    """Resume your schedules of a group."""
    resumed = await group_service.resume(database, user, group, by=actor_of(request, user))
    return respond(
        SchedulerResumed(success=True, message=f"Resumed {resumed} jobs in group {group}", resumed=resumed)
    )


@router.delete(
    "/groups/{group}",
    operation_id="deleteSchedulerGroup",
    summary="Delete a group of schedules, in the terms of fastscheduler",
    response_model=SchedulerCancelled,
    responses=problems.responses(_UNKNOWN_GROUP),
)
async def delete_scheduler_group(
    group: GroupReference, user: JobsWriter, request: Request, resources: ResourcesDep
) -> Response:
    """Delete your schedules of a group. Their jobs stay."""
    deleted = await group_service.delete(
        resources, user, group, cancels_jobs=False, by=actor_of(request, user)
    )
    message = f"Deleted {deleted} jobs in group {group}"
    return respond(SchedulerCancelled(success=True, message=message, cancelled=deleted))


@router.get(
    "/status",
    operation_id="getSchedulerStatus",
    summary="Get whether schedules are fired, in the terms of fastscheduler",
    response_model=SchedulerState,
)
async def get_scheduler_status(user: JobsReader, database: DatabaseDep, is_firing: IsFiringDep) -> Response:
    """Get whether this process fires schedules, and how many you have."""
    async with database.connection() as connection:
        totals = await queries.totals(connection, user.id)
    statistics = SchedulerStatistics(
        schedules=totals.schedules, active=totals.active, paused=totals.paused, fired=totals.fired
    )
    return respond(SchedulerState(running=is_firing(), statistics=statistics))
