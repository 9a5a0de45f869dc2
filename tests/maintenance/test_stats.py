"""Stats: the stored numbers are those of a slow count, and measuring them takes a bounded share of time."""

import asyncio
import random
from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.core import metrics
from app.core.database import Database
from app.core.metrics import QueueLabels
from app.jobs.counting import JobSeries
from app.jobs.dead_letters import commands as dead_letters
from app.jobs.kinds import registry
from app.jobs.states import Priority
from app.maintenance import commands, stats
from app.maintenance.stats import REST, StatsLoop
from tests.support import jobs, rows
from tests.support.clocks import Clock

KINDS = ("batch_predict", "train_model", "of_a_plugin")
QUEUES = ("default", "gpu", "reports")
LATER = timedelta(hours=1)

Numbers = dict[tuple[str, str, str], tuple[int, int, int, datetime | None]]


def loop(database: Database, clock: Clock | None = None) -> StatsLoop:
    series = JobSeries(registry.BUILT_IN)
    return StatsLoop("stats", 10.0, database, stats.measure, series=series, clock=clock or Clock(0.0))


async def measure(database: Database, *, totals_after: timedelta = timedelta(0)) -> None:
    async with database.transaction() as connection:
        await commands.measure(connection, totals_after=totals_after)


async def stored(database: Database) -> Numbers:
    found = await rows.fetch(database, "SELECT * FROM queue_stats")
    return {
        (row["queue"], row["kind"], row["priority"]): (
            row["due"],
            row["delayed"],
            row["running"],
            row["oldest_due_at"],
        )
        for row in found
    }


async def system(database: Database) -> dict[str, Any]:
    [row] = await rows.fetch(database, "SELECT * FROM system_stats")
    return dict(row)


async def counted_slowly(database: Database) -> Numbers:
    """The same numbers, from every row of the table."""
    found: Numbers = {}
    for job in await rows.fetch(database, "SELECT *, run_at <= now() AS is_due FROM jobs"):
        key = (job["queue"], job["kind"], job["priority"])
        due, delayed, running, oldest = found.get(key, (0, 0, 0, None))
        match job["status"], job["is_due"]:
            case "pending", True:
                oldest = job["run_at"] if oldest is None else min(oldest, job["run_at"])
                found[key] = (due + 1, delayed, running, oldest)
            case "pending", False:
                found[key] = (due, delayed + 1, running, oldest)
            case "running", _:
                found[key] = (due, delayed, running + 1, oldest)
    return found


async def dead_letters_counted_slowly(database: Database) -> dict[str, int]:
    found = await rows.fetch(database, "SELECT * FROM jobs")
    return dict(
        Counter(row["kind"] for row in found if row["status"] == "failed" and row["dismissed_at"] is None)
    )


class History:
    """Jobs to which anything happens that may happen to a job."""

    def __init__(self, database: Database, owner_id: UUID, seed: int) -> None:
        self._database = database
        self._owner_id = owner_id
        self._random = random.Random(seed)
        self._jobs: list[UUID] = []

    async def go_on(self) -> None:
        """Let one thing happen."""
        steps = (self._create, self._create, self._claim, self._cancel, self._retry, self._dismiss)
        await self._random.choice(steps)()

    async def _create(self) -> None:
        delay = self._random.choice([None, None, LATER])
        self._jobs.append(
            await jobs.create(
                self._database,
                self._owner_id,
                kind=self._random.choice(KINDS),
                queue=self._random.choice(QUEUES),
                priority=self._random.choice(list(Priority)),
                delay=delay,
            )
        )

    async def _claim(self) -> None:
        worker_id = await jobs.worker(self._database)
        queue = self._random.choice(QUEUES)
        for job in await jobs.claim_all(self._database, worker_id, queue=queue, kinds=KINDS, limit=2):
            match self._random.randrange(5):
                case 0:
                    await jobs.complete(self._database, job)
                case 1:
                    await jobs.fail(self._database, job, is_retryable=False)
                case 2:
                    await jobs.fail(self._database, job, delay_seconds=LATER.total_seconds())
                case 3:
                    await jobs.release(self._database, job)

    async def _cancel(self) -> None:
        if self._jobs:
            await jobs.cancel(self._database, self._random.choice(self._jobs))

    async def _retry(self) -> None:
        if self._jobs:
            await jobs.retry(self._database, self._random.choice(self._jobs))

    async def _dismiss(self) -> None:
        if self._jobs:
            async with self._database.connection() as connection:
                await dead_letters.dismiss(connection, [self._random.choice(self._jobs)])


@pytest.mark.parametrize("seed", range(3))
async def test_the_numbers_are_those_of_a_slow_count(database: Database, seed: int) -> None:
    history = History(database, await jobs.user(database), seed)
    for _ in range(4):
        for _ in range(25):
            await history.go_on()
        await measure(database)

        assert await stored(database) == await counted_slowly(database)
        assert (await system(database))["dead_letters"] == await dead_letters_counted_slowly(database)
    assert await stored(database)


async def test_a_queue_that_has_emptied_is_gone(database: Database) -> None:
    job_id = await jobs.create(database, queue="short-lived")
    await measure(database)
    assert [queue for queue, _, _ in await stored(database)] == ["short-lived"]

    await jobs.cancel(database, job_id)
    await measure(database)

    assert await stored(database) == {}


async def test_the_totals_are_measured_more_rarely(database: Database) -> None:
    await measure(database)
    first = await system(database)
    await jobs.fail(database, await jobs.running(database), is_retryable=False)

    await measure(database, totals_after=timedelta(minutes=1))
    second = await system(database)
    await measure(database)
    third = await system(database)

    assert first["database_bytes"] > 0
    assert second["measured_at"] > first["measured_at"]
    assert (second["dead_letters"], second["totals_at"]) == ({}, first["totals_at"])
    assert second["database_bytes"] == first["database_bytes"]
    assert (third["dead_letters"], third["totals_at"]) == ({jobs.KIND: 1}, third["measured_at"])


async def test_a_row_that_has_not_changed_is_not_written(database: Database) -> None:
    await jobs.create(database)
    await measure(database)
    before = await rows.value(database, "SELECT xmin::text FROM queue_stats")

    await measure(database)

    assert await rows.value(database, "SELECT xmin::text FROM queue_stats") == before


async def test_processes_that_measure_at_once_do_no_harm(database: Database) -> None:
    owner_id = await jobs.user(database)
    for _ in range(10):
        for queue in QUEUES:
            await jobs.create(database, owner_id, queue=queue)
        await jobs.claim(database)
        await asyncio.gather(*(measure(database) for _ in range(4)))

    assert await stored(database) == await counted_slowly(database)


async def test_a_process_waits_for_another_before_it_writes(database: Database) -> None:
    """Else two that write the same rows in a different order wait for each other for ever."""
    await jobs.create(database)
    await measure(database)
    async with rows.transaction(database) as busy:
        await busy.execute("SELECT FROM system_stats FOR UPDATE")
        measuring = asyncio.create_task(measure(database))
        await rows.wait_until_blocked(database)
        writers = await busy.fetchval("""
            SELECT count(*) FROM pg_locks
            WHERE relation = 'queue_stats'::regclass AND pid <> pg_backend_pid()""")
    await measuring

    assert writers == 0


async def test_two_processes_measure_once(database: Database) -> None:
    await jobs.create(database)
    await loop(database)._do_once()
    first = await system(database)
    await jobs.create(database)

    await loop(database)._do_once()

    assert await system(database) == first


async def test_the_numbers_are_measured_again_after_the_interval(database: Database) -> None:
    stats_loop = loop(database)
    await stats_loop._do_once()
    await jobs.create(database)
    await rows.execute(
        database, "UPDATE system_stats SET measured_at = measured_at - $1::interval", stats.INTERVAL
    )

    await loop(database)._do_once()

    assert await stored(database) == await counted_slowly(database) != {}


@pytest.mark.parametrize(("age_seconds", "is_measured"), [(19 * 30, False), (20 * 30 + 1, True)])
async def test_a_measurement_that_took_long_is_not_repeated_soon(
    database: Database, age_seconds: int, is_measured: bool
) -> None:
    """Whichever process took so long: the duration is stored."""
    await jobs.create(database)
    await rows.execute(
        database,
        """INSERT INTO system_stats (measured_seconds, measured_at)
        VALUES (30, now() - make_interval(secs => $1))""",
        age_seconds,
    )

    await loop(database)._do_once()

    assert bool(await stored(database)) is is_measured


async def test_the_duration_that_is_stored_includes_the_whole_measurement(database: Database) -> None:
    await jobs.create(database)
    async with rows.transaction(database) as busy:
        await busy.execute("LOCK TABLE queue_stats IN ACCESS EXCLUSIVE MODE")
        measuring = asyncio.create_task(measure(database))
        await rows.wait_until_blocked(database)
        blocked_for = await busy.fetchval("""
            SELECT extract(epoch FROM max(clock_timestamp() - query_start))::float8
            FROM pg_stat_activity, pg_sleep(0.05)
            WHERE datname = current_database() AND wait_event_type = 'Lock'""")
    await measuring

    assert blocked_for >= 0.05
    assert (await system(database))["measured_seconds"] >= blocked_for


class Broken(Exception):
    """Raised by a duty."""


async def test_a_process_whose_measurement_fails_rests_as_long(database: Database) -> None:
    clock = Clock(1000.0)
    rounds: list[float] = []

    async def fail_after_three_seconds(_connection: object) -> None:
        rounds.append(clock.now)
        clock.now += 3
        raise Broken

    stats_loop = loop(database, clock)
    stats_loop.duty = fail_after_three_seconds
    await stats_loop._do_once()
    clock.now += 3 * REST - 1
    await stats_loop._do_once()
    assert rounds == [1000.0]

    clock.now += 1
    await stats_loop._do_once()
    assert len(rounds) == 2


async def test_a_clock_that_was_set_back_stops_nothing(database: Database) -> None:
    await jobs.create(database)
    await rows.execute(database, "INSERT INTO system_stats (measured_at) VALUES (now() + interval '1 year')")

    await loop(database)._do_once()

    assert await stored(database) == await counted_slowly(database) != {}


async def test_a_process_learns_the_queues_that_workers_serve(database: Database) -> None:
    labels = QueueLabels()
    series = JobSeries(registry.BUILT_IN, labels=labels)
    assert labels.names == ("default", "emails")
    worker_id = await jobs.worker(database)
    await rows.execute(database, "UPDATE workers SET queues = '{gpu,reports}' WHERE id = $1", worker_id)

    await StatsLoop("stats", 10.0, database, stats.measure, series=series)._do_once()

    assert set(labels.names) == {"default", "emails", "gpu", "reports"}
    assert metrics.JOBS_CREATED.labels(jobs.KIND, "reports")._value.get() == 0
