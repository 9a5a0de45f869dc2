"""Definitions: what the owner of a schedule decides, and the ticks that follow from it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Final, Self

from app.schedules import rules, zones
from app.schedules.errors import ScheduleBroken, invalid_field
from app.schedules.rules import Interval, Rule, RuleFailed, Window
from app.schedules.schemas import ScheduleChange, ScheduleDefinition
from app.schedules.states import CatchUp, Overlap
from app.schedules.triggers import Trigger, WindowFields
from app.schedules.values import ScheduleRow


@dataclass(frozen=True, kw_only=True)
class Definition:
    """The columns of a schedule that its owner decides. `trigger` and `job` are as the request gave them."""

    name: str
    group_name: str | None
    trigger: Mapping[str, Any]
    timezone: str
    starts_at: datetime | None
    ends_at: datetime | None
    max_runs: int | None
    pause_after_failures: int | None
    misfire_grace_seconds: int
    catch_up: CatchUp
    catch_up_limit: int
    catch_up_window_seconds: int
    overlap: Overlap
    queue_limit: int
    jitter_seconds: int
    kind: str
    job: Mapping[str, Any]

    @classmethod
    def of(cls, schedule: ScheduleRow) -> Self:
        """Return the definition of a stored schedule."""
        return cls(**{field.name: getattr(schedule, field.name) for field in fields(cls)})

    @classmethod
    def from_request(
        cls,
        request: ScheduleDefinition,
        *,
        name: str,
        kind: str,
        job: Mapping[str, Any],
        created_at: datetime,
    ) -> Self:
        """Return what a request defines, for a schedule that was created then."""
        return cls(
            name=name,
            group_name=request.group,
            trigger=_stored(request.trigger),
            timezone=request.timezone,
            starts_at=request.starts_at,
            ends_at=request.end(created_at),
            max_runs=request.max_runs,
            pause_after_failures=request.pause_after_failures,
            misfire_grace_seconds=request.misfire_grace_seconds,
            catch_up=request.catch_up,
            catch_up_limit=request.catch_up_limit,
            catch_up_window_seconds=request.catch_up_window_seconds,
            overlap=request.overlap,
            queue_limit=request.queue_limit,
            jitter_seconds=request.jitter_seconds,
            kind=kind,
            job=job,
        )

    def with_changes(
        self, change: ScheduleChange, *, kind: str, job: Mapping[str, Any], created_at: datetime
    ) -> Self:
        """Return the definition with the fields that a `ScheduleChange` sets."""
        given = {name: getattr(change, name) for name in change.model_fields_set}
        changes: dict[str, Any] = {name: value for name, value in given.items() if name in _AS_GIVEN}
        if "group" in given:
            changes["group_name"] = given["group"]
        if "trigger" in given:
            changes["trigger"] = _stored(given["trigger"])
        starts_at = given.get("starts_at", self.starts_at)
        ends_at = given.get("ends_at", self.ends_at)
        if "duration_seconds" in given:
            window = WindowFields(starts_at=starts_at, duration_seconds=given["duration_seconds"])
            ends_at = window.end(created_at)
        return replace(self, kind=kind, job=job, starts_at=starts_at, ends_at=ends_at, **changes)

    def has_timing_of(self, other: "Definition") -> bool:
        """Whether both fire at the same ticks."""
        return (self.trigger, self.timezone, self.starts_at, self.ends_at) == (
            other.trigger,
            other.timezone,
            other.starts_at,
            other.ends_at,
        )


_COMPUTED: Final = {"trigger", "starts_at", "ends_at", "kind", "job"}
_AS_GIVEN: Final = {field.name for field in fields(Definition)} - _COMPUTED
"""Columns that are fields of a request, with the same values."""


def _stored(trigger: Trigger) -> dict[str, Any]:
    return trigger.model_dump(mode="json", exclude_unset=True)


@dataclass(frozen=True)
class Timing:
    """The compiled trigger of a schedule and its window. `tz_version` is None without a zone."""

    rule: Rule
    window: Window
    tz_version: str | None

    @classmethod
    def compile(cls, definition: Definition, *, created_at: datetime, now: datetime) -> Self:
        """Compile the trigger of a definition.

        Raises what `rules.compile_rule` raises, and Unprocessable if the jitter is longer than half of an
        interval.
        """
        rule = rules.compile_rule(
            Trigger.model_validate(definition.trigger),
            timezone=definition.timezone,
            starts_at=definition.starts_at,
            created_at=created_at,
            now=now,
        )
        return cls.of_rule(rule, definition)

    @classmethod
    def of_rule(cls, rule: Rule, definition: Definition) -> Self:
        """Return the timing of a rule that is compiled. Raises Unprocessable as `compile` does."""
        if isinstance(rule, Interval) and definition.jitter_seconds * 2 > rule.seconds:
            raise invalid_field("jitter_seconds", "the jitter is at most half of the interval")
        window = Window(definition.starts_at, definition.ends_at)
        return cls(rule, window, zones.VERSION if rules.is_zoned(rule) else None)

    def first(self, since: datetime) -> datetime:
        """Return the first tick at `since` or later. Raises NeverFires and BadCron."""
        return self.window.first(self.rule, since)

    def next_after(self, after: datetime) -> datetime | None:
        """Return the first tick later than `after`, or None. Raises ScheduleBroken."""
        try:
            return self.window.next_after(self.rule, after)
        except RuleFailed as error:
            raise ScheduleBroken(reason=error.reason) from None


def stored_timing(schedule: ScheduleRow, definition: Definition, *, now: datetime) -> Timing:
    """Return the timing of a stored schedule whose ticks this definition does not change.

    A rule that can no longer be read is compiled again.
    """
    try:
        return Timing.of_rule(rules.decode(schedule.rule), definition)
    except RuleFailed:
        return Timing.compile(definition, created_at=schedule.created_at, now=now)


def changed_timing(schedule: ScheduleRow, definition: Definition, *, now: datetime) -> Timing:
    """Return the timing of a stored schedule that gets another definition.

    A time that was given as seconds from then does not move with the zone or the window.
    """
    once: Mapping[str, Any] = definition.trigger.get("once", {})
    if "in_seconds" in once and definition.trigger == schedule.trigger:
        return Timing.of_rule(rules.decode(schedule.rule), definition)
    return Timing.compile(definition, created_at=schedule.created_at, now=now)
