"""Routes of schedules. `group_routes` has those of their groups."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response, status

from app.auth import owners
from app.auth.actors import actor_of
from app.auth.deps import JobsReader, JobsWriter
from app.auth.errors import UserNotFound
from app.auth.owners import OwnerQuery
from app.core import paging
from app.core.errors import InvalidCursor
from app.datasets.errors import DatasetNotFound
from app.http import problems
from app.http.body import CleanStr
from app.http.conditional import is_expected
from app.http.deps import DatabaseDep, ResourcesDep
from app.http.links import link
from app.http.paging import PageQueryDep
from app.http.routing import BoundedRoute
from app.jobs import service as jobs
from app.jobs.deps import IdempotencyKey, QuotaDep, refuse_while_stopping, replay_responses
from app.jobs.errors import IdempotencyKeyReused, JobLimitExceeded, ProfilingOff, TooManyActiveJobs
from app.jobs.schemas import JobView
from app.jobs.unit_of_work import unit_of_work
from app.jobs.views import job as job_view
from app.jobs.views import respond
from app.models.errors import ModelNotFound
from app.quotas.errors import QuotaExceeded
from app.schedules import queries, service, views
from app.schedules.deps import PlannerDep
from app.schedules.errors import (
    BadCron,
    InThePast,
    NeverFires,
    NonexistentTime,
    NotOneJob,
    RevisionMismatch,
    ScheduleBroken,
    ScheduleBusy,
    ScheduleFinished,
    ScheduleNameTaken,
    ScheduleNotFound,
    ScheduleTimePassed,
    StartInTemplate,
    TemplateInvalid,
    TemplateTooLarge,
    TooManySchedules,
    UnknownTimezone,
)
from app.schedules.queries import ScheduleFilter
from app.schedules.schemas import (
    MAX_NAME_LENGTH,
    FiringPage,
    Preview,
    PreviewRequest,
    RunRequest,
    ScheduleBodies,
    ScheduleName,
    SchedulePage,
    ScheduleView,
)
from app.schedules.service import Matches, Saved
from app.schedules.states import FiringOutcome, ScheduleStatus
from app.schedules.templates import MAX_BYTES
from app.schedules.values import ScheduleRow

_EXAMPLE_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"
_UNKNOWN: Final = ScheduleNotFound(schedule="nightly scoring")
_TRIGGER_ERRORS: Final = (
    BadCron(field="minute", reason="Bad minute"),
    UnknownTimezone(timezone="Mars/Olympus"),
    NeverFires,
    InThePast(at="2026-01-01T00:00:00Z"),
    NonexistentTime(
        at="2027-03-14T02:30",
        timezone="America/New_York",
        before="2027-03-14T01:59:59-05:00",
        after="2027-03-14T03:00:00-04:00",
    ),
)
_TEMPLATE_ERRORS: Final = (
    StartInTemplate(field="run_at"),
    NotOneJob,
    TemplateTooLarge(limit=MAX_BYTES, got=66_560),
    JobLimitExceeded(field="time_limit_seconds", limit=21_600, got=86_400),
    ProfilingOff(field="profile"),
    DatasetNotFound(dataset_id=_EXAMPLE_ID),
    ModelNotFound(model="sentimental"),
)
_TOO_MANY: Final = TooManySchedules(schedules=1000, limit=1000)
_NAME_TAKEN: Final = ScheduleNameTaken(name="nightly scoring")

DEFINITION_ERRORS: Final = (_NAME_TAKEN, _TOO_MANY, *_TRIGGER_ERRORS, *_TEMPLATE_ERRORS)
"""What the creation of a schedule may raise."""

_BROKEN: Final = ScheduleBroken(reason="there is no time zone Mars/Olympus")
_MISMATCH: Final = RevisionMismatch(etag='"8"')
_EXAMPLES: Final[dict[str, Any]] = {
    "nightly scoring": {
        "value": {
            "name": "nightly scoring",
            "trigger": {"daily": {"at": "02:30"}},
            "timezone": "Europe/Berlin",
            "job": {"kind": "batch_predict", "dataset": "reviews.csv", "model": "sentiment"},
        }
    },
    "every 10 seconds for 10 minutes": {
        "value": {
            "name": "watch the canary",
            "trigger": {"every": {"seconds": 10}},
            "duration_seconds": 600,
            "overlap": "allow",
            "job": {"kind": "batch_predict", "texts": ["All systems are fine"]},
        }
    },
    "on weekdays": {
        "value": {
            "name": "morning report",
            "group": "reports",
            "trigger": {"cron": "0 9 * * mon-fri"},
            "timezone": "America/New_York",
            "catch_up": "none",
            "job": {"kind": "batch_predict", "dataset": "new.csv", "model": "reviews@best"},
        }
    },
}

ScheduleReference = Annotated[
    CleanStr,
    Path(
        max_length=MAX_NAME_LENGTH,
        description="Id or name of the schedule.",
        examples=["nightly scoring"],
    ),
]
IfMatch = Annotated[
    str | None, Header(description="`ETag` of the schedule as you know it. Returns 412 if it has changed.")
]

router = APIRouter(route_class=BoundedRoute, prefix="/schedules", tags=["schedules"])


def definition_router(bodies: ScheduleBodies) -> APIRouter:
    """Return the routes whose bodies have a request of any kind that is not internal."""
    defining = APIRouter(route_class=BoundedRoute, prefix="/schedules", tags=["schedules"])
    defining.add_api_route(
        "",
        _create_endpoint(bodies.request),
        methods=["POST"],
        operation_id="createSchedule",
        summary="Create a schedule",
        status_code=status.HTTP_201_CREATED,
        response_model=ScheduleView,
        responses={
            **replay_responses(ScheduleView),
            **problems.responses(IdempotencyKeyReused, *DEFINITION_ERRORS),
        },
        openapi_extra={"requestBody": {"content": {"application/json": {"examples": _EXAMPLES}}}},
    )
    defining.add_api_route(
        "/{schedule}",
        _put_endpoint(bodies.declaration),
        methods=["PUT"],
        operation_id="putSchedule",
        summary="Create a schedule, or replace its definition",
        response_model=ScheduleView,
        responses={
            201: {"model": ScheduleView, "description": "Created"},
            **problems.responses(_UNKNOWN, _MISMATCH, _TOO_MANY, *_TRIGGER_ERRORS, *_TEMPLATE_ERRORS),
        },
        openapi_extra={"requestBody": {"content": {"application/json": {"examples": _EXAMPLES}}}},
    )
    defining.add_api_route(
        "/{schedule}",
        _change_endpoint(bodies.change),
        methods=["PATCH"],
        operation_id="changeSchedule",
        summary="Change a schedule",
        response_model=ScheduleView,
        responses=problems.responses(
            _UNKNOWN, _MISMATCH, _NAME_TAKEN, _BROKEN, *_TRIGGER_ERRORS, *_TEMPLATE_ERRORS
        ),
    )
    return defining


def _create_endpoint(body_type: type) -> Callable[..., Awaitable[Response]]:
    async def create_schedule(
        body: Any, user: JobsWriter, database: DatabaseDep, planner: PlannerDep, key: IdempotencyKey = None
    ) -> Response:
        """Create a schedule, which submits its job at each tick of its trigger.

        The job is checked now, as if you submitted it.
        """
        async with database.transaction() as connection:
            saved = await service.create(connection, planner, user, body, key)
        return _saved(saved)

    # FastAPI reads the type of the body from the annotation; it depends on the kinds.
    create_schedule.__annotations__["body"] = body_type
    return create_schedule


def _put_endpoint(body_type: type) -> Callable[..., Awaitable[Response]]:
    async def put_schedule(
        schedule: ScheduleName,
        body: Any,
        user: JobsWriter,
        database: DatabaseDep,
        planner: PlannerDep,
        if_match: IfMatch = None,
    ) -> Response:
        """Create your schedule with this name, or replace its definition: a deployment can declare it.

        The same body changes nothing. Unless the trigger, the time zone or the window changes, the next tick
        stays where it is. A paused schedule stays paused unless `enabled` is given.
        """
        saved = await service.put(database, planner, user, schedule, body, _matches(if_match))
        return _saved(saved)

    put_schedule.__annotations__["body"] = body_type
    return put_schedule


def _change_endpoint(body_type: type) -> Callable[..., Awaitable[Response]]:
    async def change_schedule(
        schedule: ScheduleReference,
        body: Any,
        user: JobsWriter,
        request: Request,
        database: DatabaseDep,
        planner: PlannerDep,
        if_match: IfMatch = None,
    ) -> Response:
        """Change the fields that the body has. `null` removes an optional one.

        If the trigger, the time zone or the window changes, the next tick is the first one after now, and a
        finished schedule is active again.
        """
        async with database.transaction() as connection:
            changed = await service.change(
                connection, planner, user, schedule, body, _matches(if_match), by=actor_of(request, user)
            )
        return _respond(changed)

    change_schedule.__annotations__["body"] = body_type
    return change_schedule


def _matches(if_match: str | None) -> Matches:
    def matches(revision: int | None) -> bool:
        return if_match is None if revision is None else is_expected(if_match, service.etag(revision))

    return matches


def _saved(saved: Saved) -> Response:
    headers = {"Location": link(f"/schedules/{saved.schedule.id}")}
    if saved.is_replay:
        headers["Idempotent-Replayed"] = "true"
    status_code = status.HTTP_201_CREATED if saved.is_new else status.HTTP_200_OK
    return _respond(saved.schedule, status_code=status_code, headers=headers)


def _respond(
    schedule: ScheduleRow, *, status_code: int = status.HTTP_200_OK, headers: dict[str, str] | None = None
) -> Response:
    tagged = {"ETag": service.etag(schedule.revision), **(headers or {})}
    return respond(views.schedule(schedule), status_code=status_code, headers=tagged)


@router.post(
    "/preview",
    operation_id="previewSchedule",
    summary="Compute the next ticks of a trigger",
    response_model=Preview,
    responses=problems.responses(*_TRIGGER_ERRORS),
)
async def preview_schedule(body: PreviewRequest, user: JobsReader, database: DatabaseDep) -> Response:
    """Say what a trigger means and when it fires next, around changes of clocks too. Stores nothing."""
    async with database.connection() as connection:
        rule, ticks = await service.preview(connection, body)
    return respond(views.preview(rule, body.timezone, ticks))


@router.get(
    "",
    operation_id="listSchedules",
    summary="List your schedules, newest first",
    response_model=SchedulePage,
    responses=problems.responses(InvalidCursor, UserNotFound(user="ada")),
)
async def list_schedules(
    user: JobsReader,
    database: DatabaseDep,
    page: PageQueryDep,
    wanted_status: Annotated[ScheduleStatus | None, Query(alias="status")] = None,
    group: CleanStr | None = None,
    kind: CleanStr | None = None,
    owner: OwnerQuery = None,
) -> Response:
    """List your schedules, one page at a time, each with the statuses of its last 20 jobs.

    Operators list the schedules of other users with `owner`.
    """
    wanted = ScheduleFilter(status=wanted_status, group=group, kind=kind)
    before = page.before
    owner_id = await owners.find(database, user, owner)
    async with database.connection() as connection:
        found = await queries.page(connection, owner_id, wanted, before=before, limit=page.limit)
    return respond(views.page(found))


@router.get(
    "/{schedule}",
    operation_id="getSchedule",
    summary="Get a schedule",
    response_model=ScheduleView,
    responses=problems.responses(_UNKNOWN),
)
async def get_schedule(schedule: ScheduleReference, user: JobsReader, database: DatabaseDep) -> Response:
    """Get a schedule with its next ticks, its active jobs and what became of its last tick."""
    async with database.connection() as connection:
        found = await service.find(connection, user, schedule)
        activity = await queries.activity(connection, found.id)
        last = await queries.firings(connection, found.id, limit=1)
    last_firing = last.items[0] if last.items else None
    view = await asyncio.to_thread(views.details, found, activity, last_firing)
    return respond(view, headers={"ETag": service.etag(found.revision)})


@router.post(
    "/{schedule}/pause",
    operation_id="pauseSchedule",
    summary="Pause a schedule",
    response_model=ScheduleView,
    responses=problems.responses(_UNKNOWN, ScheduleFinished),
)
async def pause_schedule(
    schedule: ScheduleReference, user: JobsWriter, request: Request, database: DatabaseDep
) -> Response:
    """Pause a schedule: it has no ticks until it is resumed. Its jobs go on."""
    async with database.transaction() as connection:
        paused = await service.pause(connection, user, schedule, by=actor_of(request, user))
    return _respond(paused)


@router.post(
    "/{schedule}/resume",
    operation_id="resumeSchedule",
    summary="Resume a schedule",
    response_model=ScheduleView,
    responses=problems.responses(
        _UNKNOWN, ScheduleFinished, ScheduleTimePassed(at="2027-03-01T09:00:00+00:00"), _BROKEN
    ),
)
async def resume_schedule(
    schedule: ScheduleReference, user: JobsWriter, request: Request, database: DatabaseDep
) -> Response:
    """Resume a schedule at its first tick after now. Ticks of the pause are never caught up."""
    async with database.transaction() as connection:
        resumed = await service.resume(connection, user, schedule, by=actor_of(request, user))
    return _respond(resumed)


@router.post(
    "/{schedule}/run",
    operation_id="runSchedule",
    summary="Run a schedule now",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=JobView,
    responses=problems.responses(
        _UNKNOWN,
        ScheduleBusy,
        TemplateInvalid(reason="target: Field required"),
        TooManyActiveJobs(active=10, limit=10),
        QuotaExceeded(used=20 * 1024**3, limit=20 * 1024**3),
        DatasetNotFound(dataset_id=_EXAMPLE_ID),
        ModelNotFound(model="sentimental"),
    ),
    dependencies=[Depends(refuse_while_stopping)],
)
async def run_schedule(
    schedule: ScheduleReference,
    user: JobsWriter,
    request: Request,
    resources: ResourcesDep,
    planner: PlannerDep,
    quota: QuotaDep,
    body: RunRequest | None = None,
) -> Response:
    """Create a job of the schedule now, also while it is paused. Its ticks stay where they are."""
    async with unit_of_work(resources.hints, resources.database.transaction()) as unit:
        job_id = await service.run(
            unit,
            planner,
            quota,
            user,
            schedule,
            is_forced=body is not None and body.force,
            by=actor_of(request, user),
        )
    async with resources.database.connection() as connection:
        job = await jobs.get_own(connection, None, job_id)
    headers = {"Location": link(f"/jobs/{job_id}")}
    return respond(job_view(job), status_code=status.HTTP_202_ACCEPTED, headers=headers)


@router.delete(
    "/{schedule}",
    operation_id="deleteSchedule",
    summary="Delete a schedule",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems.responses(_UNKNOWN),
)
async def delete_schedule(
    schedule: ScheduleReference,
    user: JobsWriter,
    request: Request,
    resources: ResourcesDep,
    cancel_jobs: Annotated[bool, Query(description="Cancel its pending and running jobs.")] = False,
) -> None:
    """Delete a schedule and the record of its firings. Its jobs stay."""
    async with unit_of_work(resources.hints, resources.database.connection()) as unit:
        await service.delete(unit, user, schedule, cancels_jobs=cancel_jobs, by=actor_of(request, user))


@router.get(
    "/{schedule}/firings",
    operation_id="listFirings",
    summary="List what became of the ticks of a schedule, newest first",
    response_model=FiringPage,
    responses=problems.responses(_UNKNOWN, InvalidCursor),
)
async def list_firings(
    schedule: ScheduleReference,
    user: JobsReader,
    database: DatabaseDep,
    page: PageQueryDep,
    outcome: FiringOutcome | None = None,
) -> Response:
    """List the firings of a schedule, one page at a time."""
    before = None if page.cursor is None else paging.decode_instant(page.cursor)
    async with database.connection() as connection:
        found = await service.find(connection, user, schedule)
        firings = await queries.firings(
            connection, found.id, outcome=outcome, before=before, limit=page.limit
        )
    return respond(views.firing_page(firings))
