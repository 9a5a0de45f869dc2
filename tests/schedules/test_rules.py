"""Rules: the instants at which a schedule fires, through every change of clocks."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import Any, Final

import pytest
from cronsim import CronSimError
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.core.errors import AppError
from app.schedules import preview, rules, zones
from app.schedules.errors import BadCron, InThePast, NeverFires, NonexistentTime, UnknownTimezone
from app.schedules.rules import Cron, Interval, Once, Rule, RuleFailed, Window
from app.schedules.triggers import Trigger

NEW_YORK: Final = "America/New_York"
BERLIN: Final = "Europe/Berlin"
LORD_HOWE: Final = "Australia/Lord_Howe"
SHANGHAI: Final = "Asia/Shanghai"

NOW: Final = datetime(2027, 1, 1, tzinfo=UTC)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def local(ticks: Iterable[datetime], zone: str) -> list[str]:
    return [tick.astimezone(zones.get(zone)).isoformat(timespec="seconds") for tick in ticks]


def compiled(trigger: dict[str, Any], timezone: str = "UTC", **options: Any) -> Rule:
    return rules.compile_rule(
        Trigger.model_validate(trigger),
        timezone=timezone,
        **{"starts_at": None, "created_at": NOW, **options},
    )


# -------------------------------------------------------------------------------- cron, by instants


@pytest.mark.parametrize(
    ("expression", "zone", "asked_at", "expected"),
    [
        (
            "30 2 * * *",
            NEW_YORK,
            "2027-03-13T12:00Z",
            ["2027-03-14T03:00:00-04:00", "2027-03-15T02:30:00-04:00"],
        ),
        (
            "30 1 * * *",
            NEW_YORK,
            "2027-11-06T12:00Z",
            ["2027-11-07T01:30:00-04:00", "2027-11-08T01:30:00-05:00"],
        ),
        (
            "30 2 * * *",
            BERLIN,
            "2027-03-27T12:00Z",
            ["2027-03-28T03:00:00+02:00", "2027-03-29T02:30:00+02:00"],
        ),
        (
            "30 2 * * *",
            BERLIN,
            "2027-10-30T12:00Z",
            ["2027-10-31T02:30:00+02:00", "2027-11-01T02:30:00+01:00"],
        ),
        (
            "15 2 * * *",
            LORD_HOWE,
            "2026-10-03T00:00Z",
            ["2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"],
        ),
        (
            "45 1 * * *",
            LORD_HOWE,
            "2027-04-03T00:00Z",
            ["2027-04-04T01:45:00+11:00", "2027-04-05T01:45:00+10:30"],
        ),
        (
            "0 0 * * *",
            "America/Santiago",
            "2026-09-05T12:00Z",
            ["2026-09-06T01:00:00-03:00", "2026-09-07T00:00:00-03:00"],
        ),
        (
            "0 0 * * *",
            "Africa/Cairo",
            "2027-04-29T12:00Z",
            ["2027-04-30T01:00:00+03:00", "2027-05-01T00:00:00+03:00"],
        ),
        (
            "0 0 1 * *",
            NEW_YORK,
            "2027-02-15T00:00Z",
            ["2027-03-01T00:00:00-05:00", "2027-04-01T00:00:00-04:00", "2027-05-01T00:00:00-04:00"],
        ),
        (
            "*/30 * * * *",
            NEW_YORK,
            "2027-03-14T06:00Z",
            ["2027-03-14T01:30:00-05:00", "2027-03-14T03:00:00-04:00"],
        ),
        (
            "*/30 * * * *",
            NEW_YORK,
            "2027-11-07T05:00Z",
            [
                "2027-11-07T01:30:00-04:00",
                "2027-11-07T01:00:00-05:00",
                "2027-11-07T01:30:00-05:00",
                "2027-11-07T02:00:00-05:00",
            ],
        ),
        ("0 9 * * mon-fri", NEW_YORK, "2027-03-12T15:00Z", ["2027-03-15T09:00:00-04:00"]),
        (
            "0 0 29 2 *",
            SHANGHAI,
            "2026-01-01T00:00Z",
            ["2028-02-29T00:00:00+08:00", "2032-02-29T00:00:00+08:00"],
        ),
        (
            "15,45 2 * * *",
            NEW_YORK,
            "2027-03-13T12:00Z",
            ["2027-03-14T03:00:00-04:00", "2027-03-15T02:15:00-04:00"],
        ),
        ("15 30 2 * * *", NEW_YORK, "2027-03-13T12:00Z", ["2027-03-15T02:30:15-04:00"]),
        (
            "15 30 1 * * *",
            NEW_YORK,
            "2027-11-07T00:00Z",
            ["2027-11-07T01:30:15-04:00", "2027-11-07T01:30:15-05:00"],
        ),
        ("30 1 * * *", NEW_YORK, "2027-11-07T06:15Z", ["2027-11-08T01:30:00-05:00"]),
        (
            "0 0 */2 * 1",
            "UTC",
            "2027-01-01T00:00Z",
            [f"2027-{day}T00:00:00+00:00" for day in ("01-11", "01-25", "02-01", "02-15")],
        ),
        (
            "0 12 13 * 5",
            "UTC",
            "2027-01-01T00:00Z",
            [f"2027-01-{day}T12:00:00+00:00" for day in ("01", "08", "13", "15")],
        ),
    ],
)
def test_cron_ticks(expression: str, zone: str, asked_at: str, expected: list[str]) -> None:
    rule = compiled({"cron": expression}, zone)

    ticks = list(islice(rules.ticks_after(rule, instant(asked_at)), len(expected)))

    assert local(ticks, zone) == expected
    assert all(tick.utcoffset() == timedelta(0) for tick in ticks)


def test_the_newest_tick_before_the_second_pass_of_an_overlap_is_in_the_first() -> None:
    rule = compiled({"cron": "30 1 * * *"}, NEW_YORK)

    assert rules.newest(rule, through=instant("2027-11-07T06:15Z"), limit=1) == [instant("2027-11-07T05:30Z")]


def test_a_field_of_seconds_that_is_zero_is_no_field_of_seconds() -> None:
    assert compiled({"cron": "0 30 2 * * *"}, NEW_YORK) == Cron("30 2 * * *", NEW_YORK)
    assert compiled({"cron": " 00  30 2 * * * "}, NEW_YORK) == Cron("30 2 * * *", NEW_YORK)
    assert compiled({"cron": "0,30 30 2 * * *"}, NEW_YORK) == Cron("0,30 30 2 * * *", NEW_YORK)


def test_ticks_end_with_the_calendar() -> None:
    last = datetime(9999, 12, 31, 12, tzinfo=UTC)
    for rule in (
        Cron("0 0 * * *", "UTC"),
        Cron("0 0 * * *", NEW_YORK),
        Cron("*/5 0 * * *", SHANGHAI),
        Cron("0 0 * * *", SHANGHAI),
        Interval(NOW, 86_400),
    ):
        assert rules.next_after(rule, last) is None


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12"])
def test_each_tick_has_a_local_time_in_each_zone(zone: str) -> None:
    late = datetime(9998, 12, 31, 22, tzinfo=UTC)
    for rule in (Interval(late, 3600), Cron("0 * * * *", zone), Once(datetime(9999, 12, 31, 20, tzinfo=UTC))):
        for tick in rules.ticks_after(rule, late):
            assert tick < rules.END
            assert tick.astimezone(zones.get(zone)).year in (9998, 9999)


def test_an_expression_whose_times_fall_into_gaps_only_has_no_tick() -> None:
    """Each second Sunday in March between two and three: the clocks of New York skip it."""
    with pytest.raises(NeverFires):
        Window().first(compiled({"cron": "* 2 */1 3 sun#2"}, NEW_YORK), NOW)


@pytest.mark.parametrize(
    ("trigger", "expression"),
    [
        ({"cron": "@hourly"}, "0 * * * *"),
        ({"cron": "@daily"}, "0 0 * * *"),
        ({"cron": "@midnight"}, "0 0 * * *"),
        ({"cron": "@weekly"}, "0 0 * * 0"),
        ({"cron": "@monthly"}, "0 0 1 * *"),
        ({"cron": "@yearly"}, "0 0 1 1 *"),
        ({"cron": "@annually"}, "0 0 1 1 *"),
        ({"hourly": {"minute": 5}}, "5 * * * *"),
        ({"daily": {"at": "02:30"}}, "30 2 * * *"),
        ({"weekly": {"on": ["sun", "mon", "mon"], "at": "08:00"}}, "0 8 * * mon,sun"),
        ({"monthly": {"day": 31, "at": "00:00"}}, "0 0 31 * *"),
        ({"monthly": {"day": "last", "at": "23:59"}}, "59 23 L * *"),
    ],
)
def test_macros_and_named_times_are_cron_expressions(trigger: dict[str, Any], expression: str) -> None:
    assert rules.cron_of(Trigger.model_validate(trigger)) == expression
    assert compiled(trigger, BERLIN) == Cron(expression, BERLIN)


def test_a_month_without_the_day_is_left_out() -> None:
    ticks = rules.ticks_after(compiled({"monthly": {"day": 31, "at": "00:00"}}), NOW)

    assert [tick.month for tick in islice(ticks, 5)] == [1, 3, 5, 7, 8]


# ------------------------------------------------------------------------------------- bad triggers


@pytest.mark.parametrize(
    ("expression", "field", "reason"),
    [
        ("60 * * * *", "minute", "bad minute '60'"),
        ("0 0 30 2 *", "day-of-month", "bad day-of-month '30'"),
        ("* * * *", "expression", "it has 4 fields, not 5, or 6 with seconds first"),
        ("", "expression", "it has 0 fields, not 5, or 6 with seconds first"),
        ("hourly", "expression", "it has 1 field, not 5, or 6 with seconds first"),
        ("1-0 * * * *", "minute", "bad minute '1-0'"),
        ("60 0 0 * * *", "second", "bad second '60'"),
        ("\uff10 0 * * *", "expression", "it has characters other than letters, digits and * , - / #"),
        ("0\x1f0 * * *", "expression", "it has characters other than letters, digits and * , - / #"),
        ("0 0 15W * *", "day-of-month", "bad day-of-month '15W'"),
        ("0 0 ? * *", "expression", "it has characters other than letters, digits and * , - / #"),
        ("0 0 * * mon#6", "day-of-week", "bad day-of-week 'mon#6'"),
        ("0 0 * foo *", "month", "bad month 'foo'"),
        ("*/0 * * * *", "minute", "bad minute '*/0'"),
        ("@reboot", "expression", "unknown macro '@reboot'"),
        ("9" * 248 + " * * * *", "minute", f"bad minute {'9' * 248!r}"),
    ],
)
def test_a_bad_expression_is_refused_with_its_field(expression: str, field: str, reason: str) -> None:
    with pytest.raises(BadCron) as refused:
        compiled({"cron": expression})

    assert refused.value.facts == {"field": field, "reason": reason}
    assert reason in refused.value.detail


@pytest.mark.parametrize(
    "trigger", [{"cron": "0 0 * * *"}, {"every": {"minutes": 5}}, {"once": {"in_seconds": 5}}]
)
def test_an_unknown_zone_is_refused_even_if_nothing_needs_it(trigger: dict[str, Any]) -> None:
    with pytest.raises(UnknownTimezone):
        compiled(trigger, "Mars/Olympus")


def test_a_local_time_that_does_not_exist_is_refused_with_the_times_around_it() -> None:
    with pytest.raises(NonexistentTime) as refused:
        compiled({"once": {"at": "2027-03-14T02:30"}}, NEW_YORK)

    assert refused.value.facts == {
        "at": "2027-03-14T02:30:00",
        "timezone": NEW_YORK,
        "before": "2027-03-14T02:00:00-05:00",
        "after": "2027-03-14T03:00:00-04:00",
    }


def test_a_local_time_that_exists_twice_is_the_first() -> None:
    assert compiled({"once": {"at": "2027-11-07T01:30"}}, NEW_YORK) == Once(instant("2027-11-07T05:30Z"))


def test_a_time_with_an_offset_ignores_the_zone() -> None:
    assert compiled({"once": {"at": "2027-03-14T02:30+01:00"}}, NEW_YORK) == Once(
        instant("2027-03-14T01:30Z")
    )


@pytest.mark.parametrize("at", ["2026-12-31T23:59:59", "2026-12-31T23:59:59Z", "2027-01-01T00:59:59+01:00"])
def test_one_time_in_the_past_is_refused(at: str) -> None:
    with pytest.raises(InThePast):
        compiled({"once": {"at": at}})


def test_one_time_is_compared_with_the_present_and_not_with_the_creation() -> None:
    trigger = {"once": {"at": "2027-06-01T00:00Z"}}

    assert compiled(trigger, now=instant("2027-06-01T00:00Z")) == Once(instant("2027-06-01T00:00Z"))
    with pytest.raises(InThePast):
        compiled(trigger, now=instant("2027-06-01T00:01Z"))
    assert compiled({"once": {"in_seconds": 30}}, now=instant("2027-06-01T00:00Z")) == Once(
        instant("2027-06-01T00:00:30Z")
    )


@pytest.mark.parametrize("at", ["9999-12-31T23:59", "0001-01-01T00:00"])
@pytest.mark.parametrize("zone", [NEW_YORK, SHANGHAI])
def test_one_time_at_the_ends_of_the_calendar(at: str, zone: str) -> None:
    try:
        rule = compiled({"once": {"at": at}}, zone)
    except (NeverFires, InThePast):
        return
    assert isinstance(rule, Once)
    assert rule.at.year == 9999


# ---------------------------------------------------------------------------------------- intervals


def test_an_interval_is_elapsed_time_through_every_change_of_clocks() -> None:
    rule = compiled({"every": {"hours": 1}}, NEW_YORK)

    ticks = list(islice(rules.ticks_after(rule, NOW), 366 * 24))

    assert {later - earlier for earlier, later in pairwise(ticks)} == {timedelta(hours=1)}


def test_every_10_seconds_for_10_minutes_is_60_ticks_and_61_from_its_start() -> None:
    window = Window(ends_at=NOW + timedelta(minutes=10))
    every = {"every": {"seconds": 10}}

    assert len(list(window.ticks(compiled(every), NOW))) == 60
    assert len(list(window.ticks(compiled({**every, "fire_immediately": True}), NOW))) == 61


def test_the_anchor_is_given_or_the_start_or_the_creation() -> None:
    every = {"every": {"minutes": 7}}
    start, anchor = NOW + timedelta(hours=1), NOW - timedelta(days=1)

    assert compiled(every) == Interval(NOW, 420)
    assert compiled(every, starts_at=start) == Interval(start, 420)
    assert compiled({**every, "anchor_at": anchor.isoformat()}, starts_at=start) == Interval(anchor, 420)
    assert compiled({**every, "fire_immediately": True}) == Interval(NOW, 420, includes_anchor=True)


def test_no_tick_lies_before_the_anchor() -> None:
    early = NOW - timedelta(days=3)

    assert rules.next_after(Interval(NOW, 60), early) == NOW + timedelta(seconds=60)
    assert rules.next_after(Interval(NOW, 60, includes_anchor=True), early) == NOW


@given(
    st.integers(1, 366 * 86_400),
    st.booleans(),
    st.timedeltas(timedelta(days=-3000), timedelta(days=3000)),
    st.integers(1, 20),
)
def test_intervals_are_counted_as_they_are_walked(
    seconds: int, includes_anchor: bool, since: timedelta, limit: int
) -> None:
    rule = Interval(NOW, seconds, includes_anchor)
    start = NOW + since
    ticks = list(islice(rules.ticks_after(rule, start - timedelta(microseconds=1)), limit))

    assert rules.count(rule, since=start, through=ticks[-1], limit=limit) == limit
    assert rules.count(rule, since=start, through=ticks[-1], limit=limit - 1) is None
    before = ticks[0] - timedelta(microseconds=1)
    assert rules.count(rule, since=start, through=before, limit=limit) == 0
    assert rules.newest(rule, through=ticks[-1], limit=limit, not_before=start) == ticks


# ------------------------------------------------------------------------------------------ windows


def test_both_ends_of_a_window_are_in_it() -> None:
    rule = Cron("0 * * * *", "UTC")
    window = Window(starts_at=NOW + timedelta(hours=2), ends_at=NOW + timedelta(hours=4))

    assert window.first(rule, NOW) == NOW + timedelta(hours=2)
    assert window.next_after(rule, NOW + timedelta(hours=3)) == NOW + timedelta(hours=4)
    assert window.next_after(rule, NOW + timedelta(hours=4)) is None
    assert window.newest(rule, through=NOW + timedelta(days=1), limit=10) == [
        NOW + timedelta(hours=hours) for hours in (2, 3, 4)
    ]


def test_the_first_tick_may_be_the_present_and_the_next_may_not() -> None:
    rule = Interval(NOW, 60, includes_anchor=True)

    assert Window().first(rule, NOW) == NOW
    assert Window().next_after(rule, NOW) == NOW + timedelta(seconds=60)


def test_a_schedule_without_a_tick_in_its_window_is_refused() -> None:
    with pytest.raises(NeverFires):
        Window(ends_at=NOW + timedelta(minutes=59)).first(Cron("0 1 * * *", "UTC"), NOW)


# -------------------------------------------------------------------------------- stored and broken


@pytest.mark.parametrize(
    "rule",
    [
        Interval(NOW + timedelta(microseconds=1), 300, includes_anchor=True),
        Cron("0 9 * * mon-fri", BERLIN),
        Once(NOW),
    ],
)
def test_a_rule_is_stored_as_json(rule: Rule) -> None:
    assert rules.decode(json.loads(json.dumps(rules.encode(rule)))) == rule


@pytest.mark.parametrize(
    "stored",
    [None, {}, {"type": "lunar"}, {"type": "once", "at": "soon"}, {"type": "cron", "zone": "UTC"}, "x"],
)
def test_a_stored_rule_that_cannot_be_read_fails_alone(stored: object) -> None:
    with pytest.raises(RuleFailed, match="cannot be read"):
        rules.decode(stored)


def test_a_zone_that_has_vanished_fails_with_its_name() -> None:
    with pytest.raises(RuleFailed, match="Europe/Atlantis"):
        rules.next_after(Cron("0 0 * * *", "Europe/Atlantis"), NOW)


@pytest.mark.parametrize("zone", ["UTC", BERLIN])
@pytest.mark.parametrize("expression", ["60 * * * *", "* * *", "x y z a b", "9" * 5000 + " * * * *"])
def test_a_stored_expression_that_cannot_be_computed_fails(expression: str, zone: str) -> None:
    with pytest.raises(RuleFailed, match="its cron expression fails"):
        rules.next_after(Cron(expression, zone), NOW)


def test_a_walk_that_takes_too_many_steps_fails() -> None:
    walk = rules.Walk("59 23 * * *", NOW, max_steps=20)

    with pytest.raises(CronSimError, match="too many steps"):
        next(walk)


def test_the_steps_to_each_tick_are_counted_anew() -> None:
    walk = rules.Walk("* * * * *", NOW, max_steps=20)

    assert len(list(islice(walk, 100))) == 100


# ----------------------------------------------------------------------------------------- in words


@pytest.mark.parametrize(
    ("trigger", "words"),
    [
        ({"cron": "30 2 * * mon-fri"}, "At 02:30 on Monday through Friday"),
        ({"daily": {"at": "02:30"}}, "At 02:30 every day"),
        ({"monthly": {"day": "last", "at": "00:00"}}, "At 00:00 on the last day of every month"),
        ({"monthly": {"day": 21, "at": "00:00"}}, "At 00:00 on the 21st day of every month"),
        ({"monthly": {"day": 12, "at": "00:00"}}, "At 00:00 on the 12th day of every month"),
        ({"every": {"minutes": 1}}, "Every minute"),
        ({"every": {"minutes": 5}}, "Every 5 minutes"),
        ({"every": {"minutes": 90}}, "Every 1 hour and 30 minutes"),
        ({"every": {"days": 2, "hours": 3, "seconds": 1}}, "Every 2 days, 3 hours and 1 second"),
        ({"once": {"at": "2027-03-01T09:00"}}, "Once at 2027-03-01 09:00 Europe/Berlin"),
        ({"once": {"at": "2027-03-01T09:00:05Z"}}, "Once at 2027-03-01 10:00:05 Europe/Berlin"),
    ],
)
def test_a_rule_is_described(trigger: dict[str, Any], words: str) -> None:
    assert rules.describe(compiled(trigger, BERLIN), BERLIN) == words


# --------------------------------------------------------------------------------------- properties

_NUMBERS: Final = st.integers(0, 70).map(str)
_NAMES: Final = st.sampled_from(["mon", "SUN", "jan", "Dec", "L", "LW", "5L", "monL", "mon#2", "0#5", "7"])
_ATOMS: Final = st.one_of(_NUMBERS, _NAMES, st.just("*"))
_TERMS: Final = st.one_of(
    _ATOMS,
    st.tuples(_ATOMS, _ATOMS).map("-".join),
    st.tuples(_ATOMS, _NUMBERS).map("/".join),
    st.tuples(_ATOMS, _ATOMS, _NUMBERS).map(lambda part: f"{part[0]}-{part[1]}/{part[2]}"),
    st.text("0123456789*,-/#LWlmonsu", max_size=6),
)
EXPRESSIONS: Final = st.lists(
    st.one_of(_TERMS, st.just("*"), st.lists(_TERMS, min_size=1, max_size=3).map(",".join)),
    min_size=5,
    max_size=6,
).map(" ".join)

GOOD_EXPRESSIONS: Final = (
    st.tuples(
        st.sampled_from(["*", "*/7", "0", "15,45", "30", "5-50/9"]),
        st.sampled_from(["*", "*/5", "0", "1,2", "2", "3", "23", "0-6/2"]),
        st.sampled_from(["*", "*", "*/2", "1", "29", "31", "L", "LW"]),
        st.sampled_from(["*", "*", "2", "mar,nov", "*/5"]),
        st.sampled_from(["*", "*", "1", "mon-fri", "0", "5L", "sun#2"]),
    )
    .map(" ".join)
    .filter(lambda expression: " 31 2 " not in expression)
)

ZONES: Final = st.sampled_from(sorted(zones.keys()))
INSTANTS: Final = st.integers(0, 14 * 366 * 86_400).map(lambda seconds: NOW + timedelta(seconds=seconds))


@given(EXPRESSIONS, ZONES, INSTANTS)
@settings(max_examples=300)
def test_whatever_is_accepted_can_be_computed_and_described(expression: str, zone: str, t: datetime) -> None:
    try:
        rule = compiled({"cron": expression}, zone)
    except AppError as refused:
        assert isinstance(refused, BadCron)  # noqa: PT017  # either end is right
        return

    tick = rules.next_after(rule, t)
    assert tick is None or tick > t
    assert rules.describe(rule)


@given(GOOD_EXPRESSIONS, ZONES, INSTANTS, st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=3))
@settings(max_examples=200)
def test_ticks_rise_and_do_not_depend_on_when_they_are_asked_for(
    expression: str, zone: str, t: datetime, fractions: list[float]
) -> None:
    rule = Cron(expression, zone)
    ticks = [t, *islice(rules.ticks_after(rule, t), 6)]
    assume(len(ticks) > 1)

    assert all(earlier < later for earlier, later in pairwise(ticks))
    for earlier, later in pairwise(ticks):
        for fraction in fractions:
            asked_at = min(earlier + (later - earlier) * fraction, later - timedelta(microseconds=1))
            assert rules.next_after(rule, asked_at) == later


@given(GOOD_EXPRESSIONS, ZONES, INSTANTS, st.integers(1, 6))
@settings(max_examples=100)
def test_the_newest_ticks_are_the_last_of_all(expression: str, zone: str, t: datetime, limit: int) -> None:
    rule = Cron(expression, zone)
    ticks = list(islice(rules.ticks_after(rule, t - timedelta(microseconds=1)), 6))
    assume(ticks)

    through = ticks[-1]
    assert rules.newest(rule, through=through, limit=limit, not_before=t) == ticks[-limit:]
    assert rules.newest(rule, through=through, limit=100, not_before=t) == ticks
    assert rules.count(rule, since=t, through=through, limit=len(ticks)) == len(ticks)
    assert rules.count(rule, since=t, through=through, limit=len(ticks) - 1) is None


@given(GOOD_EXPRESSIONS, ZONES, INSTANTS, st.integers(1, 40))
@settings(max_examples=100)
def test_a_preview_is_what_fires_on_a_virtual_clock(
    expression: str, zone: str, now: datetime, minutes: int
) -> None:
    """The clock moves on in strides; at each, everything that is due fires."""
    rule, window = Cron(expression, zone), Window(ends_at=now + timedelta(days=40))
    previewed = preview.fires(rule, window, timezone=zone, since=now, count=12)
    assume(previewed)

    due: datetime | None = window.first(rule, now)
    fired: list[datetime] = []
    clock = now
    while due is not None and len(fired) < len(previewed):
        clock = max(clock + timedelta(minutes=minutes), due)
        while due is not None and due <= clock:
            fired.append(due)
            due = window.next_after(rule, due)

    assert fired[: len(previewed)] == [tick.fire_at for tick in previewed]
