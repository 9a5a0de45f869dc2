"""Rules: what a trigger means, as instants in UTC.

A request's trigger is compiled once, into an interval, a cron expression or one instant, and stored that way.
Every comparison and subtraction here is of instants in UTC: two times of one zone compare by wall clock and
ignore which pass of an overlap they are in.
"""

import re
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from datetime import timezone as fixed_offset
from itertools import islice, takewhile
from typing import Any, Final, assert_never

import cronsim
import msgspec
from cronsim import CronSimError
from cronsim.explain import explain

from app.schedules import zones
from app.schedules.errors import BadCron, InThePast, NeverFires, NonexistentTime, UnknownTimezone
from app.schedules.triggers import WEEKDAYS, OnceAt, Trigger

MAX_STEPS: Final = 10_000
"""Steps of cronsim to one tick. No expression of a test needs more than 200."""

HORIZON: Final = timedelta(days=50 * 366)
"""An expression without a tick for so long has none, as for cronsim."""

END: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""No rule has a tick from here on: late in the year 9999, some zones have no local time."""

_INSTANT: Final = timedelta(microseconds=1)
_SECOND: Final = timedelta(seconds=1)

_MACROS: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELDS: Final = ("second", "minute", "hour", "day-of-month", "month", "day-of-week")
_EXPRESSION: Final = re.compile(r"[0-9A-Za-z*,/#\- ]*")
_FIELD: Final = re.compile(r"[^ \t]+")  # whatever else Python takes for a blank is refused later
_ORDINAL: Final = re.compile(r"\b([2-9])([123])th\b")


class RuleFailed(Exception):
    """The ticks of a rule cannot be computed. `reason` says why, without a full stop."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Interval(msgspec.Struct, frozen=True, tag="interval"):
    """Every so many seconds of elapsed time after the anchor, which is a tick itself if included."""

    anchor: datetime
    seconds: int
    includes_anchor: bool = False


class Cron(msgspec.Struct, frozen=True, tag="cron"):
    """A cron expression of 5 or 6 fields on the wall clock of a zone."""

    expression: str
    zone: str

    @property
    def has_fixed_times(self) -> bool:
        """Whether it means times of day, which run once a day whatever clocks do.

        Otherwise it follows real time: nothing in a gap, both passes of an overlap.
        """
        fields = self.expression.split()
        return len(fields) == 5 and not fields[0].startswith("*") and not fields[1].startswith("*")


class Once(msgspec.Struct, frozen=True, tag="once"):
    """One instant."""

    at: datetime


Rule = Interval | Cron | Once


class Window(msgspec.Struct, frozen=True):
    """The instants between which a schedule fires; both count."""

    starts_at: datetime | None = None
    ends_at: datetime | None = None

    def first(self, rule: Rule, since: datetime) -> datetime:
        """The first tick at `since` or later; raises NeverFires if there is none, and BadCron."""
        try:
            tick = next(self.ticks(rule, since), None)
        except RuleFailed as failed:
            raise BadCron(reason=failed.reason, field="expression") from failed
        if tick is None:
            raise NeverFires()
        return tick

    def next_after(self, rule: Rule, t: datetime) -> datetime | None:
        """The first tick later than `t`; None if there is none. Raises RuleFailed."""
        return next(self.ticks(rule, t + _INSTANT), None)

    def ticks(self, rule: Rule, since: datetime) -> Iterator[datetime]:
        """All ticks at `since` or later, in order. Raises RuleFailed."""
        if self.starts_at is not None:
            since = max(since, self.starts_at)
        ticks, ends_at = ticks_after(rule, since - _INSTANT), self.ends_at
        return ticks if ends_at is None else takewhile(lambda tick: tick <= ends_at, ticks)

    def newest(
        self, rule: Rule, *, through: datetime, limit: int, not_before: datetime | None = None
    ) -> list[datetime]:
        """The newest ticks at `through` or earlier, at most `limit`, oldest first. Raises RuleFailed."""
        if self.ends_at is not None:
            through = min(through, self.ends_at)
        if self.starts_at is not None:
            not_before = self.starts_at if not_before is None else max(not_before, self.starts_at)
        return newest(rule, through=through, limit=limit, not_before=not_before)


def compile_rule(
    trigger: Trigger,
    *,
    timezone: str,
    starts_at: datetime | None,
    created_at: datetime,
    now: datetime | None = None,
) -> Rule:
    """Compile a trigger.

    `created_at` is the creation of the schedule, from which its intervals count; `now`, by default the same,
    is what `once` is compared with. Raises UnknownTimezone, BadCron, InThePast, NonexistentTime, NeverFires.
    """
    zone = zones.get(timezone)
    if trigger.every is not None:
        anchor = trigger.anchor_at or starts_at or created_at
        return Interval(anchor.astimezone(UTC), trigger.every.total_seconds, trigger.fire_immediately)
    if trigger.once is not None:
        return _compile_once(trigger.once, zone, timezone, (now or created_at).astimezone(UTC))
    expression = cron_of(trigger)
    if expression is None:
        raise ValueError("a trigger is one of every, once and what cron_of knows")
    _check(expression)
    return Cron(expression, timezone)


def _compile_once(once: OnceAt, zone: tzinfo, timezone: str, now: datetime) -> Once:
    moment = once.moment
    if moment is None:
        return Once(now + timedelta(seconds=once.in_seconds or 0))
    try:
        at = moment if moment.tzinfo is not None else _to_instant(moment, zone, timezone)
    except OverflowError:
        raise NeverFires() from None
    if at < now:
        raise InThePast(at=once.at)
    return Once(at)


def _to_instant(wall: datetime, zone: tzinfo, timezone: str) -> datetime:
    """The instant of a local time, the first of two if it exists twice; raises NonexistentTime."""
    instant = wall.replace(tzinfo=zone).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == wall:
        return instant
    # In a gap, the second reading of a time is the earlier one (PEP 495).
    earlier = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    changed = zones.change(zone, earlier, instant)
    if changed is None:
        raise AssertionError(f"{wall} does not exist in {timezone}, although its clocks do not change")
    before = changed.astimezone(fixed_offset(zones.offset(zone, earlier)))
    raise NonexistentTime(
        at=wall.isoformat(),
        timezone=timezone,
        before=before.isoformat(),
        after=changed.astimezone(zone).isoformat(),
    )


def _check(expression: str) -> None:
    """Raise BadCron unless cronsim can read the expression."""
    if expression.startswith("@"):
        raise BadCron(reason=f"unknown macro {expression!r}", field="expression")
    if _EXPRESSION.fullmatch(expression) is None:
        raise BadCron(reason="it has characters other than letters, digits and * , - / #", field="expression")
    fields = expression.split()
    if len(fields) not in (5, 6):
        number = f"{len(fields)} field{'s' * (len(fields) != 1)}"
        raise BadCron(reason=f"it has {number}, not 5, or 6 with seconds first", field="expression")
    try:
        Walk(expression, datetime(2000, 1, 1, tzinfo=UTC))
    except (CronSimError, ValueError) as error:
        field = str(error).removeprefix("Bad ")
        if field not in _FIELDS:
            raise BadCron(reason="it cannot be read", field="expression") from error
        part = fields[_FIELDS.index(field) - len(_FIELDS) + len(fields)]
        raise BadCron(reason=f"bad {field} {part!r}", field=field) from error


def is_zoned(rule: Rule) -> bool:
    """Whether the ticks depend on the zone data, so that another release may move them."""
    return isinstance(rule, Cron) and rule.zone != "UTC"


def encode(rule: Rule) -> dict[str, Any]:
    """The rule as JSON."""
    encoded: dict[str, Any] = msgspec.to_builtins(rule)
    return encoded


def decode(value: object) -> Rule:
    """Read what `encode` returned; raises RuleFailed."""
    try:
        rule: Rule = msgspec.convert(value, Rule)
    except msgspec.ValidationError as error:
        raise RuleFailed(f"the stored rule cannot be read ({error})") from error
    return rule


def next_after(rule: Rule, t: datetime) -> datetime | None:
    """The first tick later than `t`; None if there is none. Raises RuleFailed."""
    return next(ticks_after(rule, t), None)


def ticks_after(rule: Rule, t: datetime) -> Iterator[datetime]:
    """All ticks later than `t` and before `END`, in order. Raises RuleFailed."""
    return takewhile(lambda tick: tick < END, _ticks(rule, t.astimezone(UTC)))


def newest(
    rule: Rule, *, through: datetime, limit: int, not_before: datetime | None = None
) -> list[datetime]:
    """The newest ticks at `through` or earlier, at most `limit`, oldest first. Raises RuleFailed."""
    floor = max(through - HORIZON, not_before or through - HORIZON) - _INSTANT
    if isinstance(rule, Interval):
        span = timedelta(seconds=rule.seconds) * limit
        return list(takewhile(lambda tick: tick <= through, ticks_after(rule, max(floor, through - span))))
    # cronsim must not walk backwards: it leaves out ticks of an overlap, and may never end.
    span = timedelta(seconds=limit)
    while True:
        start = max(floor, through - span)
        ticks = deque(takewhile(lambda tick: tick <= through, ticks_after(rule, start)), maxlen=limit)
        if len(ticks) == limit or start == floor:
            return list(ticks)
        span *= 2


def count(rule: Rule, *, since: datetime, through: datetime, limit: int) -> int | None:
    """How many ticks lie from `since` through `through`; None if there are more than `limit`."""
    if isinstance(rule, Interval):
        ticks = max(0, _last_index(rule, through) - _next_index(rule, since - _INSTANT) + 1)
    else:
        walked = takewhile(lambda tick: tick <= through, ticks_after(rule, since - _INSTANT))
        ticks = sum(1 for _ in islice(walked, limit + 1))
    return ticks if ticks <= limit else None


def cron_of(trigger: Trigger) -> str | None:
    """The cron expression that a trigger stands for, without macros; None if it is an interval or `once`."""
    if trigger.cron is not None:
        return _normalize(trigger.cron)
    if trigger.hourly is not None:
        return f"{trigger.hourly.minute} * * * *"
    if trigger.daily is not None:
        return f"{_minute_and_hour(trigger.daily.at)} * * *"
    if trigger.weekly is not None:
        days = sorted(set(trigger.weekly.on), key=WEEKDAYS.index)
        return f"{_minute_and_hour(trigger.weekly.at)} * * {','.join(days)}"
    if trigger.monthly is not None:
        day = "L" if trigger.monthly.day == "last" else trigger.monthly.day
        return f"{_minute_and_hour(trigger.monthly.at)} {day} * *"
    return None


def _minute_and_hour(at: str) -> str:
    hour, minute = at.split(":")
    return f"{int(minute)} {int(hour)}"


def _normalize(expression: str) -> str:
    """Expand a macro, and drop a seconds field that is 0: with one, cronsim ignores what cron does."""
    fields = _FIELD.findall(_MACROS.get(expression.strip().lower(), expression))
    if len(fields) == 6 and re.fullmatch("0+", fields[0]):
        del fields[0]
    return " ".join(fields)


def describe(rule: Rule, timezone: str = "UTC") -> str:
    """The rule in words, such as "At 02:30 on Monday through Friday"."""
    match rule:
        case Interval(seconds=seconds):
            return f"Every {_duration(seconds)}"
        case Cron(expression=expression):
            return _ORDINAL.sub(_correct_ordinal, explain(expression))
        case Once(at=at):
            local = at.astimezone(zones.get(timezone))
            shown = f"{local:%Y-%m-%d %H:%M}" + (f":{local:%S}" if local.second else "")
            return f"Once at {shown} {timezone}"
        case _:
            assert_never(rule)


def _correct_ordinal(found: re.Match[str]) -> str:
    """Write `21th` as `21st`."""
    return found[1] + {"1": "1st", "2": "2nd", "3": "3rd"}[found[2]]


def _duration(seconds: int) -> str:
    parts = []
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1)):
        number, seconds = divmod(seconds, length)
        if number:
            parts.append(f"{number} {unit}{'s' * (number > 1)}")
    if len(parts) == 1:
        return parts[0].removeprefix("1 ")
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def skipped_time(rule: Rule, tick: datetime) -> datetime | None:
    """The local time, without a zone, that does not exist and in whose place a tick is; else None."""
    if not isinstance(rule, Cron) or not rule.has_fixed_times:
        return None
    zone = zones.get(rule.zone)
    before, after = zones.offset(zone, tick - _SECOND), zones.offset(zone, tick)
    if after <= before:
        return None
    wall = next(Walk(rule.expression, tick + before - _SECOND), None)
    return None if wall is None or wall >= tick + after else wall.replace(tzinfo=None)


# -------------------------------------------------------------------------------------------- ticks


def _ticks(rule: Rule, t: datetime) -> Iterator[datetime]:
    match rule:
        case Interval():
            return _interval_ticks(rule, t)
        case Cron():
            return _cron_ticks(rule, t)
        case Once(at=at):
            return iter([at] if at > t else [])
        case _:
            assert_never(rule)


def _interval_ticks(rule: Interval, t: datetime) -> Iterator[datetime]:
    try:
        tick = rule.anchor + _next_index(rule, t) * timedelta(seconds=rule.seconds)
        while True:
            yield tick
            tick += timedelta(seconds=rule.seconds)
    except OverflowError:
        return


def _last_index(rule: Interval, t: datetime) -> int:
    """How many whole intervals after the anchor `t` is."""
    return (t - rule.anchor) // timedelta(seconds=rule.seconds)


def _next_index(rule: Interval, t: datetime) -> int:
    """How many intervals after the anchor the first tick later than `t` is."""
    return max(_last_index(rule, t) + 1, 0 if rule.includes_anchor else 1)


def _cron_ticks(rule: Cron, t: datetime) -> Iterator[datetime]:
    try:
        zone = zones.get(rule.zone)
        if zone is UTC:
            yield from Walk(rule.expression, t)
        elif rule.has_fixed_times:
            yield from _fixed_ticks(rule.expression, zone, t)
        else:
            yield from _real_time_ticks(rule.expression, zone, t)
    except OverflowError:
        return  # the end of the calendar
    except UnknownTimezone as error:
        where = f"release {zones.VERSION} of the zone data"
        raise RuleFailed(f"there is no time zone {rule.zone!r} in {where}") from error
    except (CronSimError, ValueError) as error:
        raise RuleFailed(f"its cron expression fails ({error})") from error


def _fixed_ticks(expression: str, zone: tzinfo, t: datetime) -> Iterator[datetime]:
    """The ticks of an expression that means times of day: cronsim treats gaps and overlaps as cron does."""
    last = t
    for local in Walk(expression, t.astimezone(zone)):
        tick = local.astimezone(UTC)
        # Asked in the second pass of an overlap, cronsim answers with times of the first.
        if tick > last:
            yield tick
            last = tick


def _real_time_ticks(expression: str, zone: tzinfo, t: datetime) -> Iterator[datetime]:
    """The ticks of an expression that follows real time.

    Between two changes of clocks the wall clock is UTC with an offset, so cronsim computes in UTC there and
    starts again at each change. By itself it loses ticks around a change at midnight or by half an hour.
    """
    start = unchanged_since = last = t
    while unchanged_since < last + HORIZON:
        offset = zones.offset(zone, unchanged_since)
        for wall in Walk(expression, start + offset):
            tick = wall - offset
            changed_at = zones.change(zone, unchanged_since, tick)
            if changed_at is not None:
                break
            yield tick
            unchanged_since = last = tick
        else:
            return
        start, unchanged_since = changed_at - _SECOND, changed_at


class Walk(cronsim.CronSim):
    """A walk of cronsim that fails rather than go on for ever: CronSimError past `max_steps` to one tick."""

    def __init__(self, expression: str, after: datetime, *, max_steps: int = MAX_STEPS) -> None:
        self._max_steps = max_steps
        self._steps = 0
        super().__init__(expression, after)

    def __next__(self) -> datetime:
        self._steps = 0
        return super().__next__()

    def tick(self, seconds: int = 1) -> None:
        """Go on by a number of seconds, as one step."""
        self._steps += 1
        if self._steps > self._max_steps:
            raise CronSimError("it takes too many steps")
        super().tick(seconds)
