"""Plans the jobs of ticks as `POST /jobs/<kind>` does: as their owners, within the owners' quotas."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg
import structlog
from msgspec.structs import replace

from app.auth.identities import Identity
from app.core import ids
from app.core.config import Settings
from app.core.errors import AppError
from app.jobs import limits
from app.jobs import service as jobs
from app.jobs.kinds.kind import Kind, References, ResolvedReferences
from app.jobs.quota import Quota, Room
from app.jobs.requests import JobOptions
from app.jobs.transition_types import NewJob
from app.schedules import templates
from app.schedules.errors import NotOneJob
from app.schedules.plan import DueSchedule, Refusal, jitter
from app.schedules.values import Reason, ScheduleRow

log = structlog.get_logger(__name__)

_INTERNAL_ERROR: Final = Reason(
    code="internal_error", message="The job could not be planned because of an error in this server."
)


@dataclass(frozen=True, slots=True)
class WantedJobs:
    """The ticks of a schedule that each need a job."""

    due: DueSchedule
    ticks: tuple[datetime, ...]


@dataclass(frozen=True, slots=True)
class PlannedJobs:
    """The jobs of the first ticks, and why there are none for the others."""

    jobs: tuple[NewJob, ...]
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class _Template:
    """The template of a schedule, read by its kind."""

    kind: Kind
    request: JobOptions
    references: References


class JobPlanner:
    """Plans jobs from the templates of schedules."""

    def __init__(self, settings: Settings, kinds: Mapping[str, Kind], quota: Quota) -> None:
        self._settings = settings
        self._kinds = kinds
        self._quota = quota

    async def plan(
        self, connection: asyncpg.Connection, wanted: Sequence[WantedJobs]
    ) -> dict[UUID, PlannedJobs]:
        """Plan the jobs of these schedules, by the ids of the schedules.

        What the jobs refer to is protected from deletion until the transaction ends. What cannot be planned
        is refused, and holds up no other schedule.
        """
        read = await asyncio.to_thread(self._read_templates, wanted)
        rooms = await self._rooms(connection, wanted, read)
        found = await _resolve(connection, wanted, read)
        planned = await asyncio.to_thread(self._plan_all, wanted, read, found)
        for schedule_id, made in planned.items():
            if isinstance(made, tuple):
                planned[schedule_id] = tuple(
                    [await jobs.divide(connection, self._settings, job) for job in made]
                )
        return _within(rooms, wanted, planned)

    def _read_templates(self, wanted: Sequence[WantedJobs]) -> dict[UUID, _Template | Reason]:
        return {one.due.schedule.id: self._read_template(one.due) for one in wanted}

    def _read_template(self, due: DueSchedule) -> _Template | Reason:
        schedule = due.schedule
        owner = Identity(schedule.owner_id, due.owner_role, token_expires_at=None)
        try:
            kind = templates.kind_of(self._kinds, schedule.kind)
            request = templates.to_request(kind, schedule.job)
            limits.ensure_allowed(self._settings, owner, [request])
            if kind.fan_out(request) is not None:
                raise NotOneJob
            return _Template(kind, request, kind.references(request))
        except Exception as error:
            return _reason(due, error)

    async def _rooms(
        self,
        connection: asyncpg.Connection,
        wanted: Sequence[WantedJobs],
        read: Mapping[UUID, _Template | Reason],
    ) -> dict[UUID, Room]:
        jobs_of: Counter[UUID] = Counter()
        for one in wanted:
            if isinstance(read[one.due.schedule.id], _Template):
                jobs_of[one.due.schedule.owner_id] += len(one.ticks)
        # In the order of their ids: two processes that lock users would wait for each other for ever.
        return {
            owner_id: await self._quota.room(connection, owner_id, jobs_of[owner_id])
            for owner_id in sorted(jobs_of)
        }

    def _plan_all(
        self,
        wanted: Sequence[WantedJobs],
        read: Mapping[UUID, _Template | Reason],
        found: Mapping[UUID, ResolvedReferences | Reason],
    ) -> dict[UUID, tuple[NewJob, ...] | Reason]:
        return {
            one.due.schedule.id: self._plan_jobs(one, read[one.due.schedule.id], found[one.due.schedule.id])
            for one in wanted
        }

    def _plan_jobs(
        self, wanted: WantedJobs, template: _Template | Reason, found: ResolvedReferences | Reason
    ) -> tuple[NewJob, ...] | Reason:
        if not isinstance(template, _Template):
            return template
        if not isinstance(found, ResolvedReferences):
            return found
        schedule = wanted.due.schedule
        try:
            job = jobs.new_job(self._settings, schedule.owner_id, template.kind, template.request, found)
        except Exception as error:
            return _reason(wanted.due, error)
        return tuple(_at_tick(job, schedule, tick) for tick in wanted.ticks)


async def _resolve(
    connection: asyncpg.Connection,
    wanted: Sequence[WantedJobs],
    read: Mapping[UUID, _Template | Reason],
) -> dict[UUID, ResolvedReferences | Reason]:
    """Look up what the templates refer to, once for each owner and reference."""
    known: dict[tuple[UUID, References], ResolvedReferences | Reason] = {}
    found: dict[UUID, ResolvedReferences | Reason] = {}
    for one in wanted:
        schedule = one.due.schedule
        template = read[schedule.id]
        if not isinstance(template, _Template):
            found[schedule.id] = template
            continue
        key = (schedule.owner_id, template.references)
        if key not in known:
            try:
                known[key] = await jobs.resolve(connection, *key)
            except AppError as error:
                known[key] = _reason(one.due, error)
        found[schedule.id] = known[key]
    return found


def _at_tick(job: NewJob, schedule: ScheduleRow, tick: datetime) -> NewJob:
    run_at = tick + jitter(schedule, tick) if schedule.jitter_seconds else None
    return replace(job, id=ids.new_id(), schedule_id=schedule.id, fire_at=tick, run_at=run_at)


def _within(
    rooms: Mapping[UUID, Room],
    wanted: Sequence[WantedJobs],
    planned: Mapping[UUID, tuple[NewJob, ...] | Reason],
) -> dict[UUID, PlannedJobs]:
    """Refuse what is over the quota of its owner: what was due first comes first."""
    left = {owner_id: _RoomLeft(room) for owner_id, room in rooms.items()}
    result: dict[UUID, PlannedJobs] = {}
    for one in wanted:
        schedule = one.due.schedule
        made = planned[schedule.id]
        if isinstance(made, tuple):
            result[schedule.id] = left[schedule.owner_id].admit(one.due, made)
        else:
            result[schedule.id] = PlannedJobs((), Refusal(made))
    return result


class _RoomLeft:
    """What an owner may still create in this round."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._jobs = room.jobs
        self._bytes = None if room.bytes_left is None else room.bytes_left[0]

    def admit(self, due: DueSchedule, jobs: Sequence[NewJob]) -> PlannedJobs:
        for position, job in enumerate(jobs):
            if (error := self._take(job)) is not None:
                return PlannedJobs(tuple(jobs[:position]), Refusal(_reason(due, error), position))
        return PlannedJobs(tuple(jobs))

    def _take(self, job: NewJob) -> AppError | None:
        if self._jobs < job.jobs:
            return self._room.jobs_error
        size = len(job.rows or b"") + job.upload_bytes
        if self._bytes is not None and self._room.bytes_left is not None and size > self._bytes:
            return self._room.bytes_left[1]
        self._jobs -= job.jobs
        if self._bytes is not None:
            self._bytes -= size
        return None


def _reason(due: DueSchedule, error: Exception) -> Reason:
    """Return why no job could be planned: an error of the API, or one that nobody expected."""
    if isinstance(error, AppError):
        return Reason(code=error.code, message=" ".join(error.detail.split()))
    log.error("schedule_job_not_planned", schedule_id=str(due.schedule.id), exc_info=error)
    return _INTERNAL_ERROR
