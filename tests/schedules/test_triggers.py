"""Triggers and windows of requests: what is accepted, and what is not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from app.http.instants import LATEST
from app.schedules.triggers import Trigger, WindowFields


@pytest.mark.parametrize(
    "trigger",
    [
        {"every": {"minutes": 5}},
        {"every": {"hours": 1, "minutes": 30}, "anchor_at": "2027-01-01T00:00:00+01:00"},
        {"every": {"seconds": 1}, "fire_immediately": True},
        {"every": {"days": 366}},
        {"cron": "0 9 * * mon-fri"},
        {"hourly": {"minute": 0}},
        {"hourly": {}},
        {"daily": {"at": "09:00"}},
        {"weekly": {"on": ["mon", "fri"], "at": "23:59"}},
        {"monthly": {"day": 31, "at": "00:00"}},
        {"monthly": {"day": "last", "at": "00:00"}},
        {"once": {"at": "2027-03-01T09:00"}},
        {"once": {"at": "2027-03-01T09:00:30.5+01:00"}},
        {"once": {"at": "2027-03-01T09:00Z"}},
        {"once": {"in_seconds": 30}},
    ],
)
def test_a_trigger_is_stored_as_it_was_given(trigger: dict[str, Any]) -> None:
    stored = Trigger.model_validate(trigger).model_dump(mode="json", exclude_unset=True)

    if "anchor_at" in trigger:
        assert datetime.fromisoformat(stored.pop("anchor_at")) == datetime.fromisoformat(
            trigger.pop("anchor_at")
        )
    assert stored == trigger


@pytest.mark.parametrize(
    "trigger",
    [
        {},
        {"every": {"minutes": 5}, "cron": "0 9 * * *"},
        {"hourly": {}, "daily": {"at": "09:00"}},
        {"cron": None},
        {"every": {"minutes": 5}, "at": "09:00"},
        {"every": {}},
        {"every": {"seconds": 0}},
        {"every": {"seconds": -1}},
        {"every": {"seconds": 1.5}},
        {"every": {"days": 367}},
        {"every": {"days": 366, "seconds": 1}},
        {"every": {"seconds": 10**30}},
        {"every": {"weeks": 1}},
        {"cron": "0 9 * * *", "fire_immediately": True},
        {"cron": "0 9 * * *", "anchor_at": "2027-01-01T00:00:00Z"},
        {"cron": "0 9 * * *" + " " * 248},
        {"cron": 5},
        {"every": {"minutes": 5}, "anchor_at": "2027-01-01T00:00:00"},
        {"hourly": {"minute": 60}},
        {"daily": {}},
        {"daily": {"at": "9:00"}},
        {"daily": {"at": "24:00"}},
        {"daily": {"at": "09:60"}},
        {"daily": {"at": "09:00:00"}},
        {"daily": {"at": "09:00\n"}},
        {"daily": {"at": "\uff10\uff19:00"}},
        {"weekly": {"on": [], "at": "09:00"}},
        {"weekly": {"on": ["monday"], "at": "09:00"}},
        {"weekly": {"on": [0], "at": "09:00"}},
        {"monthly": {"day": 0, "at": "00:00"}},
        {"monthly": {"day": 32, "at": "00:00"}},
        {"monthly": {"day": "first", "at": "00:00"}},
        {"once": {}},
        {"once": {"at": "2027-03-01T09:00", "in_seconds": 30}},
        {"once": {"at": 1800000000}},
        {"once": {"at": "2027-03-01"}},
        {"once": {"at": "2027-02-29T09:00"}},
        {"once": {"at": "2027-03-01T25:00"}},
        {"once": {"at": "2027-03-01T09:00+25:00"}},
        {"once": {"at": "20270301T0900"}},
        {"once": {"at": "2027-W09-1T09:00"}},
        {"once": {"at": "0001-01-01T00:00+14:00"}},
        {"once": {"in_seconds": 0}},
        {"once": {"in_seconds": 366 * 86_400 + 1}},
    ],
)
def test_anything_else_is_refused(trigger: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Trigger.model_validate(trigger)


def test_an_interval_is_the_sum_of_its_parts() -> None:
    every = Trigger.model_validate({"every": {"days": 1, "hours": 2, "minutes": 3, "seconds": 4}}).every

    assert every is not None
    assert every.total_seconds == 93_784


@pytest.mark.parametrize(
    ("at", "moment"),
    [
        ("2027-03-01T09:00", datetime(2027, 3, 1, 9)),  # noqa: DTZ001  # a local time has no zone yet
        ("2027-03-01T09:00Z", datetime(2027, 3, 1, 9, tzinfo=UTC)),
        ("2027-03-01T09:00:30+05:30", datetime(2027, 3, 1, 3, 30, 30, tzinfo=UTC)),
    ],
)
def test_a_time_has_a_zone_only_if_it_has_an_offset(at: str, moment: datetime) -> None:
    once = Trigger.model_validate({"once": {"at": at}}).once

    assert once is not None
    assert once.moment == moment
    assert (once.moment.tzinfo is None) == (moment.tzinfo is None)


@pytest.mark.parametrize(
    "window",
    [
        {"ends_at": "2027-01-01T00:00:00Z", "duration_seconds": 60},
        {"starts_at": "2027-01-02T00:00:00Z", "ends_at": "2027-01-01T00:00:00Z"},
        {"starts_at": "2027-01-02T00:00:00"},
        {"duration_seconds": 0},
        {"timezone": None},
        {"timezone": "x" * 65},
        {"until": "2027-01-01T00:00:00Z"},
    ],
)
def test_a_window_that_makes_no_sense_is_refused(window: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        WindowFields.model_validate(window)


def test_a_duration_counts_from_the_start_or_else_from_the_creation() -> None:
    created = datetime(2027, 1, 1, tzinfo=UTC)

    assert WindowFields().end(created) is None
    assert WindowFields(ends_at=created).end(created) == created
    assert WindowFields(duration_seconds=600).end(created) == created + timedelta(minutes=10)
    late = WindowFields(starts_at=created + timedelta(days=1), duration_seconds=600)
    assert late.end(created) == created + timedelta(days=1, minutes=10)


def test_a_duration_ends_with_the_calendar() -> None:
    window = WindowFields(starts_at=datetime(9999, 12, 31, tzinfo=UTC), duration_seconds=86_400 * 30)

    assert window.end(datetime(2027, 1, 1, tzinfo=UTC)) == LATEST
