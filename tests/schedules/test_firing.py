"""Firing: what a round writes, and that one schedule never holds up the others."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.core.config import Settings
from app.core.database import Database
from app.jobs.kinds import registry
from app.jobs.kinds.kind import JobPlan, Kind
from app.jobs.unit_of_work import UnitOfWork
from app.schedules import zones
from app.schedules.rules import Cron, Interval, Once
from app.schedules.states import CatchUp, Overlap, ScheduleStatus
from tests.support import invariants, jobs, rows, schedules
from tests.support.schedules import MINUTELY, NOON, VirtualTime


@pytest.fixture
def time(settings: Settings, database: Database) -> VirtualTime:
    """Time stands at noon, when schedules are due unless a test says otherwise."""
    return VirtualTime(settings, database)


@pytest.fixture
async def owner_id(database: Database) -> UUID:
    return await jobs.user(database)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


async def complete_next(database: Database) -> None:
    """Run the next job to its end."""
    job = await jobs.claim(database)
    await jobs.complete(database, job)


async def fail_next(database: Database) -> None:
    await jobs.fail(database, await jobs.claim(database), is_retryable=False)


# One round


async def test_a_tick_becomes_a_firing_and_a_job_of_its_owner(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    schedule = await schedules.add(database, owner_id)

    done = await time.fire(0.25)

    [job] = await schedules.jobs_of(database, schedule.id)
    assert (job["owner_id"], job["kind"], job["status"]) == (owner_id, "batch_predict", "pending")
    assert job["fire_at"] == NOON
    [firing] = await rows.fetch(database, "SELECT * FROM schedule_firings")
    assert (firing["fire_at"], firing["outcome"], firing["job_id"]) == (NOON, "fired", job["id"])
    stored = await schedules.read(database, schedule.id)
    assert (stored.next_fire_at, stored.last_fire_at, stored.fired) == (after(60), NOON, 1)
    assert (done.schedules, dict(done.outcomes), done.lateness_seconds) == (1, {"fired": 1}, [0.25])
    assert await rows.event_types(database, job["id"]) == ["created"]
    await invariants.all_hold(database)


async def test_a_second_round_finds_nothing_to_do(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    schedule = await schedules.add(database, owner_id)
    await time.fire()

    done = await time.fire()

    assert done.schedules == 0
    assert len(await schedules.jobs_of(database, schedule.id)) == 1


async def test_many_schedules_fire_in_one_round_each_with_its_payload(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    added = [
        await schedules.add(database, owner_id, job={"texts": [f"text {number}"]}) for number in range(7)
    ]

    await time.fire()

    payloads = await rows.fetch(
        database,
        """SELECT j.schedule_id, p.rows FROM jobs j JOIN job_payloads p ON p.job_id = j.id
        ORDER BY j.schedule_id""",
    )
    assert [row["schedule_id"] for row in payloads] == sorted(one.id for one in added)
    assert {row["rows"] for row in payloads} == {f'["text {number}"]'.encode() for number in range(7)}
    await invariants.all_hold(database)


async def test_a_round_takes_no_more_than_so_many_and_says_that_it_is_full(
    settings: Settings, database: Database, owner_id: UUID
) -> None:
    for seconds in (30, 10, 20):
        await schedules.add(database, owner_id, next_fire_at=after(seconds), name=f"at {seconds}")
    time = VirtualTime(settings, database, schedules_at_once=2)

    first = await time.fire(40)
    second = await time.fire()

    assert (first.schedules, first.is_full) == (2, True)
    assert (second.schedules, second.is_full) == (1, False)
    ticks = [row["fire_at"] for row in await rows.fetch(database, "SELECT fire_at FROM jobs ORDER BY id")]
    assert ticks == [after(10), after(20), after(30)]


async def test_a_round_without_time_to_plan_leaves_the_rest_to_the_next(
    settings: Settings, database: Database, owner_id: UUID
) -> None:
    for _ in range(3):
        await schedules.add(database, owner_id)
    time = VirtualTime(settings, database, plan_seconds=0.0)

    rounds = [await time.fire() for _ in range(3)]

    assert [(done.schedules, done.is_full) for done in rounds] == [(1, True), (1, True), (1, False)]


async def test_a_schedule_that_another_process_fires_is_skipped(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    schedule = await schedules.add(database, owner_id)
    other = await schedules.add(database, owner_id)
    async with rows.transaction(database) as held:
        await held.execute("SELECT FROM schedules WHERE id = $1 FOR UPDATE", schedule.id)

        done = await time.fire()

    assert done.schedules == 1
    assert await schedules.outcomes(database, schedule.id) == []
    assert await schedules.outcomes(database, other.id) == [(NOON, "fired")]


async def test_a_kind_that_this_process_does_not_know_is_left_to_others(
    settings: Settings, database: Database, owner_id: UUID
) -> None:
    unknown = await schedules.add(database, owner_id, kind="polish")
    known = await schedules.add(database, owner_id)
    time = VirtualTime(settings, database)

    await time.fire()

    assert await schedules.outcomes(database, unknown.id) == []
    assert (await schedules.read(database, unknown.id)).status is ScheduleStatus.ACTIVE
    assert await schedules.outcomes(database, known.id) == [(NOON, "fired")]


async def test_a_tick_that_has_a_firing_already_gets_no_job(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    schedule = await schedules.add(database, owner_id)
    await rows.execute(
        database,
        "INSERT INTO schedule_firings (schedule_id, fire_at, outcome) VALUES ($1, $2, 'manual')",
        schedule.id,
        NOON,
    )

    await time.fire()

    assert await schedules.jobs_of(database, schedule.id) == []
    stored = await schedules.read(database, schedule.id)
    assert (stored.next_fire_at, stored.fired) == (after(60), 0)


async def test_a_round_that_is_rolled_back_leaves_nothing(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    schedule = await schedules.add(database, owner_id)

    async def fire_and_fail() -> None:
        async with database.transaction() as connection:
            await time.dispatcher.fire(UnitOfWork(connection))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fire_and_fail()

    assert await schedules.outcomes(database, schedule.id) == []
    assert await schedules.jobs_of(database, schedule.id) == []
    assert (await schedules.read(database, schedule.id)).next_fire_at == NOON


async def test_jitter_delays_the_job_and_not_the_tick(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    now: datetime = await rows.value(database, "SELECT date_trunc('second', now())")
    schedule = await schedules.add(
        database, owner_id, Interval(now, 7200), next_fire_at=now + timedelta(days=1), jitter_seconds=3600
    )
    time.now = now + timedelta(days=1)

    await time.fire()

    [job] = await schedules.jobs_of(database, schedule.id)
    assert job["fire_at"] == time.now
    assert time.now < job["run_at"] < time.now + timedelta(hours=1)


# Overlap, with real jobs


async def test_skip_runs_the_next_tick_after_the_job_has_ended(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    schedule = await schedules.add(database, owner_id, overlap=Overlap.SKIP)
    await time.fire()
    await time.fire(60)
    await complete_next(database)
    await time.fire(60)

    assert await schedules.outcomes(database, schedule.id) == [
        (NOON, "fired"),
        (after(60), "skipped"),
        (after(120), "fired"),
    ]


async def test_a_job_that_waits_for_a_retry_is_active(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    schedule = await schedules.add(database, owner_id)
    await time.fire()
    await jobs.fail(database, await jobs.claim(database), is_retryable=True, delay_seconds=3600)

    await time.fire(60)

    assert [outcome for _, outcome in await schedules.outcomes(database, schedule.id)] == ["fired", "skipped"]


async def test_queue_never_has_two_at_once_and_promotes_the_oldest_first(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    schedule = await schedules.add(database, owner_id, overlap=Overlap.QUEUE, queue_limit=2)
    await time.fire()
    for _ in range(3):
        await time.fire(60)
    assert (await time.promote()).schedules == 0  # the first job is active

    await complete_next(database)
    promoted = await time.promote()
    again = await time.promote()

    assert (promoted.schedules, again.schedules) == (1, 0)
    assert await schedules.outcomes(database, schedule.id) == [
        (NOON, "fired"),
        (after(60), "fired"),
        (after(120), "waiting"),
        (after(180), "skipped"),
    ]
    assert [job["fire_at"] for job in await schedules.jobs_of(database, schedule.id)] == [NOON, after(60)]
    stored = await schedules.read(database, schedule.id)
    assert (stored.fired, stored.last_fire_at) == (3, after(60))
    await invariants.all_hold(database)


async def test_what_waits_is_promoted_after_the_schedule_has_finished_but_not_while_it_is_paused(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    finished = await schedules.add(database, owner_id, overlap=Overlap.QUEUE, max_runs=2)
    paused = await schedules.add(database, owner_id, overlap=Overlap.QUEUE)
    await time.fire()
    await time.fire(60)
    await rows.execute(
        database, "UPDATE schedules SET status = 'paused', next_fire_at = NULL WHERE id = $1", paused.id
    )
    for _ in range(2):
        await complete_next(database)

    await time.promote()

    assert (await schedules.read(database, finished.id)).status is ScheduleStatus.FINISHED
    assert await schedules.outcomes(database, finished.id) == [(NOON, "fired"), (after(60), "fired")]
    assert await schedules.outcomes(database, paused.id) == [(NOON, "fired"), (after(60), "waiting")]


async def test_replace_cancels_the_active_job_and_starts_the_newest_tick_when_it_has_ended(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    schedule = await schedules.add(database, owner_id, overlap=Overlap.REPLACE)
    await time.fire()
    running = await jobs.claim(database)
    await time.fire(60)
    await time.fire(60)
    assert (await rows.job(database, running.id))["cancel_requested_at"] is not None
    assert (await time.promote()).schedules == 0

    await jobs.stop(database, running)
    await time.promote()

    assert await schedules.outcomes(database, schedule.id) == [
        (NOON, "fired"),
        (after(60), "replaced"),
        (after(120), "fired"),
    ]
    assert (await schedules.read(database, schedule.id)).fired == 2
    await invariants.all_hold(database)


async def test_replace_ends_a_pending_job_at_once(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    schedule = await schedules.add(database, owner_id, overlap=Overlap.REPLACE)
    await time.fire()
    await time.fire(60)
    await time.promote()

    statuses = [job["status"] for job in await schedules.jobs_of(database, schedule.id)]
    assert statuses == ["cancelled", "pending"]


async def test_two_processes_that_see_a_schedule_due_at_once_start_one_job_with_skip(
    settings: Settings, database: Database, owner_id: UUID
) -> None:
    """What decides about a tick is read after the lock: the second process sees the job of the first one."""
    every_20_seconds = Interval(NOON, 20, includes_anchor=True)
    schedule = await schedules.add(database, owner_id, every_20_seconds)
    first, second = VirtualTime(settings, database), VirtualTime(settings, database)
    second.now = after(20)

    await asyncio.gather(*(time.fire() for time in (first, second) * 5))

    assert len(await schedules.jobs_of(database, schedule.id)) == 1


# Ends


async def test_max_runs_counts_what_fired_and_not_what_was_skipped(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    schedule = await schedules.add(database, owner_id, max_runs=3)
    await time.fire()
    for _ in range(2):
        await time.fire(60)  # skipped
    for _ in range(3):
        await complete_next(database)
        if (await time.fire(60)).schedules == 0:
            break

    outcomes = [outcome for _, outcome in await schedules.outcomes(database, schedule.id)]
    assert outcomes == ["fired", "skipped", "skipped", "fired", "fired"]
    stored = await schedules.read(database, schedule.id)
    assert (stored.status, stored.fired) == (ScheduleStatus.FINISHED, 3)


async def test_a_schedule_pauses_after_failures_in_a_row_and_not_again_for_those_before_its_resume(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    schedule = await schedules.add(database, owner_id, pause_after_failures=2)
    for _ in range(2):
        await time.fire()
        await fail_next(database)
        time.now += timedelta(seconds=60)
    await time.fire()
    paused = await schedules.read(database, schedule.id)
    await rows.execute(
        database,
        """UPDATE schedules SET status = 'active', reason = NULL, next_fire_at = $1,
        resumed_at = clock_timestamp() WHERE id = $2""",
        time.now,
        schedule.id,
    )

    await time.fire()

    assert paused.status is ScheduleStatus.PAUSED
    assert paused.reason is not None
    assert paused.reason["code"] == "too_many_failures"
    assert (await schedules.read(database, schedule.id)).status is ScheduleStatus.ACTIVE
    assert len(await schedules.jobs_of(database, schedule.id)) == 3


async def test_a_success_and_cancelled_jobs_do_not_count_as_failures(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    schedule = await schedules.add(database, owner_id, pause_after_failures=2)
    await time.fire()
    await fail_next(database)
    await time.fire(60)
    await complete_next(database)
    await time.fire(60)
    await fail_next(database)
    await time.fire(60)
    [*_, newest] = await schedules.jobs_of(database, schedule.id)
    await jobs.cancel(database, newest["id"])

    await time.fire(60)

    assert (await schedules.read(database, schedule.id)).status is ScheduleStatus.ACTIVE
    assert len(await schedules.jobs_of(database, schedule.id)) == 5


# Owners and quotas


async def test_a_schedule_of_a_disabled_account_is_suspended_and_comes_back_with_it(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    schedule = await schedules.add(database, owner_id)
    await rows.execute(database, "UPDATE users SET is_active = false WHERE id = $1", owner_id)
    await time.fire()
    suspended = await schedules.read(database, schedule.id)
    await time.renew()
    still = await schedules.read(database, schedule.id)

    await rows.execute(database, "UPDATE users SET is_active = true WHERE id = $1", owner_id)
    time.now = after(90)
    await time.renew()

    assert (suspended.status, still.status) == (ScheduleStatus.SUSPENDED, ScheduleStatus.SUSPENDED)
    assert suspended.reason is not None
    assert suspended.reason["code"] == "owner_inactive"
    back = await schedules.read(database, schedule.id)
    assert (back.status, back.next_fire_at, back.reason) == (ScheduleStatus.ACTIVE, after(120), None)
    assert await schedules.jobs_of(database, schedule.id) == []


async def test_a_tick_over_the_quota_is_refused_and_the_next_one_fires_when_there_is_room(
    settings: Settings, database: Database, owner_id: UUID
) -> None:
    time = VirtualTime(settings.model_copy(update={"max_active_jobs": 1}), database)
    first = await schedules.add(database, owner_id, overlap=Overlap.ALLOW)
    second = await schedules.add(database, owner_id, next_fire_at=after(1))
    other = await schedules.add(database, await jobs.user(database), next_fire_at=after(1))

    await time.fire(1)
    refused = await rows.fetch(
        database, "SELECT reason FROM schedule_firings WHERE schedule_id = $1", second.id
    )
    for _ in range(2):
        await complete_next(database)
    await rows.execute(database, "UPDATE schedules SET next_fire_at = NULL, status = 'paused'")
    await rows.execute(
        database,
        "UPDATE schedules SET next_fire_at = $2, status = 'active' WHERE id = $1",
        second.id,
        after(60),
    )
    await time.fire(60)

    assert await schedules.outcomes(database, first.id) == [(NOON, "fired")]
    assert await schedules.outcomes(database, other.id) == [(after(1), "fired")]
    assert await schedules.outcomes(database, second.id) == [(after(1), "refused"), (after(60), "fired")]
    assert refused[0]["reason"]["code"] == "too_many_active_jobs"
    assert "1" in refused[0]["reason"]["message"]


async def test_ticks_of_one_round_share_the_quota(
    settings: Settings, database: Database, owner_id: UUID
) -> None:
    every_10_seconds = Interval(NOON, 10, includes_anchor=True)
    time = VirtualTime(settings.model_copy(update={"max_active_jobs": 3}), database)
    schedule = await schedules.add(database, owner_id, every_10_seconds, overlap=Overlap.ALLOW)

    await time.fire(45)

    outcomes = [outcome for _, outcome in await schedules.outcomes(database, schedule.id)]
    assert outcomes == ["fired", "fired", "fired", "refused", "refused"]
    assert (await schedules.read(database, schedule.id)).fired == 3


async def test_a_tick_whose_rows_exceed_the_quota_of_storage_is_refused(
    settings: Settings, database: Database, owner_id: UUID
) -> None:
    time = VirtualTime(settings.model_copy(update={"max_user_bytes": 20}), database)
    fits = await schedules.add(database, owner_id, job={"texts": ["good"]})
    exceeds = await schedules.add(database, owner_id, job={"texts": ["much longer than that"]})

    await time.fire()

    assert await schedules.outcomes(database, fits.id) == [(NOON, "fired")]
    assert await schedules.outcomes(database, exceeds.id) == [(NOON, "refused")]
    await invariants.all_hold(database)


async def test_a_job_that_its_owner_may_no_longer_request_is_refused(
    settings: Settings, database: Database, owner_id: UUID
) -> None:
    time = VirtualTime(settings.model_copy(update={"max_job_seconds": 60}), database)
    schedule = await schedules.add(database, owner_id, job=schedules.JOB | {"time_limit_seconds": 61})

    await time.fire()

    [firing] = await rows.fetch(database, "SELECT * FROM schedule_firings")
    assert (firing["schedule_id"], firing["outcome"]) == (schedule.id, "refused")
    assert firing["reason"]["code"] == "job_limit_exceeded"


# One schedule, and its neighbours


@pytest.mark.parametrize(
    ("job", "code"),
    [
        ({"texts": ["good"], "model": "nobody@best"}, "model_not_found"),
        ({"texts": ["good"], "volume": 11}, "template_invalid"),
        (
            {"dataset_id": "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d", "model": "sentiment"},
            "dataset_not_found",
        ),
    ],
)
async def test_a_template_that_cannot_be_planned_is_refused_and_its_neighbours_fire(
    database: Database, owner_id: UUID, time: VirtualTime, job: Mapping[str, Any], code: str
) -> None:
    before = await schedules.add(database, owner_id)
    schedule = await schedules.add(database, owner_id, job=job)
    behind = await schedules.add(database, owner_id)

    await time.fire()

    [firing] = await rows.fetch(
        database, "SELECT * FROM schedule_firings WHERE schedule_id = $1", schedule.id
    )
    assert (firing["outcome"], firing["reason"]["code"], firing["job_id"]) == ("refused", code, None)
    stored = await schedules.read(database, schedule.id)
    assert (stored.status, stored.next_fire_at, stored.fired) == (ScheduleStatus.ACTIVE, after(60), 0)
    for neighbour in (before, behind):
        assert await schedules.outcomes(database, neighbour.id) == [(NOON, "fired")]


async def test_a_kind_whose_plan_raises_refuses_the_tick(
    settings: Settings, database: Database, owner_id: UUID
) -> None:
    def fail(_request: object, _found: object) -> JobPlan:
        raise ZeroDivisionError

    kinds: dict[str, Kind] = {
        **registry.BUILT_IN,
        "broken": replace(registry.BUILT_IN["batch_predict"], name="broken", plan=fail),
    }
    time = VirtualTime(settings, database, kinds=kinds)
    schedule = await schedules.add(database, owner_id, kind="broken")
    neighbour = await schedules.add(database, owner_id)

    await time.fire()

    [firing] = await rows.fetch(
        database, "SELECT * FROM schedule_firings WHERE schedule_id = $1", schedule.id
    )
    assert (firing["outcome"], firing["reason"]["code"]) == ("refused", "internal_error")
    assert await schedules.outcomes(database, neighbour.id) == [(NOON, "fired")]


async def test_a_zone_that_has_vanished_breaks_its_schedule_alone(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    lost = await schedules.add(database, owner_id, Cron("0 12 * * *", "Mars/Olympus"))
    neighbour = await schedules.add(database, owner_id)

    await time.fire()

    stored = await schedules.read(database, lost.id)
    assert (stored.status, stored.next_fire_at) == (ScheduleStatus.BROKEN, None)
    assert stored.reason is not None
    assert "Mars/Olympus" in stored.reason["message"]
    assert await schedules.outcomes(database, neighbour.id) == [(NOON, "fired")]


async def test_a_firing_that_postgres_refuses_breaks_its_schedule_alone(
    settings: Settings, database: Database, owner_id: UUID
) -> None:
    """A plugin plans a job that no CHECK of the table allows."""
    good = registry.BUILT_IN["batch_predict"]

    def plan_nonsense(request: Any, found: Any) -> JobPlan:
        return replace(good.plan(request, found), total=-1)

    kinds = {**registry.BUILT_IN, "nonsense": replace(good, name="nonsense", plan=plan_nonsense)}
    time = VirtualTime(settings, database, kinds=kinds)
    refused = await schedules.add(database, owner_id, kind="nonsense")
    neighbours = [await schedules.add(database, owner_id) for _ in range(2)]

    done = await time.fire()

    stored = await schedules.read(database, refused.id)
    assert stored.status is ScheduleStatus.BROKEN
    assert stored.reason is not None
    assert await schedules.outcomes(database, refused.id) == []
    for neighbour in neighbours:
        assert await schedules.outcomes(database, neighbour.id) == [(NOON, "fired")]
    assert dict(done.outcomes) == {"fired": 2}
    await invariants.all_hold(database)


async def test_a_promotion_that_cannot_be_planned_is_refused_and_is_no_run(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    schedule = await schedules.add(database, owner_id, overlap=Overlap.QUEUE)
    await time.fire()
    await time.fire(60)
    await rows.execute(database, """UPDATE schedules SET job = '{"texts": ["good"], "model": "nobody"}'""")
    await complete_next(database)

    await time.promote()

    assert await schedules.outcomes(database, schedule.id) == [(NOON, "fired"), (after(60), "refused")]
    assert (await schedules.read(database, schedule.id)).fired == 1


async def test_a_promotion_takes_the_template_of_its_moment(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    await schedules.add(database, owner_id, overlap=Overlap.QUEUE)
    await time.fire()
    await time.fire(60)
    await rows.execute(database, """UPDATE schedules SET job = '{"texts": ["new"]}'""")
    await complete_next(database)

    await time.promote()

    payload = await rows.value(
        database,
        "SELECT p.rows FROM jobs j JOIN job_payloads p ON p.job_id = j.id WHERE j.fire_at = $1",
        after(60),
    )
    assert payload == b'["new"]'


# Misfires


async def test_misfires_are_recorded_as_one_firing_with_their_count(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    schedule = await schedules.add(database, owner_id, catch_up=CatchUp.NONE)

    await time.fire(3600 + 61)

    [missed, on_time] = await rows.fetch(database, "SELECT * FROM schedule_firings ORDER BY fire_at")
    assert (missed["outcome"], missed["fire_at"], missed["count"]) == ("missed", NOON, 61)
    assert missed["through_at"] == after(3600)
    assert (on_time["outcome"], on_time["fire_at"]) == ("fired", after(3660))
    assert (await schedules.read(database, schedule.id)).fired == 1


async def test_a_misfire_is_not_counted_as_late(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    await schedules.add(database, owner_id, Once(NOON))

    done = await time.fire(600)

    assert dict(done.outcomes) == {"fired": 1}
    assert done.lateness_seconds == []


# Zone data


NINE_IN_BERLIN = Cron("0 9 * * *", "Europe/Berlin")
NEXT_NINE = datetime(2027, 1, 2, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("version", "is_renewed"), [("1999a", True), (zones.VERSION, False), ("9999z", False), (None, False)]
)
async def test_next_ticks_of_older_zone_data_are_computed_again_and_no_others(
    database: Database, owner_id: UUID, time: VirtualTime, version: str | None, is_renewed: bool
) -> None:
    wrong = NEXT_NINE + timedelta(hours=1)
    schedule = await schedules.add(database, owner_id, NINE_IN_BERLIN, next_fire_at=wrong, tz_version=version)

    await time.renew()

    stored = await schedules.read(database, schedule.id)
    assert stored.next_fire_at == (NEXT_NINE if is_renewed else wrong)
    assert stored.tz_version == (zones.VERSION if is_renewed else version)


async def test_a_tick_that_is_due_is_fired_before_the_zone_data_count(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    schedule = await schedules.add(database, owner_id, NINE_IN_BERLIN, tz_version="1999a")

    await time.renew()
    await time.fire()

    assert await schedules.outcomes(database, schedule.id) == [(NOON, "fired")]
    stored = await schedules.read(database, schedule.id)
    assert (stored.next_fire_at, stored.tz_version) == (NEXT_NINE, zones.VERSION)


async def test_a_zone_that_the_new_data_do_not_have_breaks_the_schedule(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    schedule = await schedules.add(
        database,
        owner_id,
        Cron("0 9 * * *", "Mars/Olympus"),
        next_fire_at=after(3600),
        tz_version="1999a",
    )

    await time.renew()

    assert (await schedules.read(database, schedule.id)).status is ScheduleStatus.BROKEN


# Looking


async def test_a_look_says_how_long_until_the_next_tick_of_these_kinds(
    settings: Settings, database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    async with database.connection() as connection:
        nothing = await time.dispatcher.look(connection)
        now: datetime = await connection.fetchval("SELECT now()")
    await schedules.add(database, owner_id, MINUTELY, next_fire_at=now + timedelta(hours=1))
    await schedules.add(database, owner_id, MINUTELY, next_fire_at=now, kind="polish")
    async with database.connection() as connection:
        found = await time.dispatcher.look(connection)

    assert (nothing.seconds, nothing.has_waiting) == (None, False)
    assert found.seconds is not None
    assert 0 < found.seconds <= 3600
    assert not found.has_waiting


async def test_a_look_sees_what_waits_even_if_no_schedule_is_active(
    database: Database, owner_id: UUID, time: VirtualTime
) -> None:
    await schedules.add(database, owner_id, overlap=Overlap.QUEUE, max_runs=2)
    await time.fire()
    await time.fire(60)

    async with database.connection() as connection:
        found = await time.dispatcher.look(connection)

    assert (found.seconds, found.has_waiting) == (None, True)
