"""What schedules report to the subscriptions of their owners."""

from collections.abc import Container, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from app.notifications.outbox import Event
from app.notifications.states import NotificationType
from app.schedules.plan import Plan
from app.schedules.states import FiringOutcome, ScheduleStatus
from app.schedules.values import Reason, ScheduleRow

_OF_OUTCOMES: Final[Mapping[FiringOutcome, NotificationType]] = {
    FiringOutcome.REFUSED: NotificationType.SCHEDULE_REFUSED,
    FiringOutcome.MISSED: NotificationType.SCHEDULE_MISSED,
}

# A suspended schedule is not reported: the account of its owner is disabled, and gets nothing.
_OF_STATUSES: Final[Mapping[ScheduleStatus, NotificationType]] = {
    ScheduleStatus.PAUSED: NotificationType.SCHEDULE_PAUSED,
    ScheduleStatus.FINISHED: NotificationType.SCHEDULE_FINISHED,
    ScheduleStatus.BROKEN: NotificationType.SCHEDULE_BROKEN,
}


def of_ticks(
    schedule: ScheduleRow, plan: Plan, recorded: Container[tuple[UUID, datetime]]
) -> Iterator[Event]:
    """Yield what to report of the ticks of a plan, oldest first, if they are among those `recorded` now."""
    for firing in plan.firings:
        reported = _OF_OUTCOMES.get(firing.outcome)
        if reported is not None and (schedule.id, firing.fire_at) in recorded:
            yield _event(
                schedule,
                reported,
                firing.reason,
                fire_at=firing.fire_at,
                through_at=firing.through_at,
                count=firing.count,
            )


def of_standing(schedule: ScheduleRow, plan: Plan) -> Iterator[Event]:
    """Yield what to report of a schedule that stops firing by a plan."""
    reported = _OF_STATUSES.get(plan.status)
    if reported is not None:
        yield _event(schedule, reported, plan.reason)


def of_refused_run(schedule: ScheduleRow, fire_at: datetime, reason: Reason) -> Event:
    """Return what to report of a run on request that created no job."""
    return _event(schedule, NotificationType.SCHEDULE_REFUSED, reason, fire_at=fire_at)


def _event(
    schedule: ScheduleRow,
    reported: NotificationType,
    reason: Reason | None,
    *,
    fire_at: datetime | None = None,
    through_at: datetime | None = None,
    count: int | None = None,
) -> Event:
    data: dict[str, Any] = {
        "schedule_id": schedule.id,
        "name": schedule.name,
        "group": schedule.group_name,
        "kind": schedule.kind,
        "fire_at": _in_utc(fire_at),
        "through_at": _in_utc(through_at),
        "count": count,
        "reason": reason,
    }
    return Event(owner_id=schedule.owner_id, type=reported, data=data, schedule_id=schedule.id)


def _in_utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)
