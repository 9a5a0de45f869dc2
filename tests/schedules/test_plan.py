"""What becomes of the ticks of a due schedule, and where the schedule stands afterwards."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from app.schedules import rules
from app.schedules.plan import TICKS_AT_ONCE, Plan, Refusal, jitter, next_standing, plan
from app.schedules.rules import Cron, Interval, Once
from app.schedules.states import CatchUp, FiringOutcome, Overlap, ScheduleStatus
from app.schedules.values import Reason
from tests.support.schedules import NOON, due, schedule

FIRED, WAITING, SKIPPED = FiringOutcome.FIRED, FiringOutcome.WAITING, FiringOutcome.SKIPPED
REPLACED, MISSED, REFUSED = FiringOutcome.REPLACED, FiringOutcome.MISSED, FiringOutcome.REFUSED
EVERY_5_MINUTES = Cron("*/5 * * * *", "UTC")
GONE = Refusal(Reason(code="model_not_found", message="There is no such model."))


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def outcomes(planned: Plan) -> list[tuple[int, FiringOutcome]]:
    """The ticks of a plan in seconds after noon."""
    return [(round((one.fire_at - NOON).total_seconds()), one.outcome) for one in planned.firings]


# Ticks that are on time


def test_a_tick_is_fired_and_the_next_one_awaited() -> None:
    planned = plan(due(), after(0.2))

    assert outcomes(planned) == [(0, FIRED)]
    assert (planned.status, planned.next_fire_at) == (ScheduleStatus.ACTIVE, after(60))
    assert planned.jobs == 1


def test_each_tick_within_the_grace_is_a_firing() -> None:
    every_10_seconds = Interval(NOON, 10, includes_anchor=True)

    planned = plan(due(every_10_seconds, overlap=Overlap.ALLOW), after(60))

    assert outcomes(planned) == [(second, FIRED) for second in range(0, 61, 10)]
    assert all(firing.is_on_time for firing in planned.firings)
    assert planned.next_fire_at == after(70)


def test_more_ticks_than_are_planned_at_once_are_left_to_the_next_round() -> None:
    each_second = Interval(NOON, 1, includes_anchor=True)
    overdue = due(each_second, overlap=Overlap.ALLOW, misfire_grace_seconds=3600)

    planned = plan(overdue, after(3000))

    assert len(planned.firings) == TICKS_AT_ONCE
    assert (planned.status, planned.next_fire_at) == (ScheduleStatus.ACTIVE, after(TICKS_AT_ONCE))


def test_a_schedule_without_another_tick_is_finished() -> None:
    planned = plan(due(Once(NOON)), after(1))

    assert outcomes(planned) == [(0, FIRED)]
    assert (planned.status, planned.next_fire_at, planned.reason) == (ScheduleStatus.FINISHED, None, None)


@pytest.mark.parametrize(("fires_immediately", "runs"), [(False, 60), (True, 61)])
def test_every_10_seconds_for_10_minutes_runs_60_times(fires_immediately: bool, runs: int) -> None:
    rule = Interval(NOON, 10, includes_anchor=fires_immediately)
    first = rules.next_after(rule, after(-1))
    one = due(rule, next_fire_at=first, ends_at=after(600))
    fired, now = 0, after(0)
    while one.schedule.status is ScheduleStatus.ACTIVE:
        planned = plan(one, now)
        fired += planned.jobs
        one = due(rule, next_fire_at=planned.next_fire_at, status=planned.status, ends_at=after(600))
        now = planned.next_fire_at or now

    assert fired == runs
    assert now == after(600)


def test_a_tick_that_was_promised_is_kept_if_the_rule_computes_another_one_now() -> None:
    planned = plan(due(next_fire_at=after(30)), after(31))

    assert outcomes(planned) == [(30, FIRED)]
    assert planned.next_fire_at == after(60)


# Misfires


@pytest.mark.parametrize(
    ("catch_up", "fired", "missed"), [(CatchUp.NONE, 0, 36), (CatchUp.LAST, 1, 35), (CatchUp.ALL, 10, 26)]
)
def test_after_three_hours_the_misfires_are_caught_up_as_the_schedule_says(
    catch_up: CatchUp, fired: int, missed: int
) -> None:
    overdue = due(EVERY_5_MINUTES, next_fire_at=after(300), catch_up=catch_up, overlap=Overlap.ALLOW)

    planned = plan(overdue, after(3 * 3600 + 120))

    [first, *others] = planned.firings
    assert (first.outcome, first.fire_at, first.count) == (MISSED, after(300), missed)
    assert first.through_at == after(300 * missed)
    assert outcomes(planned)[1:] == [(300 * tick, FIRED) for tick in range(missed + 1, missed + 1 + fired)]
    assert not any(firing.is_on_time for firing in others)
    assert planned.next_fire_at == after(3 * 3600 + 300)


def test_after_half_a_minute_nothing_was_missed() -> None:
    planned = plan(due(EVERY_5_MINUTES, catch_up=CatchUp.NONE), after(30))

    assert outcomes(planned) == [(0, FIRED)]


@pytest.mark.parametrize(("late", "outcome"), [(60.0, FIRED), (60.000001, MISSED)])
def test_a_tick_is_on_time_through_the_last_moment_of_the_grace(late: float, outcome: FiringOutcome) -> None:
    planned = plan(due(EVERY_5_MINUTES, catch_up=CatchUp.NONE), after(late))

    assert outcomes(planned) == [(0, outcome)]


def test_a_single_misfire_that_is_caught_up_leaves_no_missed_firing() -> None:
    planned = plan(due(EVERY_5_MINUTES, catch_up=CatchUp.LAST), after(120))

    assert outcomes(planned) == [(0, FIRED)]
    assert not planned.firings[0].is_on_time


def test_misfires_that_are_older_than_the_window_are_missed() -> None:
    overdue = due(
        EVERY_5_MINUTES,
        catch_up=CatchUp.ALL,
        catch_up_limit=1000,
        catch_up_window_seconds=3600,
        overlap=Overlap.ALLOW,
    )

    planned = plan(overdue, after(3 * 3600 + 120))

    [missed, *caught_up] = planned.firings
    assert missed.outcome is MISSED
    assert missed.count == 25
    assert [one.fire_at for one in caught_up] == [after(300 * tick) for tick in range(25, 37)]


def test_ticks_that_are_on_time_run_beside_the_misfire_that_is_caught_up() -> None:
    each_minute = due(catch_up=CatchUp.LAST, overlap=Overlap.ALLOW)

    planned = plan(each_minute, after(330))

    assert outcomes(planned) == [(0, MISSED), (240, FIRED), (300, FIRED)]
    assert [one.is_on_time for one in planned.firings] == [False, False, True]
    assert planned.firings[0].count == 4


def test_more_misfires_than_are_counted_have_no_count() -> None:
    each_second = Interval(NOON, 1, includes_anchor=True)

    planned = plan(due(each_second, catch_up=CatchUp.NONE), after(30 * 86_400 + 0.5))

    missed = planned.firings[0]
    assert (missed.outcome, missed.count) == (MISSED, None)
    assert missed.through_at == after(30 * 86_400 - 60)


# Overlap


def test_skip_starts_one_job_and_skips_the_ticks_of_the_same_round() -> None:
    every_20_seconds = Interval(NOON, 20, includes_anchor=True)

    planned = plan(due(every_20_seconds), after(45))

    assert outcomes(planned) == [(0, FIRED), (20, SKIPPED), (40, SKIPPED)]
    assert planned.firings[1].reason == {
        "code": "busy",
        "message": "A job of this schedule was pending or running.",
    }


@pytest.mark.parametrize("state", [{"is_busy": True}, {"waiting": 1}])
def test_skip_skips_a_tick_while_a_job_is_active_or_waits(state: dict[str, object]) -> None:
    planned = plan(due(**state), after(1))  # type: ignore[arg-type]  # not a rule

    assert outcomes(planned) == [(0, SKIPPED)]
    assert (planned.status, planned.next_fire_at) == (ScheduleStatus.ACTIVE, after(60))


def test_allow_starts_a_job_beside_the_active_one() -> None:
    assert outcomes(plan(due(overlap=Overlap.ALLOW, is_busy=True), after(1))) == [(0, FIRED)]


def test_queue_lets_as_many_ticks_wait_as_the_limit_allows() -> None:
    every_10_seconds = Interval(NOON, 10, includes_anchor=True)
    queueing = due(every_10_seconds, overlap=Overlap.QUEUE, queue_limit=2)

    planned = plan(queueing, after(45))

    assert outcomes(planned) == [(0, FIRED), (10, WAITING), (20, WAITING), (30, SKIPPED), (40, SKIPPED)]
    assert planned.firings[3].reason is not None
    assert planned.firings[3].reason["code"] == "queue_full"


def test_queue_starts_no_tick_before_one_that_waits() -> None:
    planned = plan(due(overlap=Overlap.QUEUE, queue_limit=2, waiting=1), after(1))

    assert outcomes(planned) == [(0, WAITING)]


def test_replace_cancels_the_active_job_and_takes_its_place() -> None:
    planned = plan(due(overlap=Overlap.REPLACE, is_busy=True), after(1))

    assert outcomes(planned) == [(0, WAITING)]
    assert planned.cancels_active
    assert not planned.replaces_waiting


def test_replace_takes_the_place_of_a_tick_that_waits() -> None:
    planned = plan(due(overlap=Overlap.REPLACE, is_busy=True, waiting=1), after(1))

    assert outcomes(planned) == [(0, WAITING)]
    assert planned.replaces_waiting


def test_replace_starts_the_newest_tick_of_a_round_only() -> None:
    every_20_seconds = Interval(NOON, 20, includes_anchor=True)

    planned = plan(due(every_20_seconds, overlap=Overlap.REPLACE), after(45))

    assert outcomes(planned) == [(0, REPLACED), (20, REPLACED), (40, FIRED)]
    assert not planned.cancels_active


# Ends


def test_a_schedule_is_finished_after_its_last_run() -> None:
    every_10_seconds = Interval(NOON, 10, includes_anchor=True)
    last = due(every_10_seconds, overlap=Overlap.ALLOW, max_runs=3, fired=1)

    planned = plan(last, after(45))

    assert outcomes(planned) == [(0, FIRED), (10, FIRED)]
    assert (planned.status, planned.next_fire_at) == (ScheduleStatus.FINISHED, None)


def test_skipped_and_refused_ticks_are_no_runs() -> None:
    every_10_seconds = Interval(NOON, 10, includes_anchor=True)

    skipped = plan(due(every_10_seconds, max_runs=2), after(45))
    refused = plan(due(every_10_seconds, max_runs=2), after(45), GONE)

    assert skipped.jobs == 1
    assert skipped.status is ScheduleStatus.ACTIVE
    assert refused.status is ScheduleStatus.ACTIVE
    assert refused.next_fire_at == after(50)


def test_a_tick_that_waits_is_a_run() -> None:
    planned = plan(due(overlap=Overlap.QUEUE, is_busy=True, max_runs=1), after(1))

    assert outcomes(planned) == [(0, WAITING)]
    assert planned.status is ScheduleStatus.FINISHED


def test_a_tick_that_is_replaced_gives_its_run_back() -> None:
    planned = plan(due(overlap=Overlap.REPLACE, is_busy=True, waiting=1, max_runs=3, fired=2), after(1))

    assert outcomes(planned) == [(0, WAITING)]
    assert planned.status is ScheduleStatus.ACTIVE


def test_a_schedule_pauses_after_failures_in_a_row_and_says_so() -> None:
    planned = plan(due(pause_after_failures=3, failures=3), after(1))

    assert (planned.status, planned.next_fire_at, planned.firings) == (ScheduleStatus.PAUSED, None, ())
    assert planned.reason == {"code": "too_many_failures", "message": "The last 3 jobs failed."}


def test_fewer_failures_do_not_pause_it() -> None:
    assert plan(due(pause_after_failures=3, failures=2), after(1)).jobs == 1


def test_a_schedule_of_an_inactive_owner_is_suspended() -> None:
    planned = plan(due(owner_is_active=False), after(1))

    assert (planned.status, planned.next_fire_at, planned.firings) == (ScheduleStatus.SUSPENDED, None, ())
    assert planned.reason is not None
    assert planned.reason["code"] == "owner_inactive"


# Refusals


def test_a_tick_whose_job_cannot_be_planned_is_refused_and_the_schedule_goes_on() -> None:
    planned = plan(due(), after(1), GONE)

    assert outcomes(planned) == [(0, REFUSED)]
    assert planned.firings[0].reason == GONE.reason
    assert (planned.status, planned.next_fire_at) == (ScheduleStatus.ACTIVE, after(60))


def test_a_refused_tick_does_not_make_the_next_one_wait() -> None:
    every_20_seconds = Interval(NOON, 20, includes_anchor=True)

    planned = plan(due(every_20_seconds, overlap=Overlap.SKIP), after(45), GONE)

    assert outcomes(planned) == [(0, REFUSED), (20, REFUSED), (40, REFUSED)]


def test_as_many_ticks_are_fired_as_jobs_can_be_created() -> None:
    every_20_seconds = Interval(NOON, 20, includes_anchor=True)
    full = Refusal(GONE.reason, jobs=2)

    planned = plan(due(every_20_seconds, overlap=Overlap.ALLOW), after(45), full)

    assert outcomes(planned) == [(0, FIRED), (20, FIRED), (40, REFUSED)]


# What cannot be computed


def test_a_zone_that_has_vanished_breaks_the_schedule_after_the_tick_that_is_known() -> None:
    planned = plan(due(Cron("0 12 * * *", "Mars/Olympus"), tz_version="2020a"), after(1))

    assert outcomes(planned) == [(0, FIRED)]
    assert (planned.status, planned.next_fire_at) == (ScheduleStatus.BROKEN, None)
    assert planned.reason is not None
    assert planned.reason["code"] == "cannot_compute"
    assert "Mars/Olympus" in planned.reason["message"]


def test_a_misfire_of_a_schedule_that_cannot_be_computed_is_missed() -> None:
    planned = plan(due(Cron("0 12 * * *", "Mars/Olympus")), after(3600))

    assert outcomes(planned) == [(0, MISSED)]
    assert planned.status is ScheduleStatus.BROKEN


def test_a_rule_that_cannot_be_read_breaks_the_schedule() -> None:
    planned = plan(due(rule={"type": "sundial"}), after(1))  # type: ignore[arg-type]  # not a rule

    assert planned.status is ScheduleStatus.BROKEN


# Where a schedule stands


def test_the_next_tick_is_later_than_now() -> None:
    assert next_standing(schedule(), NOON).next_fire_at == after(60)


def test_a_schedule_that_has_had_its_runs_does_not_come_back() -> None:
    assert next_standing(schedule(max_runs=3, fired=3), NOON).status is ScheduleStatus.FINISHED


def test_a_schedule_whose_window_has_closed_is_finished() -> None:
    assert next_standing(schedule(ends_at=after(59)), NOON).status is ScheduleStatus.FINISHED


def test_a_schedule_that_cannot_be_computed_stands_broken() -> None:
    assert next_standing(schedule(Cron("0 12 * * *", "Mars/Olympus")), NOON).status is ScheduleStatus.BROKEN


# Jitter


def test_jitter_is_the_same_for_each_process_and_less_than_its_bound() -> None:
    one = schedule(jitter_seconds=30)
    delays = [jitter(one, after(60 * tick)) for tick in range(200)]

    assert delays == [jitter(one, after(60 * tick)) for tick in range(200)]
    assert all(timedelta(0) <= delay < timedelta(seconds=30) for delay in delays)
    assert len(set(delays)) > 190
    assert jitter(schedule(jitter_seconds=30), NOON) != delays[0]


def test_without_jitter_a_job_starts_at_its_tick() -> None:
    assert jitter(schedule(), NOON) == timedelta(0)


# The clocks of a zone


def test_a_fixed_time_is_planned_once_in_an_overlap() -> None:
    """The clocks of New York go back at 06:00Z; 01:30 is at 05:30Z and again at 06:30Z."""
    rule = Cron("30 1 * * *", "America/New_York")
    tick = datetime(2027, 11, 7, 5, 30, tzinfo=UTC)
    overlapping = due(rule, next_fire_at=tick)

    planned = plan(overlapping, datetime(2027, 11, 7, 5, 30, 1, tzinfo=UTC))

    assert planned.next_fire_at == datetime(2027, 11, 8, 6, 30, tzinfo=UTC)


def test_ticks_strictly_rise_from_round_to_round() -> None:
    rule = Cron("*/30 * * * *", "America/New_York")
    now = datetime(2027, 11, 7, 3, tzinfo=UTC)
    ticks = [now]
    for _ in range(20):
        planned = plan(due(rule, next_fire_at=ticks[-1]), ticks[-1] + timedelta(seconds=1))
        assert planned.next_fire_at is not None
        ticks.append(planned.next_fire_at)

    assert all(later - earlier == timedelta(minutes=30) for earlier, later in pairwise(ticks))
