"""Figures about jobs at 1 000 000 jobs compared with 1 000, and while 1000 attempts end per second.

Both databases are on the same server and are queried alternately, through the code of the API.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.analytics import overview, performance, queries
from app.analytics.facts import ALL_USERS
from app.analytics.folding import Folding
from app.analytics.ranges import By, OverviewRange, TimeRange
from app.core import ids
from app.core.database import Database, open_database
from bench import options, population
from bench.measuring import milliseconds, number, percentile
from bench.options import Options
from bench.results import Results
from bench.stack import Stack, on_database, stack

SMALL: Final = 1000
LEASE: Final = timedelta(days=1)
AT_ONCE: Final = Folding(margin=timedelta(0), longest=timedelta(0))
PER_SECOND: Final = 1000
FOLD_SECONDS: Final = 10.0

# Attempts of existing jobs that have just ended. `number` keeps their key unique.
_END: Final = """
INSERT INTO job_attempts (job_id, attempt, kind, queue, worker_id, worker_name, due_at, started_at, outcome,
    owner_id, job_status, model, rows, cpu_seconds, memory_peak_bytes)
SELECT id, $2, kind, queue, gen_random_uuid(), 'bench', now() - interval '2 s', now() - interval '1 s',
    'completed', owner_id, 'completed', 'model_1', 10, 0.01, 100000000
FROM unnest($1::uuid[]) chosen (job_id) JOIN jobs ON jobs.id = chosen.job_id"""

Ask = Callable[[asyncpg.Connection, UUID], Awaitable[Any]]


@dataclass(frozen=True)
class Size:
    """A database with a given number of jobs, all folded."""

    system: Stack
    database: Database
    owner_id: UUID


@dataclass(frozen=True)
class Endpoint:
    """An endpoint: what it reads, its limit in milliseconds, and whether it must not grow."""

    ask: Ask
    limit: float
    must_not_grow: bool = True


async def _task_analytics(connection: asyncpg.Connection, owner_id: UUID) -> None:
    found = await queries.statistics(connection, owner_id, TimeRange.DAY)
    await queries.waiting(connection, owner_id)
    await queries.peak(connection, owner_id, found.since)


async def _task_performance(connection: asyncpg.Connection, _owner_id: UUID) -> None:
    await performance.minutes(connection, ALL_USERS)
    await performance.fleet(connection, LEASE)
    await performance.queues(connection)


async def _overview(connection: asyncpg.Connection, owner_id: UUID) -> None:
    found = await overview.buckets(connection, owner_id, OverviewRange.DAY)
    await performance.minutes(connection, owner_id, count=performance.RECENT_MINUTES + 1)
    await overview.pending(connection, owner_id)
    await overview.running(connection, owner_id)
    await performance.fleet(connection, LEASE)
    await overview.marks(connection, owner_id, found.buckets[0].at)


def _stats(by: By | None, *, of_all: bool = False) -> Ask:
    async def ask(connection: asyncpg.Connection, owner_id: UUID) -> None:
        await queries.statistics(connection, ALL_USERS if of_all else owner_id, TimeRange.DAY, by)

    return ask


def _of_all(ask: Ask) -> Ask:
    async def ask_all(connection: asyncpg.Connection, _owner_id: UUID) -> None:
        await ask(connection, ALL_USERS)

    return ask_all


ENDPOINTS: Final = {
    "/task-analytics": Endpoint(_task_analytics, 10.0),
    "/task-analytics, all users": Endpoint(_of_all(_task_analytics), 10.0),
    "/task-performance": Endpoint(_task_performance, 10.0),
    "/stats/overview": Endpoint(_overview, 20.0, must_not_grow=False),
    "/stats by kind": Endpoint(_stats(By.KIND), 10.0),
    "/stats by queue": Endpoint(_stats(By.QUEUE), 10.0),
    "/stats by hour": Endpoint(_stats(By.HOUR), 10.0),
    "/stats by kind, all users": Endpoint(_stats(By.KIND, of_all=True), 10.0),
    "/stats by user, all users": Endpoint(_stats(By.USER, of_all=True), 60.0, must_not_grow=False),
    "/stats by model, all users": Endpoint(_stats(By.MODEL, of_all=True), 60.0, must_not_grow=False),
}


async def measure(system: Stack, options: Options) -> Results:
    """Fill and fold both databases, run the endpoints on them alternately, then on one of them under load."""
    results = Results("analytics", options)
    large_jobs = options.choose(1_000_000, 20_000)
    times = options.choose(100, 8)
    small_system = await _database(system, "small")
    large_system = await _database(system, "large")
    async with (
        open_database(small_system.database_url, pool_size=4) as small_database,
        open_database(large_system.database_url, pool_size=4) as large_database,
    ):
        small = await _fill(small_system, small_database, SMALL)
        began = time.monotonic()
        large = await _fill(large_system, large_database, large_jobs)
        filled_seconds = time.monotonic() - began
        found = await _in_turns((small, large), options.rounds, times)
        fold_share, under_load, ended = await _under_load(large, options.choose(60.0, 12.0))
    rows: list[Sequence[Any]] = []
    for name, endpoint in ENDPOINTS.items():
        at_small, at_large = found[name]
        p95, loaded = percentile(at_large, 0.95), percentile(under_load[name], 0.95)
        ratio = percentile(at_large, 0.5) / percentile(at_small, 0.5)
        results.at_most(f"{name}, p95", milliseconds(p95), endpoint.limit, "ms")
        if endpoint.must_not_grow:
            results.at_most(f"{name}, relative to {number(float(SMALL))} jobs", ratio, 2.0)
            results.at_most(f"{name} under load, p95", milliseconds(loaded), 50.0, "ms")
        rows.append(
            [
                name,
                milliseconds(percentile(at_small, 0.5)),
                *(milliseconds(percentile(at_large, share)) for share in (0.5, 0.95)),
                ratio,
                milliseconds(loaded),
            ]
        )
    results.at_most("the fold under load, share of the time", fold_share, 0.05)
    results.table(
        f"Figures at {number(float(SMALL))} and {number(float(large_jobs))} jobs",
        ("", f"p50 ms at {SMALL}", f"p50 ms at {large_jobs}", "p95 ms", "ratio", "p95 ms under load"),
        rows,
        f"Each ran {times * options.rounds} times. Under load, {ended:.0f} attempts per second ended, and the"
        f" fold ran every {FOLD_SECONDS:.0f} s. Filling and folding took {filled_seconds:.0f} s.",
    )
    return results


async def _database(system: Stack, name: str) -> Stack:
    await system.execute(f"CREATE DATABASE {name}")
    # In a thread, because Alembic starts its own event loop.
    return await asyncio.to_thread(
        on_database, system.folder, system.embedded, system.embedded.postgres.url_for(name)
    )


async def _fill(system: Stack, database: Database, jobs: int) -> Size:
    owners = [(await system.user()).id for _ in range(population.OWNERS)]
    connection = await asyncpg.connect(system.database_url)
    try:
        await population.populate(connection, jobs, owners, ids.new_id())
        while await _fold(database, AT_ONCE):
            pass
        await connection.execute("VACUUM ANALYZE", timeout=3600)
    finally:
        await connection.close()
    return Size(system, database, owners[0])


async def _fold(database: Database, folding: Folding) -> bool:
    async with database.transaction() as connection:
        return await folding.fold(connection)


async def _in_turns(sizes: tuple[Size, Size], rounds: int, times: int) -> dict[str, list[list[float]]]:
    """Return the measured seconds by endpoint and size."""
    found: dict[str, list[list[float]]] = {name: [[], []] for name in ENDPOINTS}
    for _ in range(rounds):
        for name, endpoint in ENDPOINTS.items():
            for place, size in enumerate(sizes):
                found[name][place] += [await _seconds(size, endpoint) for _ in range(times)]
    return found


async def _seconds(size: Size, endpoint: Endpoint) -> float:
    async with size.database.connection() as connection:
        began = time.perf_counter()
        await endpoint.ask(connection, size.owner_id)
        return time.perf_counter() - began


async def _under_load(size: Size, seconds: float) -> tuple[float, dict[str, list[float]], float]:
    """Return the share of the time that the fold takes, the seconds by endpoint, and attempts per second."""
    found: dict[str, list[float]] = {name: [] for name in ENDPOINTS}
    rows = await size.system.fetch(
        "SELECT id FROM jobs WHERE status = 'completed' LIMIT $1", PER_SECOND // 10
    )
    load = _Load(size.database, [row["id"] for row in rows])
    folds: list[float] = []
    tasks = [asyncio.create_task(load.run()), asyncio.create_task(_fold_forever(size.database, folds))]
    began = time.monotonic()
    try:
        while time.monotonic() - began < seconds:
            for name, endpoint in ENDPOINTS.items():
                found[name].append(await _seconds(size, endpoint))
            await asyncio.sleep(0.1)  # the rate of a dashboard, not the endpoints, is the load
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
    elapsed = time.monotonic() - began
    return sum(folds) / elapsed, found, load.ended / elapsed


async def _fold_forever(database: Database, folds: list[float]) -> None:
    """Fold at the pace of production, and note how long it takes."""
    folding = Folding()
    while True:
        await asyncio.sleep(FOLD_SECONDS)
        began = time.monotonic()
        while await _fold(database, folding):
            pass
        folds.append(time.monotonic() - began)


class _Load:
    """Lets attempts end, PER_SECOND a second if the machine can."""

    def __init__(self, database: Database, job_ids: Sequence[UUID]) -> None:
        self._database = database
        self._job_ids = list(job_ids)
        self.ended = 0

    async def run(self) -> None:
        """Write a tenth of a second's attempts at once, forever."""
        pause = len(self._job_ids) / PER_SECOND
        number_of_attempt = 1
        due = time.monotonic()
        while True:
            number_of_attempt += 1
            async with self._database.connection() as connection:
                await connection.execute(_END, self._job_ids, number_of_attempt)
            self.ended += len(self._job_ids)
            due = max(due + pause, time.monotonic() - 1)
            await asyncio.sleep(max(0.0, due - time.monotonic()))


def main() -> None:
    chosen = options.parse(__doc__)
    with stack() as system:
        asyncio.run(measure(system, chosen)).write()


if __name__ == "__main__":
    main()
