"""Schedules and firings in the shape the API returns."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from app.core import paging
from app.core.errors import AppError
from app.core.paging import Page
from app.http.links import link
from app.schedules import rules
from app.schedules.preview import PreviewedTick
from app.schedules.queries import Activity, ListedSchedule, ScheduleGroup
from app.schedules.rules import Cron, Rule, RuleFailed, Window
from app.schedules.schemas import (
    FiringPage,
    FiringView,
    Preview,
    PreviewedFire,
    ReasonView,
    ScheduleGroupList,
    ScheduleGroupView,
    ScheduleLinks,
    SchedulePage,
    ScheduleView,
)
from app.schedules.values import Firing, Reason, ScheduleRow

NEXT_FIRES: Final = 5
_MILLISECOND: Final = timedelta(milliseconds=1)


def schedule(row: ScheduleRow) -> ScheduleView:
    """Return a schedule as its owner sees it."""
    cron, description = _words(row)
    return ScheduleView(
        schedule_id=row.id,
        name=row.name,
        group=row.group_name,
        user_id=row.owner_id,
        kind=row.kind,
        trigger=row.trigger,
        cron=cron,
        description=description,
        timezone=row.timezone,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        max_runs=row.max_runs,
        pause_after_failures=row.pause_after_failures,
        misfire_grace_seconds=row.misfire_grace_seconds,
        catch_up=row.catch_up,
        catch_up_limit=row.catch_up_limit,
        catch_up_window_seconds=row.catch_up_window_seconds,
        overlap=row.overlap,
        queue_limit=row.queue_limit,
        jitter_seconds=row.jitter_seconds,
        job=row.job,
        status=row.status,
        reason=_reason(row.reason),
        next_fire_at=row.next_fire_at,
        last_fire_at=row.last_fire_at,
        fired=row.fired,
        revision=row.revision,
        created_at=row.created_at,
        updated_at=row.updated_at,
        links=_links(row),
    )


def details(row: ScheduleRow, activity: Activity, last: Firing | None) -> ScheduleView:
    """Return a schedule with its next ticks, its active jobs and what became of its last tick."""
    view = schedule(row)
    view["next_fires"] = _next_fires(row)
    view["active_job_ids"] = list(activity.active_job_ids)
    view["last_firing"] = None if last is None else firing(last)
    view["failures"] = activity.failures
    return view


def page(found: Page[ListedSchedule]) -> SchedulePage:
    """Return a page of schedules."""
    return SchedulePage(
        items=[_listed(one) for one in found.items],
        next_cursor=found.next_cursor(lambda last: paging.encode_cursor(last.schedule.id)),
    )


def firing(found: Firing) -> FiringView:
    """Return what became of a tick."""
    return FiringView(
        fire_at=found.fire_at,
        outcome=found.outcome,
        job_id=found.job_id,
        count=found.count,
        through_at=found.through_at,
        reason=_reason(found.reason),
        lateness_ms=max(0, (found.at - found.fire_at) // _MILLISECOND),
    )


def firing_page(found: Page[Firing]) -> FiringPage:
    """Return a page of firings."""
    return FiringPage(
        items=[firing(one) for one in found.items],
        next_cursor=found.next_cursor(lambda last: paging.encode_instant(last.fire_at)),
    )


def preview(rule: Rule, timezone: str, ticks: Sequence[PreviewedTick]) -> Preview:
    """Return what a trigger means, and its next ticks."""
    return Preview(
        description=rules.describe(rule, timezone),
        cron=rule.expression if isinstance(rule, Cron) else None,
        fires=[PreviewedFire(fire_at=tick.fire_at, local=tick.local, note=tick.note) for tick in ticks],
    )


def groups(found: Sequence[ScheduleGroup]) -> ScheduleGroupList:
    """Return all groups of schedules."""
    return ScheduleGroupList(
        items=[
            ScheduleGroupView(
                group=one.group, schedules=one.schedules, active=one.active, next_fire_at=one.next_fire_at
            )
            for one in found
        ]
    )


def _listed(found: ListedSchedule) -> ScheduleView:
    view = schedule(found.schedule)
    view["recent"] = list(found.recent)
    return view


def _words(row: ScheduleRow) -> tuple[str | None, str]:
    """Return the cron expression of a schedule, if it has one, and its rule in words."""
    try:
        rule = rules.decode(row.rule)
        return rule.expression if isinstance(rule, Cron) else None, rules.describe(rule, row.timezone)
    except RuleFailed as error:
        return None, error.reason
    except AppError as error:  # the zone is gone from the zone data
        return None, error.detail


def _next_fires(row: ScheduleRow) -> list[datetime]:
    if row.next_fire_at is None:
        return []
    window = Window(row.starts_at, row.ends_at)
    try:
        return list(islice(window.ticks(rules.decode(row.rule), row.next_fire_at), NEXT_FIRES))
    except RuleFailed:
        return [row.next_fire_at]


def _reason(reason: Reason | None) -> ReasonView | None:
    return None if reason is None else ReasonView(code=reason["code"], message=reason["message"])


def _links(row: ScheduleRow) -> ScheduleLinks:
    here = link(f"/schedules/{row.id}")
    return ScheduleLinks(self=here, firings=f"{here}/firings", jobs=link(f"/jobs?schedule_id={row.id}"))
