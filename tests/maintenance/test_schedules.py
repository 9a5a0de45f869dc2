"""The loop of schedules: it fires what is due, side by side with other processes, and reports its health."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from app.core import background, keys
from app.core.config import Settings
from app.core.database import Database
from app.core.resources import Resources
from app.jobs.counting import JobSeries
from app.jobs.kinds import registry
from app.jobs.quota import Quota
from app.maintenance import commands
from app.maintenance.maintenance import Maintenance
from app.maintenance.schedules import ScheduleLoop
from app.schedules import zones
from app.schedules.firing import Dispatcher
from app.schedules.rules import Cron, Interval
from app.schedules.states import FiringOutcome, Overlap
from tests.support import invariants, jobs, rows, schedules
from tests.support.waiting import until


def loop_of(resources: Resources, settings: Settings, *, schedules_at_once: int = 200) -> ScheduleLoop:
    database = resources.database
    dispatcher = Dispatcher(
        settings, registry.BUILT_IN, Quota(database, 1000), schedules_at_once=schedules_at_once
    )
    return ScheduleLoop(
        "schedule", 0.05, database, dispatcher.renew, dispatcher=dispatcher, hints=resources.hints
    )


@pytest.fixture
async def owner_id(database: Database) -> UUID:
    return await jobs.user(database)


async def now(database: Database) -> datetime:
    found: datetime = await rows.value(database, "SELECT now()")
    return found


async def number_of_jobs(database: Database) -> int:
    found: int = await rows.value(database, "SELECT count(*) FROM jobs")
    return found


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_a_tick_that_is_ahead_is_fired_when_it_comes_and_not_before(
    resources: Resources, settings: Settings, database: Database, owner_id: UUID
) -> None:
    tick = await now(database) + timedelta(seconds=0.4)
    schedule = await schedules.add(database, owner_id, Interval(tick, 3600), next_fire_at=tick)

    async with background.running(loop_of(resources, settings).run_forever()):
        await until(lambda: number_of_jobs(database))

    [job] = await schedules.jobs_of(database, schedule.id)
    assert (job["fire_at"], job["created_at"] >= tick) == (tick, True)
    await invariants.all_hold(database)


async def test_the_job_of_a_tick_wakes_a_worker_at_once(
    resources: Resources, settings: Settings, database: Database, owner_id: UUID
) -> None:
    tick = await now(database)
    await schedules.add(database, owner_id, Interval(tick, 3600), next_fire_at=tick)

    async def has_token() -> bool:
        async with Redis(connection_pool=resources.redis_pool) as redis:
            return bool(await redis.zcard(keys.queue("default")) == 1)

    await loop_of(resources, settings)._do_once()

    await until(has_token)


async def test_what_does_not_fit_into_a_round_is_fired_by_the_next_ones(
    resources: Resources, settings: Settings, database: Database, owner_id: UUID
) -> None:
    tick = await now(database)
    for _ in range(7):
        await schedules.add(database, owner_id, Interval(tick, 3600), next_fire_at=tick)
    loop = loop_of(resources, settings, schedules_at_once=3)

    fired = []
    for _ in range(2):
        await loop._do_once()
        fired.append(await number_of_jobs(database))
        assert loop._wait_seconds == 0.0

    assert fired == [3, 7]


async def test_a_round_that_fails_beside_another_one_is_a_failed_round(
    resources: Resources, settings: Settings, database: Database, owner_id: UUID
) -> None:
    tick = await now(database)
    for _ in range(7):
        await schedules.add(database, owner_id, Interval(tick, 3600), next_fire_at=tick)
    loop = loop_of(resources, settings, schedules_at_once=3)
    await loop._do_once()
    await rows.execute(database, "ALTER TABLE schedule_firings RENAME TO gone")
    await loop._do_once()
    is_failing = loop._is_failing
    await rows.execute(database, "ALTER TABLE gone RENAME TO schedule_firings")

    for _ in range(2):
        await loop._do_once()

    assert is_failing
    assert not loop._is_failing
    assert await number_of_jobs(database) == 7


async def test_several_processes_fire_each_tick_once(
    resources: Resources, settings: Settings, database: Database, owner_id: UUID
) -> None:
    tick = await now(database)
    added = [
        await schedules.add(database, owner_id, Interval(tick, 3600), next_fire_at=tick) for _ in range(40)
    ]
    loops = [loop_of(resources, settings, schedules_at_once=3) for _ in range(3)]

    async def are_all_fired() -> bool:
        return await number_of_jobs(database) >= 40

    async with background.running(*(loop.run_forever() for loop in loops)):
        await until(are_all_fired)

    assert await number_of_jobs(database) == 40
    for schedule in added:
        assert await schedules.outcomes(database, schedule.id) == [(tick, "fired")]


async def test_a_tick_that_waited_is_promoted_when_the_job_before_it_has_ended(
    resources: Resources, settings: Settings, database: Database, owner_id: UUID
) -> None:
    tick = await now(database)
    schedule = await schedules.add(
        database,
        owner_id,
        Interval(tick, 1, includes_anchor=True),
        next_fire_at=tick,
        ends_at=tick + timedelta(seconds=1),
        overlap=Overlap.QUEUE,
    )

    async def is_one_waiting() -> bool:
        return "waiting" in [outcome for _, outcome in await schedules.outcomes(database, schedule.id)]

    async def is_second_there() -> bool:
        return await number_of_jobs(database) == 2

    async with background.running(loop_of(resources, settings).run_forever()):
        await until(is_one_waiting)
        assert await number_of_jobs(database) == 1
        await jobs.complete(database, await jobs.claim(database))
        await until(is_second_there)

    assert [outcome for _, outcome in await schedules.outcomes(database, schedule.id)] == ["fired", "fired"]


async def test_the_loop_computes_again_what_older_zone_data_gave(
    resources: Resources, settings: Settings, database: Database, owner_id: UUID
) -> None:
    wrong = datetime(2100, 1, 1, 0, 0, 1, tzinfo=UTC)
    schedule = await schedules.add(
        database, owner_id, Cron("0 9 * * *", "Europe/Berlin"), next_fire_at=wrong, tz_version="1999a"
    )

    await loop_of(resources, settings)._do_once()

    stored = await schedules.read(database, schedule.id)
    assert stored.next_fire_at is not None
    assert stored.next_fire_at < wrong
    assert stored.tz_version == zones.VERSION


async def test_ticks_are_counted_by_their_outcome_and_timed_after_the_commit(
    resources: Resources, settings: Settings, database: Database, owner_id: UUID
) -> None:
    loop = loop_of(resources, settings)
    firings, timed = "headrace_schedule_firings_total", "headrace_schedule_lateness_seconds_count"
    before = {outcome: sample(firings, outcome=outcome) for outcome in FiringOutcome}, sample(timed)
    tick = await now(database)
    await schedules.add(database, owner_id, Interval(tick, 3600), next_fire_at=tick)
    await schedules.add(
        database, owner_id, Interval(tick, 3600), next_fire_at=tick, job={"texts": ["x"], "model": "nobody"}
    )

    await loop._do_once()

    grown = {outcome: sample(firings, outcome=outcome) - before[0][outcome] for outcome in FiringOutcome}
    assert {outcome: count for outcome, count in grown.items() if count} == {"fired": 1, "refused": 1}
    assert sample(timed) == before[1] + 1


async def test_the_series_of_each_outcome_exist_from_the_start(
    resources: Resources, settings: Settings
) -> None:
    loop_of(resources, settings)

    for outcome in FiringOutcome:
        assert REGISTRY.get_sample_value("headrace_schedule_firings_total", {"outcome": outcome}) is not None


async def test_an_idle_process_looks_again_after_its_interval_and_sooner_for_a_tick(
    resources: Resources, settings: Settings, database: Database, owner_id: UUID
) -> None:
    loop = loop_of(resources, settings)
    loop.interval_seconds = 3600.0
    loop._wait_seconds = 3600.0
    await loop._do_once()
    idle = loop._wait_seconds

    tick = await now(database) + timedelta(seconds=600)
    await schedules.add(database, owner_id, Interval(tick, 3600), next_fire_at=tick)
    await loop._do_once()

    assert idle == 3600.0
    assert 0 < loop._wait_seconds <= 600


async def test_each_process_runs_the_loop_and_shows_its_health(
    resources: Resources, database: Database, owner_id: UUID
) -> None:
    tick = await now(database)
    await schedules.add(database, owner_id, Interval(tick, 3600), next_fire_at=tick)
    maintenance = Maintenance(resources, registry.BUILT_IN, JobSeries(registry.BUILT_IN))

    async with background.running(maintenance.run_forever()):
        await until(lambda: number_of_jobs(database))

    assert maintenance.health()["schedule"]


async def test_schedules_are_measured_by_their_status(database: Database, owner_id: UUID) -> None:
    for next_fire_at in (schedules.NOON, schedules.NOON, None):
        await schedules.add(database, owner_id, next_fire_at=next_fire_at)
    async with database.transaction() as connection:
        await commands.measure(connection, totals_after=timedelta(minutes=1))

    assert await rows.value(database, "SELECT schedules FROM system_stats") == {"active": 2, "paused": 1}
