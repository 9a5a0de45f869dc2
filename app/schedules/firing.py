"""Fires schedules: each tick becomes a firing and, if it is to run, a job, in one transaction.

A tick is recorded once, whichever processes try: the schedule is locked while its ticks are planned, and the
key of the firing is the schedule and the tick. A job is created only for a tick that was recorded in the same
transaction, which also writes the events for subscriptions. So a process that dies leaves either all or none,
and the next one continues where it was.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from time import monotonic, perf_counter
from typing import Any, Final, Self
from uuid import UUID

import asyncpg
import msgspec
import structlog

from app.core import failpoints, metrics
from app.core.config import Settings
from app.core.rows import Row
from app.jobs import service as jobs
from app.jobs.kinds.kind import Kind
from app.jobs.quota import Quota
from app.jobs.transition_types import NewJob
from app.jobs.unit_of_work import UnitOfWork
from app.notifications import outbox
from app.schedules import events, zones
from app.schedules import firing_statements as statements
from app.schedules.job_planning import JobPlanner, WantedJobs
from app.schedules.plan import (
    DueSchedule,
    Plan,
    PlannedFiring,
    Refusal,
    cannot_compute,
    next_standing,
    plan,
)
from app.schedules.states import FiringOutcome, ScheduleStatus
from app.schedules.values import Reason, ScheduleRow

SCHEDULES_AT_ONCE: Final = 40
"""More would be little faster, and hold up the requests to the process for longer."""

FIRINGS_AT_ONCE: Final = 1000
"""Firings in a transaction after which it takes no further schedule."""

PLAN_SECONDS: Final = 0.25
"""How long a round plans before it leaves the rest: a transaction that idles for long is ended."""

# What Postgres says about the data of a statement, not about itself, the connection or other transactions.
# asyncpg raises a ValueError for a value that it cannot send.
_REFUSED: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.PLPGSQLError,
    asyncpg.ProgramLimitExceededError,
    ValueError,
)

Clock = Callable[[], datetime | None]
"""Returns what time it is; None: by the clock of the database."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Look:
    """How many seconds until the next tick, None without any, and whether any tick waits for a job."""

    seconds: float | None
    has_waiting: bool


@dataclass
class Round:
    """What one transaction did. `is_full`: it left schedules that are due to the next one."""

    schedules: int = 0
    is_full: bool = False
    outcomes: Counter[FiringOutcome] = field(default_factory=Counter)
    lateness_seconds: list[float] = field(default_factory=list)
    """Of each job, how long after its tick the round began, unless that was a misfire or had waited."""

    started_at: float = field(default_factory=perf_counter)

    def count(self) -> None:
        """Count it in the metrics. Call it only after the commit."""
        for outcome, firings in self.outcomes.items():
            metrics.SCHEDULE_FIRINGS.labels(outcome).inc(firings)
        duration = perf_counter() - self.started_at
        for lateness in self.lateness_seconds:
            metrics.SCHEDULE_LATENESS_SECONDS.observe(lateness + duration)


@dataclass(frozen=True, slots=True)
class _Planned:
    """A schedule with its plan and the jobs that the plan creates, in the order of its firings."""

    due: DueSchedule
    plan: Plan
    jobs: tuple[NewJob, ...] = ()

    def firing_rows(self) -> list[dict[str, Any]]:
        jobs = iter(self.jobs)
        return [
            {
                "schedule_id": self.due.schedule.id,
                "fire_at": firing.fire_at,
                "outcome": firing.outcome,
                "job_id": next(jobs).id if firing.outcome is FiringOutcome.FIRED else None,
                "count": firing.count,
                "through_at": firing.through_at,
                "reason": _json(firing.reason),
            }
            for firing in self.plan.firings
        ]


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A tick and what became of it, as stored."""

    schedule_id: UUID
    fire_at: datetime
    outcome: FiringOutcome
    job_id: UUID | None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        return cls(row["schedule_id"], row["fire_at"], FiringOutcome(row["outcome"]), row["job_id"])


_Replan = Callable[[DueSchedule, Refusal], Plan]
_Record = Callable[[asyncpg.Connection, Sequence[_Planned]], Awaitable[list[_Recorded]]]


class Dispatcher:
    """Fires the schedules of the kinds that this process knows."""

    def __init__(
        self,
        settings: Settings,
        kinds: Mapping[str, Kind],
        quota: Quota,
        *,
        clock: Clock = lambda: None,
        schedules_at_once: int = SCHEDULES_AT_ONCE,
        plan_seconds: float = PLAN_SECONDS,
    ) -> None:
        self._kinds = list(kinds)
        self._jobs = JobPlanner(settings, kinds, quota)
        self._clock = clock
        self._schedules_at_once = schedules_at_once
        self._plan_seconds = plan_seconds

    async def look(self, connection: asyncpg.Connection) -> Look:
        """Look when the next tick is. Locks nothing."""
        row = await statements.LOOK.fetchrow(connection, kinds=self._kinds)
        assert row is not None  # noqa: S101  # a row of aggregates
        return Look(row["seconds"], row["has_waiting"])

    async def fire(self, unit: UnitOfWork) -> Round:
        """Fire schedules that are due, at most `schedules_at_once`, in the caller's transaction."""
        done = Round()
        now = self._clock()
        taken = await statements.TAKE_DUE.fetch(
            unit.connection, now=now, kinds=self._kinds, limit=self._schedules_at_once
        )
        if not taken:
            return done
        due, now = await self._state(unit.connection, taken, now)
        plans = await asyncio.to_thread(self._plan_all, due, now)
        done.schedules = len(plans)
        done.is_full = len(taken) == self._schedules_at_once or len(plans) < len(due)

        def replan(due: DueSchedule, refusal: Refusal) -> Plan:
            return plan(due, now, refusal)

        recorded = await self._write_isolated(unit, plans, replan, _record)
        done.outcomes.update(one.outcome for one in recorded)
        misfires = {
            (planned.due.schedule.id, firing.fire_at)
            for planned in plans
            for firing in planned.plan.firings
            if not firing.is_on_time
        }
        done.lateness_seconds = [
            (now - one.fire_at).total_seconds()
            for one in recorded
            if one.outcome is FiringOutcome.FIRED and (one.schedule_id, one.fire_at) not in misfires
        ]
        return done

    async def promote(self, unit: UnitOfWork) -> Round:
        """Create the jobs of ticks that waited for another job to end, in the caller's transaction."""
        done = Round()
        taken = await statements.TAKE_WAITING.fetch(
            unit.connection, kinds=self._kinds, limit=self._schedules_at_once
        )
        if not taken:
            return done
        due, _ = await self._state(unit.connection, taken, self._clock())
        done.is_full = len(taken) == self._schedules_at_once
        plans = [
            _Planned(one, _promotion(one.schedule, one.waiting_since))
            for one in due
            if one.waiting_since is not None and not one.is_busy and one.owner_is_active
        ]
        done.schedules = len(plans)
        recorded = await self._write_isolated(unit, plans, _refuse_promotion, _record_promotion)
        done.outcomes.update(one.outcome for one in recorded)
        return done

    async def renew(self, connection: asyncpg.Connection) -> None:
        """Compute again the next ticks that older zone data gave, and those of owners who are active again.

        Only of older data: two versions in a rolling update would take turns otherwise.
        """
        rows = await statements.TAKE_OUTDATED.fetch(
            connection, now=self._clock(), tz_version=zones.VERSION, limit=self._schedules_at_once
        )
        if not rows:
            return
        outdated = [(ScheduleRow.from_row(row), row["now"]) for row in rows]
        if not (renewed := await asyncio.to_thread(_renew_all, outdated)):
            return
        rows_of_plans = [_plan_row(schedule.id, standing) for schedule, standing in renewed]
        await statements.RENEW.execute(
            connection, tz_version=zones.VERSION, **statements.PLANS.parameters(rows_of_plans)
        )
        await outbox.add(
            connection,
            [event for schedule, standing in renewed for event in events.of_standing(schedule, standing)],
        )
        log.info("schedules_renewed", schedules=len(renewed), tz_version=zones.VERSION)

    async def _state(
        self, connection: asyncpg.Connection, taken: Sequence[asyncpg.Record], now: datetime | None
    ) -> tuple[list[DueSchedule], datetime]:
        rows = await statements.STATE.fetch(connection, now=now, schedule_ids=[row["id"] for row in taken])
        return [DueSchedule.from_row(row) for row in rows], rows[0]["now"]

    def _plan_all(self, due: Iterable[DueSchedule], now: datetime) -> list[_Planned]:
        """Plan as many schedules as the time allows, at least one."""
        started = monotonic()
        plans: list[_Planned] = []
        firings = 0
        for one in due:
            plans.append(_Planned(one, _plan_or_break(one, now)))
            firings += len(plans[-1].plan.firings)
            if firings >= FIRINGS_AT_ONCE or monotonic() - started > self._plan_seconds:
                break
        return plans

    async def _write_isolated(
        self,
        unit: UnitOfWork,
        plans: Sequence[_Planned],
        replan: _Replan,
        record: _Record,
    ) -> list[_Recorded]:
        """Write all plans; if Postgres refuses them, one by one, so that only one of them is broken."""
        try:
            return await self._write(unit, plans, replan, record)
        except _REFUSED as error:
            log.warning("schedule_round_refused", schedules=len(plans), error=repr(error))
        recorded = []
        for planned in plans:
            try:
                recorded += await self._write(unit, [planned], replan, record)
            except _REFUSED as error:
                schedule_id = planned.due.schedule.id
                log.error("schedule_broken", schedule_id=str(schedule_id), error=repr(error))
                broken = Plan(ScheduleStatus.BROKEN, reason=_REFUSED_BY_DATABASE)
                await _record(unit.connection, [_Planned(planned.due, broken)])
        return recorded

    async def _write(
        self, unit: UnitOfWork, plans: Sequence[_Planned], replan: _Replan, record: _Record
    ) -> list[_Recorded]:
        """Write plans in a savepoint. Return the ticks that are recorded, which had no firing before."""
        async with unit.transaction():
            with_jobs = await self._with_jobs(unit.connection, plans, replan)
            recorded = await record(unit.connection, with_jobs)
            replacing = [planned.due.schedule.id for planned in with_jobs if planned.plan.cancels_active]
            if replacing:
                active = await statements.ACTIVE_JOBS.fetch(unit.connection, schedule_ids=replacing)
                await jobs.cancel_replaced(unit, [row["id"] for row in active])
            created = {one.job_id for one in recorded}
            await jobs.create_all(
                unit, [job for planned in with_jobs for job in planned.jobs if job.id in created]
            )
        failpoints.reach("fire:recorded")
        return recorded

    async def _with_jobs(
        self, connection: asyncpg.Connection, plans: Sequence[_Planned], replan: _Replan
    ) -> list[_Planned]:
        """Plan the jobs. A schedule whose jobs cannot all be planned is planned again without them."""
        wanted = [
            WantedJobs(planned.due, ticks) for planned in plans if (ticks := _ticks_with_jobs(planned.plan))
        ]
        made = await self._jobs.plan(connection, wanted) if wanted else {}
        complete = []
        for planned in plans:
            its_jobs = made.get(planned.due.schedule.id)
            if its_jobs is None:
                complete.append(planned)
            elif its_jobs.refusal is None:
                complete.append(_Planned(planned.due, planned.plan, its_jobs.jobs))
            else:
                plan = replan(planned.due, its_jobs.refusal)
                complete.append(_Planned(planned.due, plan, its_jobs.jobs))
        return complete


_REFUSED_BY_DATABASE: Final = Reason(
    code="internal_error", message="The database refused its firing. Change its job, or ask an operator."
)


def _ticks_with_jobs(plan: Plan) -> tuple[datetime, ...]:
    return tuple(firing.fire_at for firing in plan.firings if firing.outcome is FiringOutcome.FIRED)


def _plan_or_break(due: DueSchedule, now: datetime) -> Plan:
    try:
        return plan(due, now)
    except Exception as error:  # one schedule must not stop the others
        log.exception("schedule_broken", schedule_id=str(due.schedule.id))
        return Plan(ScheduleStatus.BROKEN, reason=cannot_compute(repr(error)))


def _promotion(schedule: ScheduleRow, fire_at: datetime) -> Plan:
    firing = PlannedFiring(fire_at, FiringOutcome.FIRED, is_on_time=False)
    return Plan(schedule.status, schedule.next_fire_at, schedule.reason, (firing,))


def _refuse_promotion(due: DueSchedule, refusal: Refusal) -> Plan:
    [firing] = _promotion(due.schedule, due.waiting_since or due.schedule.created_at).firings
    refused = replace(firing, outcome=FiringOutcome.REFUSED, reason=refusal.reason)
    return Plan(due.schedule.status, due.schedule.next_fire_at, due.schedule.reason, (refused,))


async def _record(connection: asyncpg.Connection, plans: Sequence[_Planned]) -> list[_Recorded]:
    """Record plans, and write their events. Return the ticks that had no firing before."""
    standings = [_plan_row(planned.due.schedule.id, planned.plan) for planned in plans]
    rows = await statements.RECORD.fetch(
        connection,
        tz_version=zones.VERSION,
        **statements.PLANS.parameters(standings),
        **_firings(plans),
    )
    recorded = [_Recorded.from_row(row) for row in rows]
    of_standings = [
        event for planned in plans for event in events.of_standing(planned.due.schedule, planned.plan)
    ]
    await outbox.add(connection, [*_events_of_ticks(plans, recorded), *of_standings])
    return recorded


async def _record_promotion(connection: asyncpg.Connection, plans: Sequence[_Planned]) -> list[_Recorded]:
    rows = await statements.PROMOTE.fetch(connection, **_firings(plans))
    recorded = [_Recorded.from_row(row) for row in rows]
    await outbox.add(connection, _events_of_ticks(plans, recorded))
    return recorded


def _events_of_ticks(plans: Sequence[_Planned], recorded: Sequence[_Recorded]) -> list[outbox.Event]:
    ticks = {(one.schedule_id, one.fire_at) for one in recorded}
    return [
        event for planned in plans for event in events.of_ticks(planned.due.schedule, planned.plan, ticks)
    ]


def _firings(plans: Sequence[_Planned]) -> Mapping[str, Any]:
    return statements.FIRINGS.parameters([row for planned in plans for row in planned.firing_rows()])


def _renew_all(outdated: Iterable[tuple[ScheduleRow, datetime]]) -> list[tuple[ScheduleRow, Plan]]:
    return [
        (schedule, next_standing(schedule, now))
        for schedule, now in outdated
        if not _is_current(schedule, now)
    ]


def _is_current(schedule: ScheduleRow, now: datetime) -> bool:
    """Whether another process has changed a schedule since it was found."""
    if schedule.status is ScheduleStatus.SUSPENDED:
        return False
    return schedule.next_fire_at is None or schedule.next_fire_at <= now


def _plan_row(schedule_id: UUID, plan: Plan) -> dict[str, Any]:
    return {
        "schedule_id": schedule_id,
        "next_fire_at": plan.next_fire_at,
        "status": plan.status,
        "reason": _json(plan.reason),
        "replaces_waiting": plan.replaces_waiting,
    }


def _json(reason: Reason | None) -> str | None:
    return None if reason is None else msgspec.json.encode(reason).decode()
