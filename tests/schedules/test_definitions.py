"""What the owner of a schedule decides: as a request gives it, and after a change of some of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from app.core.errors import Unprocessable
from app.jobs.kinds import registry
from app.schedules.definitions import Definition, Timing, changed_timing, stored_timing
from app.schedules.errors import BadCron, NeverFires, ScheduleBroken
from app.schedules.rules import Cron, Interval, Once, Window
from app.schedules.schemas import schedule_bodies
from app.schedules.states import CatchUp, Overlap
from app.schedules.zones import VERSION
from tests.support.schedules import NOON, schedule

BODIES = schedule_bodies(registry.BUILT_IN)
JOB = {"kind": "batch_predict", "texts": ["a"]}
HOUR = timedelta(hours=1)


def defined(**fields: Any) -> Definition:
    body = {"name": "a", "trigger": {"every": {"hours": 1}}, "job": JOB} | fields
    request = BODIES.request.model_validate(body)
    return Definition.from_request(request, name="a", kind="batch_predict", job=JOB, created_at=NOON)


def changed(before: Definition, **fields: Any) -> Definition:
    change = BODIES.change.model_validate(fields)
    return before.with_changes(change, kind=before.kind, job=before.job, created_at=NOON)


@pytest.mark.parametrize(
    ("fields", "starts_at", "ends_at"),
    [
        ({}, None, None),
        ({"duration_seconds": 3600}, None, NOON + HOUR),
        ({"starts_at": NOON + HOUR, "duration_seconds": 3600}, NOON + HOUR, NOON + 2 * HOUR),
        ({"ends_at": NOON + HOUR}, None, NOON + HOUR),
    ],
    ids=str,
)
def test_a_duration_counts_from_the_start_or_else_from_the_creation(
    fields: dict[str, Any], starts_at: datetime | None, ends_at: datetime | None
) -> None:
    definition = defined(**fields)

    assert (definition.starts_at, definition.ends_at) == (starts_at, ends_at)


@pytest.mark.parametrize(
    ("change", "starts_at", "ends_at"),
    [
        ({"overlap": "queue"}, NOON, NOON + HOUR),
        ({"starts_at": None}, None, NOON + HOUR),
        ({"ends_at": None}, NOON, None),
        ({"duration_seconds": None}, NOON, None),
        ({"duration_seconds": 7200}, NOON, NOON + 2 * HOUR),
        ({"starts_at": None, "duration_seconds": 60}, None, NOON + timedelta(minutes=1)),
        ({"starts_at": NOON + HOUR, "duration_seconds": 60}, NOON + HOUR, NOON + HOUR + timedelta(minutes=1)),
    ],
    ids=str,
)
def test_a_change_moves_the_bounds_that_it_names(
    change: dict[str, Any], starts_at: datetime | None, ends_at: datetime | None
) -> None:
    definition = changed(defined(starts_at=NOON, duration_seconds=3600), **change)

    assert (definition.starts_at, definition.ends_at) == (starts_at, ends_at)


def test_a_change_sets_what_it_has_and_leaves_the_rest() -> None:
    before = defined(group="a", max_runs=3, catch_up="all", jitter_seconds=5)

    after = changed(before, name="b", group=None, overlap="replace", max_runs=None)

    assert (after.name, after.group_name, after.overlap, after.max_runs) == ("b", None, Overlap.REPLACE, None)
    assert (after.catch_up, after.jitter_seconds) == (CatchUp.ALL, 5)
    assert after.has_timing_of(before)
    assert changed(before) == before


@pytest.mark.parametrize(
    "change",
    [
        {"trigger": {"every": {"hours": 2}}},
        {"timezone": "Europe/Berlin"},
        {"starts_at": NOON},
        {"ends_at": NOON + HOUR},
    ],
    ids=str,
)
def test_trigger_zone_and_window_decide_when_it_fires(change: dict[str, Any]) -> None:
    before = defined()

    assert not changed(before, **change).has_timing_of(before)


@pytest.mark.parametrize(("jitter", "is_valid"), [(0, True), (5, True), (6, False)])
def test_a_jitter_is_at_most_half_of_an_interval(jitter: int, is_valid: bool) -> None:
    definition = defined(trigger={"every": {"seconds": 10}}, jitter_seconds=jitter)

    if is_valid:
        Timing.compile(definition, created_at=NOON, now=NOON)
    else:
        with pytest.raises(Unprocessable) as raised:
            Timing.compile(definition, created_at=NOON, now=NOON)
        assert raised.value.facts["errors"][0]["loc"] == ["body", "jitter_seconds"]


def test_an_interval_counts_from_its_anchor_its_start_or_the_creation() -> None:
    late = NOON + timedelta(days=1)
    for fields, anchor in (
        ({}, NOON),
        ({"starts_at": late}, late),
        ({"starts_at": late, "trigger": {"every": {"hours": 1}, "anchor_at": NOON + HOUR}}, NOON + HOUR),
    ):
        timing = Timing.compile(defined(**fields), created_at=NOON, now=NOON)
        assert isinstance(timing.rule, Interval)
        assert timing.rule.anchor == anchor


def test_only_rules_of_a_zone_have_a_version_of_the_zone_data() -> None:
    interval = Timing.compile(defined(), created_at=NOON, now=NOON)
    daily = defined(trigger={"daily": {"at": "09:00"}}, timezone="Europe/Berlin")

    assert interval.tz_version is None
    assert Timing.compile(daily, created_at=NOON, now=NOON).tz_version == VERSION


def test_seconds_from_now_do_not_move_with_zone_and_window() -> None:
    at = NOON + HOUR
    trigger = {"once": {"in_seconds": 3600}}
    row = schedule(Once(at), trigger=trigger, next_fire_at=at)
    before = Definition.of(row)
    much_later = NOON + timedelta(minutes=30)

    moved = changed_timing(row, changed(before, timezone="Asia/Tokyo"), now=much_later)
    again = changed_timing(row, changed(before, trigger={"once": {"in_seconds": 60}}), now=much_later)

    assert moved.first(NOON) == at
    assert again.first(NOON) == much_later + timedelta(minutes=1)


def test_a_time_without_an_offset_moves_with_the_zone() -> None:
    trigger = {"once": {"at": "2027-03-01T09:00"}}
    row = schedule(Once(datetime(2027, 3, 1, 9, tzinfo=UTC)), trigger=trigger)

    moved = changed_timing(row, changed(Definition.of(row), timezone="Asia/Tokyo"), now=NOON)

    assert moved.first(NOON) == datetime(2027, 3, 1, 0, tzinfo=UTC)


def test_a_rule_that_cannot_be_read_is_compiled_again() -> None:
    row = schedule(trigger={"every": {"hours": 1}})
    unreadable = msgspec.structs.replace(row, rule={"type": "lunar"})

    assert stored_timing(unreadable, Definition.of(unreadable), now=NOON).rule == Interval(NOON, 3600)
    assert stored_timing(row, Definition.of(row), now=NOON).rule == Interval(NOON, 60, includes_anchor=True)


def test_a_timing_without_ticks_says_so() -> None:
    ended = Timing.compile(defined(ends_at=NOON), created_at=NOON, now=NOON)
    broken = Timing(Cron("0 9 * * *", "Mars/Olympus"), Window(), VERSION)

    assert ended.next_after(NOON) is None
    with pytest.raises(NeverFires):
        ended.first(NOON)
    with pytest.raises(ScheduleBroken, match="Mars/Olympus"):
        broken.next_after(NOON)
    with pytest.raises(BadCron):
        broken.first(NOON)
