"""Operations on schedules for the API.

Each change runs in a transaction that locks the row of the schedule: a firing comes before it or after it. A
schedule of another user does not exist for the caller, unless the caller may operate.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, assert_never
from uuid import UUID

import asyncpg
from msgspec.structs import replace

from app.audit import commands as audit
from app.audit.actions import Action, ObjectType
from app.audit.values import Actor, Entry
from app.auth.identities import Identity
from app.core import ids
from app.core.config import Settings
from app.core.database import Database
from app.core.errors import Unauthorized
from app.http.offloading import offload
from app.jobs import limits
from app.jobs import service as jobs
from app.jobs.errors import IdempotencyKeyReused
from app.jobs.kinds.kind import Kind
from app.jobs.quota import Quota
from app.jobs.requests import JobOptions
from app.jobs.transition_types import NewJob
from app.jobs.unit_of_work import UnitOfWork
from app.notifications import outbox
from app.quotas import queries as quotas
from app.quotas.values import OwnQuotas, Quotas
from app.schedules import commands, events, queries, templates
from app.schedules.commands import Standing
from app.schedules.definitions import Definition, Timing, changed_timing, stored_timing
from app.schedules.errors import (
    NeverFires,
    RevisionMismatch,
    ScheduleBusy,
    ScheduleFinished,
    ScheduleNameTaken,
    ScheduleNotFound,
    ScheduleTimePassed,
    TooManySchedules,
    invalid_field,
)
from app.schedules.preview import PreviewedTick, fires
from app.schedules.rules import Once, Rule, Window, compile_rule
from app.schedules.schemas import (
    PreviewRequest,
    ScheduleChange,
    ScheduleDeclaration,
    ScheduleRequest,
    parse_id,
)
from app.schedules.states import Overlap, ScheduleStatus
from app.schedules.values import Reason, ScheduleRow

CANCELLED_AT_ONCE: Final = 1000
_MICROSECOND: Final = timedelta(microseconds=1)

Matches = Callable[[int | None], bool]
"""Whether the client expects this revision of a schedule; None: that there is none yet."""


@dataclass(frozen=True)
class Saved:
    """The schedule that a request created or replaced.

    `is_replay` means that an earlier, identical request created it.
    """

    schedule: ScheduleRow
    is_new: bool = False
    is_replay: bool = False


@dataclass(frozen=True)
class Planner:
    """Plans the jobs of templates, with the kinds that this process knows."""

    settings: Settings
    kinds: Mapping[str, Kind]

    async def check(
        self, connection: asyncpg.Connection, caller: Identity, owner_id: UUID, request: JobOptions
    ) -> tuple[str, dict[str, Any]]:
        """Return the kind of a template, and the template as it is stored.

        Plans a job as `POST /jobs/<kind>` does, and throws it away. Raises what that raises, and what
        `templates.to_stored` raises.
        """
        name: str = getattr(request, templates.KIND)
        kind = templates.kind_of(self.kinds, name)
        limits.ensure_allowed(self.settings, caller, [request])
        stored = await offload(templates.to_stored, kind, request)
        found = await jobs.resolve(connection, owner_id, kind.references(request))
        await offload(jobs.new_job, self.settings, owner_id, kind, request, found)
        return name, stored

    async def plan(self, connection: asyncpg.Connection, schedule: ScheduleRow, fire_at: datetime) -> NewJob:
        """Return a job of a schedule. Raises KindUnknown, TemplateInvalid, and what its plan raises."""
        kind = templates.kind_of(self.kinds, schedule.kind)
        request = templates.to_request(kind, schedule.job)
        found = await jobs.resolve(connection, schedule.owner_id, kind.references(request))
        new = jobs.new_job(self.settings, schedule.owner_id, kind, request, found)
        new = await jobs.divide(connection, self.settings, new)
        return replace(new, schedule_id=schedule.id, fire_at=fire_at)


async def find(connection: asyncpg.Connection, caller: Identity, reference: str) -> ScheduleRow:
    """Return the schedule with this id, if the caller may see it, or the caller's own with this name.

    Raises ScheduleNotFound, also for a schedule of another user.
    """
    schedule_id = parse_id(reference)
    if schedule_id is not None:
        found = await queries.schedule(connection, caller.reach, schedule_id)
    else:
        found = await queries.schedule_by_name(connection, caller.id, reference)
    if found is None:
        raise ScheduleNotFound(schedule=reference)
    return found


async def _lock(connection: asyncpg.Connection, caller: Identity, reference: str) -> ScheduleRow:
    found = await find(connection, caller, reference)
    locked = await commands.lock(connection, found.id)
    if locked is None:
        raise ScheduleNotFound(schedule=reference)
    return locked


async def preview(
    connection: asyncpg.Connection, request: PreviewRequest
) -> tuple[Rule, list[PreviewedTick]]:
    """Return the rule and the next ticks of a trigger. Raises what `rules.compile_rule` raises."""
    now = await commands.now(connection)
    return await asyncio.to_thread(_preview, request, now)


def _preview(request: PreviewRequest, now: datetime) -> tuple[Rule, list[PreviewedTick]]:
    rule = compile_rule(
        request.trigger, timezone=request.timezone, starts_at=request.starts_at, created_at=now
    )
    window = Window(request.starts_at, request.end(now))
    first = window.first(rule, now)
    return rule, fires(rule, window, timezone=request.timezone, since=first, count=request.count)


async def create(
    connection: asyncpg.Connection,
    planner: Planner,
    caller: Identity,
    request: ScheduleRequest,
    key: str | None,
) -> Saved:
    """Create a schedule, in the caller's transaction. The same request with the same key returns it again.

    Raises IdempotencyKeyReused, ScheduleNameTaken, TooManySchedules, and what `Planner.check` and
    `Timing.compile` raise.
    """
    own = await quotas.lock(connection, caller.id)
    digest = None if key is None else await offload(jobs.digest, "schedule", request)
    if key is not None:
        earlier = await queries.schedule_by_key(connection, caller.id, key)
        if earlier is not None:
            if earlier.request_digest != digest:
                raise IdempotencyKeyReused
            return Saved(earlier, is_replay=True)
    created = await _create(
        connection, planner, caller, own, request.name, request, request.enabled, key=key, digest=digest
    )
    return Saved(created, is_new=True)


async def _create(
    connection: asyncpg.Connection,
    planner: Planner,
    caller: Identity,
    own: OwnQuotas | None,
    name: str,
    request: ScheduleRequest | ScheduleDeclaration,
    is_enabled: bool,
    *,
    key: str | None = None,
    digest: bytes | None = None,
) -> ScheduleRow:
    """Create a schedule for the caller, whose row is locked: no other request takes the name or the place."""
    if own is None:
        raise Unauthorized
    if await queries.schedule_by_name(connection, caller.id, name) is not None:
        raise ScheduleNameTaken(name=name)
    limit = own.over(Quotas.from_settings(planner.settings)).max_schedules
    schedules = await queries.count(connection, caller.id)
    if limit and schedules >= limit:
        raise TooManySchedules(schedules=schedules, limit=limit)
    now = await commands.now(connection)
    kind, job = await planner.check(connection, caller, caller.id, request.job)
    definition = Definition.from_request(request, name=name, kind=kind, job=job, created_at=now)
    timing, first = await asyncio.to_thread(_begin, definition, now)
    standing = Standing(ScheduleStatus.ACTIVE, first) if is_enabled else Standing(ScheduleStatus.PAUSED)
    try:
        return await commands.add(
            connection,
            ids.new_id(),
            caller.id,
            definition,
            timing,
            standing,
            created_at=now,
            key=key,
            digest=digest,
        )
    except asyncpg.UniqueViolationError:
        # Another schedule got this name in the meantime: a change locks the schedule, not its owner.
        raise ScheduleNameTaken(name=name) from None


def _begin(definition: Definition, created_at: datetime) -> tuple[Timing, datetime]:
    timing = Timing.compile(definition, created_at=created_at, now=created_at)
    return timing, timing.first(created_at)


async def put(
    database: Database,
    planner: Planner,
    caller: Identity,
    name: str,
    request: ScheduleDeclaration,
    matches: Matches,
) -> Saved:
    """Create the caller's schedule with this name, or replace its definition.

    Raises ScheduleNotFound and RevisionMismatch if the client expects another revision, and what `create`
    raises except ScheduleNameTaken.
    """
    if request.name not in (None, name):
        raise invalid_field("name", "the name is the one in the path")
    while True:
        try:
            async with database.transaction() as connection:
                saved = await _put(connection, planner, caller, name, request, matches)
        except ScheduleNameTaken:
            continue  # another request created it at the same time
        if saved is not None:
            return saved


async def _put(
    connection: asyncpg.Connection,
    planner: Planner,
    caller: Identity,
    name: str,
    request: ScheduleDeclaration,
    matches: Matches,
) -> Saved | None:
    """Create or replace a schedule. Return None if it was deleted or renamed in the meantime.

    Locks are taken in the order of the firing loop: a schedule before its owner, never after.
    """
    found = await queries.schedule_by_name(connection, caller.id, name)
    if found is not None:
        locked = await commands.lock(connection, found.id)
        if locked is None or locked.name != name:
            return None
        if not matches(locked.revision):
            raise _mismatch(locked)
        return Saved(await _replace(connection, planner, caller, locked, request))
    if not matches(None):
        raise ScheduleNotFound(schedule=name)
    own = await quotas.lock(connection, caller.id)
    is_enabled = request.enabled is not False
    return Saved(await _create(connection, planner, caller, own, name, request, is_enabled), is_new=True)


async def _replace(
    connection: asyncpg.Connection,
    planner: Planner,
    caller: Identity,
    schedule: ScheduleRow,
    request: ScheduleDeclaration,
) -> ScheduleRow:
    kind, job = await planner.check(connection, caller, schedule.owner_id, request.job)
    definition = Definition.from_request(
        request, name=schedule.name, kind=kind, job=job, created_at=schedule.created_at
    )
    return await _redefine(connection, schedule, definition, request.enabled)


async def change(
    connection: asyncpg.Connection,
    planner: Planner,
    caller: Identity,
    reference: str,
    request: ScheduleChange,
    matches: Matches,
    *,
    by: Actor,
) -> ScheduleRow:
    """Change some fields of a schedule, in the caller's transaction.

    Raises ScheduleNotFound, RevisionMismatch, ScheduleNameTaken, and what `create` raises.
    """
    schedule = await _lock(connection, caller, reference)
    if not matches(schedule.revision):
        raise _mismatch(schedule)
    given = {name: getattr(request, name) for name in request.model_fields_set}
    kind, job = schedule.kind, schedule.job
    if "job" in given:
        kind, job = await planner.check(connection, caller, schedule.owner_id, given["job"])
    definition = Definition.of(schedule).with_changes(
        request, kind=kind, job=job, created_at=schedule.created_at
    )
    changed = await _redefine(connection, schedule, definition, given.get("enabled"))
    if changed.revision != schedule.revision:
        await _record(connection, by, Action.SCHEDULE_CHANGED, schedule)
    return changed


def _mismatch(schedule: ScheduleRow) -> RevisionMismatch:
    return RevisionMismatch(etag=etag(schedule.revision))


def etag(revision: int) -> str:
    """Return the entity tag of a revision of a schedule. What ticks change is not part of it."""
    return f'"{revision}"'


async def _redefine(
    connection: asyncpg.Connection, schedule: ScheduleRow, definition: Definition, is_enabled: bool | None
) -> ScheduleRow:
    """Give a locked schedule another definition, unless it has it already."""
    now = await commands.now(connection)
    timing, standing = await asyncio.to_thread(_stand, schedule, definition, is_enabled, now)
    is_same = (standing.status, standing.next_fire_at) == (schedule.status, schedule.next_fire_at)
    if is_same and definition == Definition.of(schedule):
        return schedule
    try:
        return await commands.redefine(connection, schedule.id, definition, timing, standing)
    except asyncpg.UniqueViolationError:
        raise ScheduleNameTaken(name=definition.name) from None


def _stand(
    schedule: ScheduleRow, definition: Definition, is_enabled: bool | None, now: datetime
) -> tuple[Timing, Standing]:
    """Return the timing of a changed schedule, and where it stands: by the first tick after now if it moved.

    Raises NeverFires if it has no tick any more, and what `Timing.compile` raises.
    """
    was_broken = schedule.status is ScheduleStatus.BROKEN
    is_moved = not definition.has_timing_of(Definition.of(schedule))
    if is_moved or was_broken:
        timing = changed_timing(schedule, definition, now=now)
    else:
        timing = stored_timing(schedule, definition, now=now)
    upcoming = timing.next_after(now) if is_moved or was_broken else schedule.next_fire_at
    if is_moved and upcoming is None:
        raise NeverFires
    status = _wanted_status(schedule, definition, is_enabled, is_moved=is_moved)
    if status is not ScheduleStatus.ACTIVE:
        keeps_reason = status is schedule.status
        return timing, Standing(status, reason=schedule.reason if keeps_reason else None)
    if definition.max_runs is not None and schedule.fired >= definition.max_runs:
        return timing, Standing(ScheduleStatus.FINISHED)
    upcoming = upcoming or timing.next_after(now)
    if upcoming is None:
        return timing, Standing(ScheduleStatus.FINISHED)
    return timing, Standing(ScheduleStatus.ACTIVE, upcoming)


def _wanted_status(
    schedule: ScheduleRow, definition: Definition, is_enabled: bool | None, *, is_moved: bool
) -> ScheduleStatus:
    """Return the status that a change asks for, as far as there are ticks."""
    match schedule.status:
        case ScheduleStatus.FINISHED:
            if is_moved or definition.max_runs != schedule.max_runs:
                return ScheduleStatus.PAUSED if is_enabled is False else ScheduleStatus.ACTIVE
            return ScheduleStatus.FINISHED
        case ScheduleStatus.ACTIVE | ScheduleStatus.BROKEN:
            return ScheduleStatus.PAUSED if is_enabled is False else ScheduleStatus.ACTIVE
        case ScheduleStatus.PAUSED | ScheduleStatus.SUSPENDED:
            if is_enabled is None:
                return schedule.status
            return ScheduleStatus.ACTIVE if is_enabled else ScheduleStatus.PAUSED
        case _:
            assert_never(schedule.status)


async def pause(
    connection: asyncpg.Connection, caller: Identity, reference: str, *, by: Actor
) -> ScheduleRow:
    """Pause a schedule, in the caller's transaction. Raises ScheduleNotFound, ScheduleFinished."""
    schedule = await _lock(connection, caller, reference)
    if schedule.status is ScheduleStatus.PAUSED:
        return schedule
    if schedule.status is ScheduleStatus.FINISHED:
        raise ScheduleFinished
    await _record(connection, by, Action.SCHEDULE_PAUSED, schedule)
    return await commands.pause(connection, schedule.id)


async def resume(
    connection: asyncpg.Connection, caller: Identity, reference: str, *, by: Actor
) -> ScheduleRow:
    """Resume a schedule at its first tick after now, in the caller's transaction.

    Raises ScheduleNotFound, ScheduleFinished, ScheduleTimePassed, ScheduleBroken.
    """
    schedule = await _lock(connection, caller, reference)
    if schedule.status is ScheduleStatus.ACTIVE:
        return schedule
    now = await commands.now(connection)
    timing, upcoming = await asyncio.to_thread(_continue, schedule, now)
    if upcoming is None and isinstance(timing.rule, Once):
        raise ScheduleTimePassed(at=timing.rule.at.isoformat())
    has_runs_left = schedule.max_runs is None or schedule.fired < schedule.max_runs
    if upcoming is None or not has_runs_left or schedule.status is ScheduleStatus.FINISHED:
        raise ScheduleFinished
    await _record(connection, by, Action.SCHEDULE_RESUMED, schedule)
    return await commands.resume(connection, schedule.id, timing, upcoming)


def _continue(schedule: ScheduleRow, now: datetime) -> tuple[Timing, datetime | None]:
    timing = stored_timing(schedule, Definition.of(schedule), now=now)
    return timing, timing.next_after(now)


async def run(
    unit: UnitOfWork,
    planner: Planner,
    quota: Quota,
    caller: Identity,
    reference: str,
    *,
    is_forced: bool,
    by: Actor,
) -> UUID:
    """Create a job of a schedule now, in the unit's transaction. Return the job.

    Raises ScheduleNotFound, ScheduleBusy, TooManyActiveJobs, and what `Planner.plan` raises.
    """
    schedule = await _lock(unit.connection, caller, reference)
    if not is_forced:
        await _ensure_idle(unit.connection, schedule)
    now = await commands.now(unit.connection)
    job_id = await _run(unit, planner, quota, schedule, now)
    await _record(unit.connection, by, Action.SCHEDULE_RUN, schedule)
    return job_id


async def _ensure_idle(connection: asyncpg.Connection, schedule: ScheduleRow) -> None:
    if schedule.overlap is not Overlap.ALLOW and await queries.is_busy(connection, schedule.id):
        raise ScheduleBusy


async def _run(
    unit: UnitOfWork, planner: Planner, quota: Quota, schedule: ScheduleRow, now: datetime
) -> UUID:
    """Create a job of a locked schedule, whose firing is of this instant, or of the next free one."""
    connection = unit.connection
    room = await quota.room(connection, schedule.owner_id)
    if room.jobs < 1:
        raise room.jobs_error
    new = await planner.plan(connection, schedule, now)
    if room.jobs < new.jobs:
        raise room.jobs_error
    if room.bytes_left is not None:
        bytes_left, too_many_bytes = room.bytes_left
        if len(new.rows or b"") + new.upload_bytes > bytes_left:
            raise too_many_bytes
    fire_at = now
    while not await commands.record_manual(connection, schedule.id, fire_at, new.id):
        fire_at += _MICROSECOND
    await jobs.create_all(unit, [replace(new, fire_at=fire_at)])
    return new.id


async def delete(
    unit: UnitOfWork, caller: Identity, reference: str, *, cancels_jobs: bool, by: Actor
) -> None:
    """Delete a schedule and its firings, in several transactions. Its jobs stay, unless it `cancels_jobs`.

    Raises ScheduleNotFound. If the process dies in between, the schedule stays, paused.
    """
    connection = unit.connection
    async with unit.transaction():
        schedule = await _lock(connection, caller, reference)
        await commands.pause(connection, schedule.id)
    if cancels_jobs:
        await _cancel_jobs(unit, schedule, by=by)
    limit = commands.FIRINGS_AT_ONCE
    while await commands.delete_firings(connection, schedule.id, limit=limit) == limit:
        pass
    async with unit.transaction():
        if await commands.delete(connection, schedule.id):
            await _record(connection, by, Action.SCHEDULE_DELETED, schedule)


async def _cancel_jobs(unit: UnitOfWork, schedule: ScheduleRow, *, by: Actor) -> None:
    after: UUID | None = None
    while job_ids := await queries.active_jobs(
        unit.connection, schedule.id, after=after, limit=CANCELLED_AT_ONCE
    ):
        owners = dict.fromkeys(job_ids, schedule.owner_id)
        async with jobs.recording(unit, by, Action.JOB_CANCELLED, owners):
            await jobs.cancel_replaced(unit, job_ids)
        after = job_ids[-1]


async def refuse(connection: asyncpg.Connection, caller: Identity, reference: str, reason: Reason) -> None:
    """Record and report why a run created no job, as at a tick. Raises ScheduleNotFound."""
    schedule = await _lock(connection, caller, reference)
    now = await commands.now(connection)
    if await commands.record_refused(connection, schedule.id, now, reason):
        await outbox.add(connection, [events.of_refused_run(schedule, now, reason)])


async def _record(connection: asyncpg.Connection, by: Actor, action: Action, schedule: ScheduleRow) -> None:
    """Record an action on a schedule of another user in the audit log."""
    if schedule.owner_id == by.user_id:
        return
    details = {"owner_id": str(schedule.owner_id), "name": schedule.name}
    await audit.record(connection, by, Entry(action, ObjectType.SCHEDULE, str(schedule.id), details=details))
