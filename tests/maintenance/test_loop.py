"""A maintenance loop continues whatever its duty raises, and reports its health."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import asyncpg
import pytest
import structlog
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from app.core import background, keys
from app.core.config import Settings
from app.core.database import Database
from app.core.errors import DatabaseUnavailable
from app.core.metrics import LOOP_LAST_SUCCESS
from app.core.resources import Resources, open_resources
from app.jobs.counting import JobSeries
from app.jobs.kinds import registry
from app.maintenance.loop import Loop
from app.maintenance.maintenance import Maintenance
from tests.support import rows
from tests.support.clocks import Clock
from tests.support.waiting import until

Duty = Callable[[asyncpg.Connection], Awaitable[None]]


def counting(outcomes: list[Exception | None]) -> tuple[list[int], Duty]:
    """A duty that does these things in turn, the last one again and again, and its rounds."""
    rounds: list[int] = []

    async def duty(connection: asyncpg.Connection) -> None:
        outcome = outcomes[min(len(rounds), len(outcomes) - 1)]
        rounds.append(len(rounds))
        if outcome is not None:
            raise outcome

    return rounds, duty


async def has_done(rounds: list[int], count: int) -> bool:
    return len(rounds) >= count


@pytest.mark.parametrize("error", [RuntimeError("boom"), DatabaseUnavailable(), TimeoutError()])
async def test_an_error_does_not_end_the_loop(database: Database, error: Exception) -> None:
    rounds, duty = counting([error, error, None])
    loop = Loop("test", 0.001, database, duty)

    with structlog.testing.capture_logs() as records:
        async with background.running(loop.run_forever()):
            await until(lambda: has_done(rounds, 5))

    assert loop.is_healthy
    told = [record["event"] for record in records if record["event"] != "maintenance_loop_raised"]
    assert told == ["maintenance_loop_failed", "maintenance_loop_recovered"]


async def test_a_duty_that_raises_leaves_nothing_behind(database: Database) -> None:
    done = asyncio.Event()

    async def half_do_it(connection: asyncpg.Connection) -> None:
        await connection.execute("CREATE TABLE half_done ()")
        done.set()
        raise RuntimeError

    async with background.running(Loop("test", 0.001, database, half_do_it).run_forever()):
        await asyncio.wait_for(done.wait(), 20)

    async with database.connection() as connection:
        assert await connection.fetchval("SELECT to_regclass('half_done')") is None


async def test_what_is_told_to_others_is_committed(database: Database) -> None:
    told: list[bool] = []
    tasks: list[asyncio.Task[bool]] = []

    async def is_committed() -> bool:
        async with database.connection() as connection:
            return bool(await connection.fetchval("SELECT to_regclass('done') IS NOT NULL"))

    async def do_it(connection: asyncpg.Connection) -> Callable[[], None]:
        await connection.execute("CREATE TABLE IF NOT EXISTS done ()")
        return lambda: tasks.append(asyncio.create_task(is_committed()))

    async def has_told() -> bool:
        return bool(tasks)

    async with background.running(Loop("test", 0.001, database, do_it).run_forever()):
        await until(has_told)
    told = await asyncio.gather(*tasks)

    assert all(told)


async def test_a_process_that_leaves_the_duty_to_another_is_in_touch_all_the_same(database: Database) -> None:
    touches: list[int] = []
    rounds, duty = counting([None])
    watching = Loop("test", 0.001, database, duty, in_touch=lambda: touches.append(1))

    async with rows.transaction(database) as busy:
        await busy.execute("SELECT pg_advisory_xact_lock(hashtext('maintenance:test'))")
        async with background.running(watching.run_forever()):
            await until(lambda: has_done(touches, 3))

    assert rounds == []


async def test_one_process_at_a_time_does_a_duty(database: Database) -> None:
    at_it = 0
    most = 0
    rounds: list[int] = []

    async def duty(connection: asyncpg.Connection) -> None:
        nonlocal at_it, most
        at_it += 1
        most = max(most, at_it)
        await connection.execute("SELECT pg_sleep(0.002)")
        rounds.append(1)
        at_it -= 1

    loops = [Loop("test", 0.001, database, duty) for _ in range(3)]
    async with background.running(*(loop.run_forever() for loop in loops)):
        await until(lambda: has_done(rounds, 20))

    assert most == 1


@pytest.mark.parametrize("uptime_seconds", [0.0, 1e6])
async def test_a_loop_that_keeps_failing_is_not_healthy(database: Database, uptime_seconds: float) -> None:
    clock = Clock(uptime_seconds)
    rounds, duty = counting([RuntimeError()])
    loop = Loop("test", 0.001, database, duty, clock=clock)
    async with background.running(loop.run_forever()):
        await until(lambda: has_done(rounds, 2))
        assert loop.is_healthy

        clock.now += 11
        assert not loop.is_healthy


async def test_a_success_is_noted_for_the_metrics(database: Database) -> None:
    rounds, duty = counting([None])

    async with background.running(Loop("noted", 0.001, database, duty).run_forever()):
        await until(lambda: has_done(rounds, 2))

    assert LOOP_LAST_SUCCESS.labels("noted")._value.get() > 0


def rounds_counted(loop: str) -> Counter[str]:
    results = ("done", "left", "failed")
    name = "headrace_loop_rounds_total"
    return Counter(
        {
            result: int(REGISTRY.get_sample_value(name, {"loop": loop, "result": result}) or 0)
            for result in results
        }
    )


def rounds_timed(loop: str) -> float | None:
    return REGISTRY.get_sample_value("headrace_loop_seconds_count", {"loop": loop})


async def test_the_series_of_a_loop_exist_before_its_first_round(database: Database) -> None:
    Loop("expected", 1.0, database, counting([None])[1])

    labels = {"loop": "expected", "result": "failed"}
    assert REGISTRY.get_sample_value("headrace_loop_rounds_total", labels) == 0
    assert rounds_timed("expected") == 0


async def test_each_round_is_counted_by_its_result_and_timed(database: Database) -> None:
    _, duty = counting([None, RuntimeError(), DatabaseUnavailable(), None])
    loop = Loop("counted", 0.001, database, duty)

    for _ in range(4):
        await loop._do_once()

    assert rounds_counted("counted") == Counter(done=2, failed=2)
    assert rounds_timed("counted") == 4


async def test_a_round_left_to_another_process_is_not_done(database: Database) -> None:
    _, duty = counting([None])
    loop = Loop("left", 0.001, database, duty)

    async with rows.transaction(database) as busy:
        await busy.execute("SELECT pg_advisory_xact_lock(hashtext('maintenance:left'))")
        await loop._do_once()

    assert rounds_counted("left") == Counter(left=1)
    assert LOOP_LAST_SUCCESS.labels("left")._value.get() > 0


async def test_a_round_that_may_not_begin_is_left_to_another_process(database: Database) -> None:
    async def no() -> bool:
        return False

    rounds, duty = counting([None])
    loop = Loop("paced", 0.001, database, duty, may_begin=no)

    await loop._do_once()

    assert rounds == []
    assert rounds_counted("paced") == Counter(left=1)
    assert loop.state.last_success_at is not None


async def test_after_a_failure_each_process_tries_by_itself(database: Database) -> None:
    answers = iter([True, False])

    async def first_only() -> bool:
        return next(answers)

    rounds, duty = counting([RuntimeError(), None])
    loop = Loop("retried", 0.001, database, duty, may_begin=first_only)

    with structlog.testing.capture_logs() as records:
        for _ in range(3):
            await loop._do_once()

    assert len(rounds) == 2
    assert rounds_counted("retried") == Counter(failed=1, done=1, left=1)
    assert records[-1]["event"] == "maintenance_loop_recovered"


async def test_a_round_whose_news_cannot_be_told_has_failed(database: Database) -> None:
    async def duty(connection: asyncpg.Connection) -> Callable[[], None]:
        def tell() -> None:
            raise RuntimeError

        return tell

    await Loop("untold", 0.001, database, duty)._do_once()

    assert rounds_counted("untold") == Counter(failed=1)


async def test_maintenance_runs_each_of_its_duties(resources: Resources) -> None:
    maintenance = Maintenance(resources, registry.BUILT_IN, JobSeries(registry.BUILT_IN), sweep_seconds=0.05)
    for loop in maintenance.loops:
        LOOP_LAST_SUCCESS.labels(loop.name).set(0)

    async def every_duty_succeeded() -> bool:
        return all(LOOP_LAST_SUCCESS.labels(loop.name)._value.get() for loop in maintenance.loops)

    async with background.running(maintenance.run_forever()):
        await until(every_duty_succeeded)

    assert set(maintenance.health()) >= {"rescue", "wake", "prune", "sweep"}
    assert all(maintenance.health().values())


@pytest.mark.parametrize("name", ["wake", "roll_up"])
async def test_many_processes_share_the_rounds_of_a_frequent_duty(resources: Resources, name: str) -> None:
    loops = [
        next(loop for loop in maintenance.loops if loop.name == name)
        for maintenance in (
            Maintenance(resources, registry.BUILT_IN, JobSeries(registry.BUILT_IN)) for _ in range(5)
        )
    ]
    before = rounds_counted(name)

    async with Redis(connection_pool=resources.redis_pool) as redis:
        await redis.set(keys.pace(name), b"", px=60_000)  # as if one of them had just begun
        for loop in loops:
            await loop._do_once()
        await redis.delete(keys.pace(name))
        await loops[0]._do_once()

    assert rounds_counted(name) - before == Counter(left=5, done=1)


async def test_maintenance_waits_for_a_postgres_that_is_away(settings: Settings) -> None:
    away = settings.model_copy(update={"database_url": "postgresql://nobody@/nothing?host=/nowhere"})
    async with open_resources(away) as resources:
        rounds, duty = counting([None])
        loop = Loop("test", 0.001, resources.database, duty)

        async with background.running(loop.run_forever()):
            await until(lambda: is_failing(loop))

        assert rounds == []


async def is_failing(loop: Loop) -> bool:
    return loop._is_failing
