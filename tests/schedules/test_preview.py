"""Previews: the next ticks, in local time, with a note where clocks change."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from app.schedules import preview, rules
from app.schedules.rules import Cron, Interval, Once, Rule, Window

NEW_YORK = "America/New_York"


def previewed(
    rule: Rule, since: str, count: int = 4, zone: str = NEW_YORK
) -> Iterator[tuple[str, str | None]]:
    for tick in preview.fires(
        rule, Window(), timezone=zone, since=datetime.fromisoformat(since), count=count
    ):
        assert tick.local.astimezone(UTC) == tick.fire_at
        assert tick.fire_at.utcoffset() == timedelta(0)
        yield tick.local.isoformat(), tick.note


def test_a_time_in_a_gap_is_named() -> None:
    assert list(previewed(Cron("30 2 * * *", NEW_YORK), "2027-03-13T12:00:00Z", 2)) == [
        ("2027-03-14T03:00:00-04:00", "gap: 02:30 does not exist"),
        ("2027-03-15T02:30:00-04:00", None),
    ]


def test_the_first_of_several_times_in_a_gap_is_named() -> None:
    assert list(previewed(Cron("45,15 2 * * *", NEW_YORK), "2027-03-13T12:00:00Z", 2)) == [
        ("2027-03-14T03:00:00-04:00", "gap: 02:15 does not exist"),
        ("2027-03-15T02:15:00-04:00", None),
    ]


def test_a_time_right_after_a_gap_is_no_gap() -> None:
    assert list(previewed(Cron("0 3 * * *", NEW_YORK), "2027-03-13T12:00:00Z", 1)) == [
        ("2027-03-14T03:00:00-04:00", None)
    ]


def test_a_fixed_time_in_an_overlap_runs_in_the_first_pass() -> None:
    assert list(previewed(Cron("30 1 * * *", NEW_YORK), "2027-11-06T12:00:00Z", 2)) == [
        ("2027-11-07T01:30:00-04:00", "overlap: first of two"),
        ("2027-11-08T01:30:00-05:00", None),
    ]


def test_both_passes_of_an_overlap_are_told_apart() -> None:
    assert list(previewed(Cron("*/30 * * * *", NEW_YORK), "2027-11-07T05:30:00Z")) == [
        ("2027-11-07T01:30:00-04:00", "overlap: first of two"),
        ("2027-11-07T01:00:00-05:00", "overlap: second of two"),
        ("2027-11-07T01:30:00-05:00", "overlap: second of two"),
        ("2027-11-07T02:00:00-05:00", None),
    ]


def test_one_time_that_exists_twice_is_the_first() -> None:
    rule = Once(datetime(2027, 11, 7, 5, 30, tzinfo=UTC))

    assert list(previewed(rule, "2027-01-01T00:00:00Z")) == [
        ("2027-11-07T01:30:00-04:00", "overlap: first of two")
    ]


def test_an_interval_has_local_times_but_no_notes() -> None:
    rule = Interval(datetime(2027, 11, 7, 4, 30, tzinfo=UTC), 3600)

    assert list(previewed(rule, "2027-11-07T05:00:00Z", 2)) == [
        ("2027-11-07T01:30:00-04:00", None),
        ("2027-11-07T01:30:00-05:00", None),
    ]


def test_a_preview_begins_with_a_tick_at_its_start_and_ends_with_the_window() -> None:
    now = datetime(2027, 1, 1, tzinfo=UTC)
    rule = Interval(now, 10, includes_anchor=True)
    window = Window(ends_at=now + timedelta(seconds=20))

    fires = preview.fires(rule, window, timezone="UTC", since=now, count=50)

    assert [(tick.fire_at - now).seconds for tick in fires] == [0, 10, 20]


def test_a_preview_says_why_it_fails() -> None:
    with pytest.raises(rules.RuleFailed, match="Atlantis"):
        list(previewed(Cron("0 0 * * *", "Europe/Atlantis"), "2027-01-01T00:00:00Z"))
