"""Decides what becomes of the ticks of a due schedule, and where the schedule stands afterwards. Pure."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self, assert_never

from app.auth.roles import Role
from app.core.rows import Row
from app.schedules import rules
from app.schedules.rules import Rule, RuleFailed, Window
from app.schedules.states import CatchUp, FiringOutcome, Overlap, ScheduleStatus
from app.schedules.values import Reason, ScheduleRow

TICKS_AT_ONCE: Final = 1000
"""Ticks of one schedule that are on time and planned at once. The next round plans the rest."""

MOST_COUNTED: Final = 1000
"""Misfires of one schedule that are counted."""

_INSTANT: Final = timedelta(microseconds=1)

BUSY: Final = Reason(code="busy", message="A job of this schedule was pending or running.")
QUEUE_FULL: Final = Reason(code="queue_full", message="As many ticks as `queue_limit` allows were waiting.")
OWNER_INACTIVE: Final = Reason(
    code="owner_inactive", message="The account of its owner is disabled. It resumes when that is enabled."
)


@dataclass(frozen=True, slots=True)
class DueSchedule:
    """A schedule that is due, and what decides about its ticks.

    `waiting` counts its waiting firings, the oldest of which is of `waiting_since`. `failures` counts the
    failed among its last `pause_after_failures` jobs that ended after it was resumed.
    """

    schedule: ScheduleRow
    owner_role: Role
    owner_is_active: bool
    is_busy: bool
    waiting: int
    waiting_since: datetime | None
    failures: int

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of the statement that reads due schedules."""
        return cls(
            schedule=ScheduleRow.from_row(row),
            owner_role=Role(row["owner_role"]),
            owner_is_active=row["owner_is_active"],
            is_busy=row["is_busy"],
            waiting=row["waiting"],
            waiting_since=row["waiting_since"],
            failures=row["failures"],
        )


@dataclass(frozen=True, slots=True)
class PlannedFiring:
    """What becomes of a tick. `is_on_time` is false for misfires."""

    fire_at: datetime
    outcome: FiringOutcome
    reason: Reason | None = None
    count: int | None = None
    through_at: datetime | None = None
    is_on_time: bool = True


@dataclass(frozen=True, slots=True)
class Refusal:
    """No job can be created after the first `jobs` of this plan, for this reason."""

    reason: Reason
    jobs: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of the ticks of a schedule, and its state afterwards.

    `cancels_active`: its active jobs are cancelled. `replaces_waiting`: its waiting firings are `replaced`.
    """

    status: ScheduleStatus
    next_fire_at: datetime | None = None
    reason: Reason | None = None
    firings: tuple[PlannedFiring, ...] = ()
    cancels_active: bool = False
    replaces_waiting: bool = False

    @property
    def jobs(self) -> int:
        """How many jobs it creates."""
        return sum(firing.outcome is FiringOutcome.FIRED for firing in self.firings)


def plan(due: DueSchedule, now: datetime, refusal: Refusal | None = None) -> Plan:
    """Plan the ticks of a schedule that are due at `now`, oldest first.

    Returns a plan with the status `broken` if the next tick cannot be computed.
    """
    schedule = due.schedule
    if not due.owner_is_active:
        return Plan(ScheduleStatus.SUSPENDED, reason=OWNER_INACTIVE)
    if schedule.pause_after_failures is not None and due.failures >= schedule.pause_after_failures:
        return Plan(ScheduleStatus.PAUSED, reason=_too_many_failures(due.failures))
    ticks = _due_ticks(schedule, now)
    outcomes = _Outcomes(due, refusal)
    for position, tick in enumerate(ticks.runnable, start=1):
        outcomes.add(tick, is_newest=position == len(ticks.runnable))
    standing = Plan(ScheduleStatus.FINISHED) if outcomes.runs_left == 0 else ticks.standing
    missed = () if ticks.missed is None else (ticks.missed,)
    return Plan(
        standing.status,
        standing.next_fire_at,
        standing.reason,
        firings=(*missed, *outcomes.firings),
        cancels_active=outcomes.cancels_active,
        replaces_waiting=outcomes.replaces_waiting,
    )


def next_standing(schedule: ScheduleRow, after: datetime) -> Plan:
    """Return where a schedule stands that fires next at its first tick later than `after`."""
    if schedule.max_runs is not None and schedule.fired >= schedule.max_runs:
        return Plan(ScheduleStatus.FINISHED)
    try:
        rule, window = _timing(schedule)
        return _standing(window.next_after(rule, after))
    except RuleFailed as error:
        return Plan(ScheduleStatus.BROKEN, reason=cannot_compute(error.reason))


def cannot_compute(why: str) -> Reason:
    """Why a schedule is broken."""
    return Reason(code="cannot_compute", message=f"Its next tick cannot be computed: {why}.")


def jitter(schedule: ScheduleRow, fire_at: datetime) -> timedelta:
    """Return how much later than its tick a job starts: the same for each process that computes it."""
    if not schedule.jitter_seconds:
        return timedelta(0)
    digest = hashlib.sha256(schedule.id.bytes + str(fire_at.timestamp()).encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return timedelta(seconds=schedule.jitter_seconds * share)


@dataclass(frozen=True, slots=True)
class _Tick:
    at: datetime
    is_on_time: bool = True


@dataclass(frozen=True, slots=True)
class _Ticks:
    """The ticks of a schedule that are due: those to run, oldest first, and the older ones as one firing."""

    standing: Plan
    runnable: tuple[_Tick, ...] = ()
    missed: PlannedFiring | None = None


def _timing(schedule: ScheduleRow) -> tuple[Rule, Window]:
    return rules.decode(schedule.rule), Window(schedule.starts_at, schedule.ends_at)


def _standing(next_fire_at: datetime | None) -> Plan:
    if next_fire_at is None:
        return Plan(ScheduleStatus.FINISHED)
    return Plan(ScheduleStatus.ACTIVE, next_fire_at)


def _due_ticks(schedule: ScheduleRow, now: datetime) -> _Ticks:
    first = schedule.next_fire_at
    if first is None:
        raise ValueError("a schedule that is due has a next tick")
    on_time_from = now - timedelta(seconds=schedule.misfire_grace_seconds)
    try:
        rule, window = _timing(schedule)
        misfires = _misfires(schedule, rule, window, first, on_time_from, now)
        on_time, next_fire_at = _on_time(rule, window, first, on_time_from, now)
    except RuleFailed as error:
        # The tick that is due was computed before.
        broken = Plan(ScheduleStatus.BROKEN, reason=cannot_compute(error.reason))
        if first >= on_time_from:
            return _Ticks(broken, (_Tick(first),))
        return _Ticks(broken, missed=_missed(first, first, 1))
    return _Ticks(_standing(next_fire_at), (*misfires.runnable, *on_time), misfires.missed)


@dataclass(frozen=True, slots=True)
class _Misfires:
    runnable: tuple[_Tick, ...] = ()
    missed: PlannedFiring | None = None


def _misfires(
    schedule: ScheduleRow,
    rule: Rule,
    window: Window,
    first: datetime,
    on_time_from: datetime,
    now: datetime,
) -> _Misfires:
    """Return which ticks from `first` until `on_time_from` run after all, and the rest as one firing."""
    if first >= on_time_from:
        return _Misfires()
    since, limit = _catch_up(schedule, first, now)
    caught_up = window.newest(rule, through=on_time_from - _INSTANT, limit=limit, not_before=since)
    runnable = tuple(_Tick(at, is_on_time=False) for at in caught_up)
    end = caught_up[0] if caught_up else on_time_from
    if end <= first:
        return _Misfires(runnable)
    through = window.newest(rule, through=end - _INSTANT, limit=1, not_before=first)
    last = through[0] if through else first
    count = rules.count(rule, since=first, through=last, limit=MOST_COUNTED)
    return _Misfires(runnable, _missed(first, last, count))


def _catch_up(schedule: ScheduleRow, first: datetime, now: datetime) -> tuple[datetime, int]:
    """Return since when misfires run after all, and how many."""
    match schedule.catch_up:
        case CatchUp.NONE:
            return first, 0
        case CatchUp.LAST:
            return first, 1
        case CatchUp.ALL:
            window = timedelta(seconds=schedule.catch_up_window_seconds)
            return max(first, now - window), schedule.catch_up_limit
        case _:
            assert_never(schedule.catch_up)


def _missed(first: datetime, last: datetime, count: int | None) -> PlannedFiring:
    return PlannedFiring(first, FiringOutcome.MISSED, count=count, through_at=last, is_on_time=False)


def _on_time(
    rule: Rule, window: Window, first: datetime, on_time_from: datetime, now: datetime
) -> tuple[list[_Tick], datetime | None]:
    """Return the ticks from `on_time_from` until `now`, as many as are planned at once, and the next one."""
    # `first` was promised, even if other zone data now computes another tick.
    found = [first] if first >= on_time_from else []
    for at in window.ticks(rule, max(first + _INSTANT, on_time_from)):
        if at > now or len(found) == TICKS_AT_ONCE:
            return [_Tick(tick) for tick in found], at
        found.append(at)
    return [_Tick(tick) for tick in found], None


class _Outcomes:
    """Decides about the ticks of a schedule one after the other: each sees what became of those before it."""

    def __init__(self, due: DueSchedule, refusal: Refusal | None) -> None:
        schedule = due.schedule
        self._schedule = schedule
        self._refusal = refusal
        self._is_busy = due.is_busy
        self._waiting = due.waiting
        self._jobs = 0
        self.firings: list[PlannedFiring] = []
        self.cancels_active = False
        self.replaces_waiting = False
        self.runs_left = None if schedule.max_runs is None else max(0, schedule.max_runs - schedule.fired)

    def add(self, tick: _Tick, *, is_newest: bool) -> None:
        """Decide about the next tick, unless the schedule has had all its runs."""
        if self.runs_left == 0:
            return
        outcome, reason = self._decide(is_newest=is_newest)
        self.firings.append(PlannedFiring(tick.at, outcome, reason, is_on_time=tick.is_on_time))

    def _decide(self, *, is_newest: bool) -> tuple[FiringOutcome, Reason | None]:
        is_free = not self._is_busy and not self._waiting
        match self._schedule.overlap:
            case Overlap.ALLOW:
                return self._start()
            case Overlap.SKIP:
                return self._start() if is_free else (FiringOutcome.SKIPPED, BUSY)
            case Overlap.QUEUE:
                if is_free:
                    return self._start()
                if self._waiting >= self._schedule.queue_limit:
                    return FiringOutcome.SKIPPED, QUEUE_FULL
                return self._wait()
            case Overlap.REPLACE:
                return self._replace() if is_newest else (FiringOutcome.REPLACED, None)
            case _:
                assert_never(self._schedule.overlap)

    def _start(self) -> tuple[FiringOutcome, Reason | None]:
        if self._refusal is not None and self._jobs >= self._refusal.jobs:
            return FiringOutcome.REFUSED, self._refusal.reason
        self._jobs += 1
        self._is_busy = True
        self._count_run()
        return FiringOutcome.FIRED, None

    def _wait(self) -> tuple[FiringOutcome, Reason | None]:
        self._waiting += 1
        self._count_run()
        return FiringOutcome.WAITING, None

    def _replace(self) -> tuple[FiringOutcome, Reason | None]:
        """Take the place of the active job, or of the tick that waits for its end."""
        if self._waiting:
            self.replaces_waiting = True
            if self.runs_left is not None:
                self.runs_left += self._waiting
            self._waiting = 0
        if not self._is_busy:
            return self._start()
        self.cancels_active = True
        return self._wait()

    def _count_run(self) -> None:
        if self.runs_left is not None:
            self.runs_left -= 1


def _too_many_failures(failures: int) -> Reason:
    message = f"The last {failures} jobs failed." if failures > 1 else "The last job failed."
    return Reason(code="too_many_failures", message=message)
