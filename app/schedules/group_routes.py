"""Routes of groups: labels under which schedules are paused, resumed, run and deleted together."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query, Request, Response, status

from app.auth.actors import actor_of
from app.auth.deps import JobsReader, JobsWriter
from app.http import problems
from app.http.body import CleanStr
from app.http.deps import DatabaseDep, ResourcesDep
from app.http.routing import BoundedRoute
from app.jobs.deps import QuotaDep, refuse_while_stopping
from app.jobs.views import respond
from app.schedules import group_service, queries, views
from app.schedules.deps import PlannerDep
from app.schedules.errors import ScheduleGroupNotFound
from app.schedules.schemas import MAX_GROUP_LENGTH, ScheduleGroupChanged, ScheduleGroupList

_UNKNOWN: Final = ScheduleGroupNotFound(group="reports")

GroupReference = Annotated[
    CleanStr, Path(max_length=MAX_GROUP_LENGTH, description="Label of the group.", examples=["reports"])
]

router = APIRouter(route_class=BoundedRoute, prefix="/schedule-groups", tags=["schedules"])


@router.get(
    "",
    operation_id="listScheduleGroups",
    summary="List the groups of your schedules",
    response_model=ScheduleGroupList,
)
async def list_schedule_groups(user: JobsReader, database: DatabaseDep) -> Response:
    """List the groups of your schedules by name."""
    async with database.connection() as connection:
        found = await queries.groups(connection, user.id)
    return respond(views.groups(found))


@router.post(
    "/{group}/pause",
    operation_id="pauseScheduleGroup",
    summary="Pause your schedules of a group",
    response_model=ScheduleGroupChanged,
    responses=problems.responses(_UNKNOWN),
)
async def pause_schedule_group(
    group: GroupReference, user: JobsWriter, request: Request, database: DatabaseDep
) -> Response:
    """Pause the schedules of a group, one after the other. Those that have finished do not count."""
    paused = await group_service.pause(database, user, group, by=actor_of(request, user))
    return respond(ScheduleGroupChanged(schedules=paused))


@router.post(
    "/{group}/resume",
    operation_id="resumeScheduleGroup",
    summary="Resume your schedules of a group",
    response_model=ScheduleGroupChanged,
    responses=problems.responses(_UNKNOWN),
)
async def resume_schedule_group(
    group: GroupReference, user: JobsWriter, request: Request, database: DatabaseDep
) -> Response:
    """Resume the schedules of a group, one after the other. Those that cannot be resumed do not count."""
    resumed = await group_service.resume(database, user, group, by=actor_of(request, user))
    return respond(ScheduleGroupChanged(schedules=resumed))


@router.post(
    "/{group}/run",
    operation_id="runScheduleGroup",
    summary="Run your schedules of a group now",
    response_model=ScheduleGroupChanged,
    responses=problems.responses(_UNKNOWN),
    dependencies=[Depends(refuse_while_stopping)],
)
async def run_schedule_group(
    group: GroupReference,
    user: JobsWriter,
    resources: ResourcesDep,
    planner: PlannerDep,
    quota: QuotaDep,
) -> Response:
    """Create a job of each schedule of a group that is idle. What cannot be planned is a refused firing."""
    ran = await group_service.run(resources, planner, quota, user, group)
    return respond(ScheduleGroupChanged(schedules=ran))


@router.delete(
    "/{group}",
    operation_id="deleteScheduleGroup",
    summary="Delete your schedules of a group",
    response_model=ScheduleGroupChanged,
    responses=problems.responses(_UNKNOWN),
    status_code=status.HTTP_200_OK,
)
async def delete_schedule_group(
    group: GroupReference,
    user: JobsWriter,
    request: Request,
    resources: ResourcesDep,
    cancel_jobs: Annotated[bool, Query(description="Cancel their pending and running jobs.")] = False,
) -> Response:
    """Delete the schedules of a group, one after the other. Their jobs stay."""
    deleted = await group_service.delete(
        resources, user, group, cancels_jobs=cancel_jobs, by=actor_of(request, user)
    )
    return respond(ScheduleGroupChanged(schedules=deleted))
