"""Cron expressions against an independent walk over every matching time of every local day.

The walk knows neither cronsim nor the parser of expressions: an expression is made together with the sets of
values that it stands for.
"""

import calendar
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import product, takewhile
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.schedules import rules, zones
from app.schedules.rules import Cron

START: Final = datetime(2026, 7, 1, tzinfo=UTC)
END: Final = datetime(2029, 7, 1, tzinfo=UTC)

ZONES: Final = (
    "UTC",
    "America/New_York",
    "America/St_Johns",
    "America/Santiago",  # at midnight
    "America/Havana",  # at midnight
    "America/Nuuk",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Dublin",  # winter time is the negative one
    "Africa/Cairo",  # at midnight
    "Africa/Casablanca",  # twice around Ramadan
    "Asia/Beirut",  # at midnight
    "Asia/Gaza",
    "Asia/Kolkata",  # no change, at half an hour
    "Asia/Shanghai",
    "Australia/Lord_Howe",  # by half an hour
    "Antarctica/Troll",  # by two hours
    "Pacific/Auckland",
    "Pacific/Chatham",  # at 02:45
    "Pacific/Kiritimati",
)

MINUTES: Final = frozenset(range(60))
HOURS: Final = frozenset(range(24))
DAYS: Final = frozenset(range(1, 32))
MONTHS: Final = frozenset(range(1, 13))
WEEKDAYS: Final = frozenset(range(7))  # 0 is Sunday


@dataclass(frozen=True)
class Expression:
    """An expression as text, and the times that it stands for."""

    text: str
    minutes: frozenset[int] = MINUTES
    hours: frozenset[int] = HOURS
    is_day: Callable[[date], bool] = field(default=lambda day: True)
    seconds: frozenset[int] = frozenset({0})
    is_fixed: bool = True

    def ticks(self, zone: ZoneInfo, after: datetime, through: datetime) -> list[datetime]:
        """All ticks after an instant through another, in order."""
        # In local time, and with room for a change of clocks at either end.
        first = after.astimezone(zone).replace(tzinfo=None) - timedelta(hours=3)
        last = through.astimezone(zone).replace(tzinfo=None) + timedelta(hours=3)
        found: set[datetime] = set()
        for day in filter(self.is_day, days_between(first.date(), last.date())):
            for hour in self.hours:
                if first - timedelta(hours=1) < datetime.combine(day, time(hour)) <= last:
                    for minute, second in product(self.minutes, self.seconds):
                        wall = datetime.combine(day, time(hour, minute, second))
                        found.update(self._instants(wall, zone))
        return sorted(tick for tick in found if after < tick <= through)

    def _instants(self, wall: datetime, zone: ZoneInfo) -> list[datetime]:
        real = real_instants(wall, zone)
        if not self.is_fixed:
            return real
        while not real:  # in a gap: the first instant after it
            wall += timedelta(minutes=1)
            real = real_instants(wall, zone)
        return real[:1]


def days_between(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += timedelta(days=1)


def real_instants(wall: datetime, zone: ZoneInfo) -> list[datetime]:
    """The instants at which the clocks of a zone show a time: none in a gap, two in an overlap."""
    instants = {wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    return sorted(at for at in instants if at.astimezone(zone).replace(tzinfo=None) == wall)


def weekday(day: date) -> int:
    return day.isoweekday() % 7


def last_day(day: date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


def last_working_day(day: date) -> int:
    last = day.replace(day=last_day(day))
    return last.day - max(0, last.isoweekday() - 5)


def numbers(*values: int) -> frozenset[int]:
    return frozenset(values)


FIXED: Final = (
    Expression("30 2 * * *", numbers(30), numbers(2)),
    Expression("0 0 * * *", numbers(0), numbers(0)),
    Expression("15,45 1,2 * * *", numbers(15, 45), numbers(1, 2)),
    Expression(
        "0-59/20 0-3 * * 0,5", numbers(0, 20, 40), numbers(0, 1, 2, 3), lambda d: weekday(d) in {0, 5}
    ),
    Expression("45 2,3 * * *", numbers(45), numbers(2, 3)),
    Expression("0 9 * * mon-fri", numbers(0), numbers(9), lambda day: weekday(day) in {1, 2, 3, 4, 5}),
    Expression("0 0 1 * *", numbers(0), numbers(0), lambda day: day.day == 1),
    Expression("0 0 29 2 *", numbers(0), numbers(0), lambda day: (day.month, day.day) == (2, 29)),
    Expression("0 12 13 * 5", numbers(0), numbers(12), lambda day: day.day == 13 or weekday(day) == 5),
    Expression("0 0 */2 * 1", numbers(0), numbers(0), lambda day: day.day % 2 == 1 and weekday(day) == 1),
    Expression("30 1 * * 7", numbers(30), numbers(1), lambda day: weekday(day) == 0),
    Expression("30 1 * * 0", numbers(30), numbers(1), lambda day: weekday(day) == 0),
    Expression("59 23 L * *", numbers(59), numbers(23), lambda day: day.day == last_day(day)),
    Expression("59 23 LW * *", numbers(59), numbers(23), lambda day: day.day == last_working_day(day)),
    Expression(
        "0 3 * * 5L", numbers(0), numbers(3), lambda day: weekday(day) == 5 and day.day + 7 > last_day(day)
    ),
    Expression("0 3 * * mon#2", numbers(0), numbers(3), lambda day: weekday(day) == 1 and 7 < day.day <= 14),
    Expression("0 2 * mar,oct sun", numbers(0), numbers(2), lambda d: weekday(d) == 0 and d.month in {3, 10}),
)

SPARSE: Final = (
    Expression("7 */6 * * *", numbers(7), numbers(0, 6, 12, 18), is_fixed=False),
    Expression(
        "*/30 1-3 * * sun", numbers(0, 30), numbers(1, 2, 3), lambda d: weekday(d) == 0, is_fixed=False
    ),
    Expression("*/30 0 * * *", numbers(0, 30), numbers(0), is_fixed=False),
    Expression("15 30 1 * * *", numbers(30), numbers(1), seconds=numbers(15), is_fixed=False),
    Expression("15 30 2 * * *", numbers(30), numbers(2), seconds=numbers(15), is_fixed=False),
)

DENSE: Final = (
    Expression("* * * * *", is_fixed=False),
    Expression("*/7 * * * *", frozenset(range(0, 60, 7)), is_fixed=False),
    Expression("45 * * * *", numbers(45), is_fixed=False),
    Expression("* 1-2 * * *", hours=numbers(1, 2), is_fixed=False),
    Expression(
        "* 3 * * fri,sat,sun", hours=numbers(3), is_day=lambda d: weekday(d) in {0, 5, 6}, is_fixed=False
    ),
    Expression("0,40 */9 * * * *", frozenset(range(0, 60, 9)), seconds=numbers(0, 40), is_fixed=False),
)


def computed(expression: str, key: str, after: datetime, through: datetime) -> list[datetime]:
    ticks = rules.ticks_after(Cron(expression, key), after)
    return list(takewhile(lambda tick: tick <= through, ticks))


@cache
def changes(key: str) -> list[datetime]:
    """The hours after which the clocks of a zone show another offset."""
    zone, at, found = ZoneInfo(key), START, []
    while at < END:
        later = at + timedelta(days=1)
        if at.astimezone(zone).utcoffset() != later.astimezone(zone).utcoffset():
            hours = [at + timedelta(hours=hour) for hour in range(25)]
            offsets = [hour.astimezone(zone).utcoffset() for hour in hours]
            found += [hours[index] for index in range(24) if offsets[index] != offsets[index + 1]]
        at = later
    return found


@pytest.mark.parametrize("key", ZONES)
def test_over_three_years_no_tick_is_lost_and_none_is_made_up(key: str) -> None:
    zone = ZoneInfo(key)
    for expression in FIXED + SPARSE:
        expected = expression.ticks(zone, START, END)

        assert expected or "29 2" in expression.text
        assert computed(expression.text, key, START, END) == expected, expression.text


@pytest.mark.parametrize("key", ZONES)
def test_around_each_change_of_clocks_every_minute_is_right(key: str) -> None:
    zone = ZoneInfo(key)
    for change in changes(key):
        after, through = change - timedelta(hours=3), change + timedelta(hours=5)
        for expression in DENSE:
            expected = expression.ticks(zone, after, through)

            assert computed(expression.text, key, after, through) == expected, (expression.text, change)


def test_the_zones_change_their_clocks_in_these_years() -> None:
    """Or the tests above would compare nothing."""
    assert sum(len(changes(key)) for key in ZONES) > 80


# ---------------------------------------------------------------------------------- any expression


@st.composite
def fields(draw: st.DrawFn, first: int, last: int) -> tuple[str, frozenset[int]]:
    """A field as text, with its values."""
    values = range(first, last + 1)
    match draw(st.sampled_from(["all", "step", "list", "range", "range with step"])):
        case "all":
            return "*", frozenset(values)
        case "step":
            step = draw(st.integers(1, 20))
            return f"*/{step}", frozenset(values[::step])
        case "list":
            chosen = draw(st.lists(st.sampled_from(values), min_size=1, max_size=4))
            return ",".join(map(str, chosen)), frozenset(chosen)
        case "range":
            low, high = sorted(draw(st.tuples(st.sampled_from(values), st.sampled_from(values))))
            return f"{low}-{high}", frozenset(range(low, high + 1))
        case _:
            # Not of one value: cronsim takes 1-1/2 for 1/2, which ends with 7 in the field of weekdays.
            low, high = sorted(draw(st.lists(st.sampled_from(values), min_size=2, max_size=2, unique=True)))
            step = draw(st.integers(1, 20))
            return f"{low}-{high}/{step}", frozenset(range(low, high + 1, step))


@st.composite
def expressions(draw: st.DrawFn) -> Expression:
    minute, minutes = draw(fields(0, 59))
    hour, hours = draw(fields(0, 23))
    day, days = draw(fields(1, 31))
    weekday_text, weekdays = draw(fields(0, 6))
    both = day.startswith("*") or weekday_text.startswith("*")

    def is_day(at: date) -> bool:
        fits = (at.day in days, weekday(at) in weekdays)
        return all(fits) if both else any(fits)

    is_fixed = not minute.startswith("*") and not hour.startswith("*")
    return Expression(f"{minute} {hour} {day} * {weekday_text}", minutes, hours, is_day, is_fixed=is_fixed)


CHANGES: Final = [(key, change) for key in ZONES for change in changes(key)]


@given(expressions(), st.sampled_from(CHANGES), st.integers(0, 6 * 3600))
@settings(max_examples=100)
def test_any_expression_is_right_around_any_change(
    expression: Expression, changed: tuple[str, datetime], seconds_before: int
) -> None:
    key, change = changed
    after = change - timedelta(seconds=seconds_before)
    through = change + timedelta(hours=8)

    assert computed(expression.text, key, after, through) == expression.ticks(ZoneInfo(key), after, through)


@given(expressions(), st.sampled_from(sorted(zones.keys())), st.integers(0, 14 * 366 * 24))
@settings(max_examples=100)
def test_any_expression_is_right_in_any_zone(expression: Expression, key: str, hours: int) -> None:
    after = START + timedelta(hours=hours)
    through = after + timedelta(days=1)

    assert computed(expression.text, key, after, through) == expression.ticks(ZoneInfo(key), after, through)
