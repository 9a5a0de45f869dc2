"""One job over many slots: the rate with two slots relative to one, and what 1000 shards cost in SQL.

The jobs are those of a user: submitted over HTTP, computed by a worker with one slot and by one with two, in
turn. The figures in SQL are those of the statements, with their round trips to Postgres.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from app.core import ids
from app.core.database import Database, open_database
from app.jobs import service, transitions
from app.jobs.kinds import batch_predict
from app.jobs.shards import transitions as shards
from app.jobs.shards.plan import MAX_SHARDS, ShardPlan
from app.jobs.states import HEAD_START, Priority, Status
from app.jobs.transition_types import Batch, ClaimedJob, NewJob, Report
from app.jobs.unit_of_work import UnitOfWork
from bench import linear_rows, load, options, rows
from bench.measuring import milliseconds, number, percentile, spread
from bench.options import Options
from bench.pickup import until_ended
from bench.results import Results
from bench.stack import Api, Stack, User, on_database, stack

KIND: Final = batch_predict.KIND.name
SHARDS: Final = 20
SLOTS: Final = (1, 2)
BATCHES: Final = 5
PARAMS: Final = {"model": {"name": "sentiment", "version": 1, "runtime": "vader"}, "batch_size": 10}

_RATE: Final = """
SELECT done / extract(epoch FROM finished_at - started_at)::float8 AS rate, done, errors, shards
FROM jobs WHERE id = $1"""


async def measure(system: Stack, options: Options) -> Results:
    """Measure the rates, then the statements."""
    results = Results("shards", options)
    user = await system.user()
    with system.api() as api:
        texts = rows.upload(api, user, options.choose(1_000_000, 5_000))
        table, model = system.folder / "rows.csv", system.folder / "model.skops"
        linear_rows.write(table, model, options.choose(1_000_000, 20_000))
        with system.worker(WORKER_SLOTS="1"):  # which inspects the model
            numbers = _upload(api, user, table, model)
        of_texts = await _rates(system, api, user, {"dataset_id": texts, "column": "text"}, options.rounds)
        of_numbers = await _rates(
            system, api, user, {"dataset_id": numbers, "model": "linear"}, options.rounds
        )
    found = {
        "built-in model": of_texts,
        "linear model": of_numbers,
        "bare loop of the built-in model, in as many processes": await _bare_rates(
            options.choose(200_000, 5_000), options.rounds
        ),
    }
    for name, limit in (("built-in model", 1.8), ("linear model", 1.3)):
        ratios = [two / one for one, two in zip(found[name][1], found[name][2], strict=True)]
        results.at_least(f"rows/s of a {name}, two slots relative to one", percentile(ratios, 0.5), limit)
    results.table(
        f"One job of {number(float(options.choose(1_000_000, 5_000)))} rows in {SHARDS} shards, one worker",
        ("", "rows/s, one slot", "rows/s, two slots"),
        [[name, str(spread(rates[1])), str(spread(rates[2]))] for name, rates in found.items()],
        f"Median of {options.rounds} rounds (minimum to maximum). From the start of the first shard to the"
        " end of the job, including reading the dataset, storing every prediction durably and rolling up. The"
        " bare loop stores nothing: it shows what a second core adds on this machine.",
    )
    results.rounds = {name: {str(slots): rates[slots] for slots in SLOTS} for name, rates in found.items()}
    await _measure_statements(system, results, options)
    return results


async def _rates(
    system: Stack, api: Api, user: User, body: dict[str, Any], rounds: int
) -> dict[int, list[float]]:
    """Alternate between one slot and two; each worker runs the job once before."""
    found: dict[int, list[float]] = {slots: [] for slots in SLOTS}
    for _ in range(rounds):
        for slots in SLOTS:
            with system.worker(WORKER_SLOTS=str(slots)):
                await _rate(system, api, user, body)
                found[slots].append(await _rate(system, api, user, body))
    return found


async def _bare_rates(count: int, rounds: int) -> dict[int, list[float]]:
    """The rows per second of one bare loop alone, and of two at once together."""
    found: dict[int, list[float]] = {slots: [] for slots in SLOTS}
    for _ in range(rounds):
        for slots in SLOTS:
            loops = (asyncio.to_thread(rows.bare_loop, count, 1000) for _ in range(slots))
            found[slots].append(sum(count / seconds for seconds in await asyncio.gather(*loops)))
    return found


async def _rate(system: Stack, api: Api, user: User, body: dict[str, Any]) -> float:
    """Run one job in shards; return its rows per second."""
    request = msgspec.json.encode({**body, "shards": SHARDS})
    job_id = api.call("POST", "/jobs/batch-predict", user.headers, request)["job_id"]
    assert await until_ended(await load.connect(api.port), user, job_id) == "completed"
    [row] = await system.fetch(_RATE, job_id)
    assert (row["errors"], row["shards"] is not None) == (0, True)
    return float(row["rate"])


def _upload(api: Api, user: User, table: Path, model: Path) -> str:
    binary = {**user.headers, "Content-Type": "application/octet-stream"}
    api.call("POST", "/models/linear/versions", binary, model.read_bytes())
    headers = {**user.headers, "Content-Type": "text/csv"}
    dataset: dict[str, Any] = api.call("POST", "/datasets?name=rows", headers, table.read_bytes())
    return str(dataset["dataset_id"])


async def _measure_statements(system: Stack, results: Results, options: Options) -> None:
    await system.execute("CREATE DATABASE shards")
    # In a thread, because Alembic starts its own event loop.
    alone = await asyncio.to_thread(
        on_database, system.folder, system.embedded, system.embedded.postgres.url_for("shards")
    )
    times = options.choose(15, 3)
    async with open_database(alone.database_url, pool_size=2) as database:
        bench = _Statements(database, (await alone.user()).id)
        await bench.register_worker()
        create, roll_up, cancel = [], [], []
        for _ in range(times):
            created, parent_id = await bench.create()
            rolled_up, cancelled = await bench.roll_up(parent_id), await bench.cancel(parent_id)
            create.append(created)
            roll_up.append(rolled_up)
            cancel.append(cancelled)
            await alone.delete_jobs()
        before, beside = [], []
        for _ in range(times):
            before += await bench.run_small_jobs()
            _, parent_id = await bench.create(queue_later=True)
            beside += await bench.run_small_jobs()
            await alone.delete_jobs()
    for name, seconds, limit in (
        ("create", create, 100.0),
        ("roll-up", roll_up, 10.0),
        ("cancel", cancel, 50.0),
    ):
        results.at_most(f"{name}, {MAX_SHARDS} shards", milliseconds(percentile(seconds, 0.5)), limit, "ms")
    ratio = percentile(beside, 0.5) / percentile(before, 0.5)
    results.at_most(f"claim and batches of a job beside {MAX_SHARDS} pending shards", ratio, 1.1)
    results.table(
        f"A job with {MAX_SHARDS} shards in SQL",
        ("", "p50 ms", "max ms"),
        [
            [name, milliseconds(percentile(seconds, 0.5)), milliseconds(max(seconds))]
            for name, seconds in (
                ("create the job and its shards", create),
                ("roll up while shards run", roll_up),
                ("cancel: mark, end all shards, settle", cancel),
                ("claim and commit a job of 5 batches, alone", before),
                (f"the same beside {MAX_SHARDS} pending shards", beside),
            )
        ],
    )


class _Statements:
    """Runs the statements on one connection to a database that has nothing else."""

    def __init__(self, database: Database, owner_id: UUID) -> None:
        self._database = database
        self._owner_id = owner_id
        self._worker_id = ids.new_id()

    async def register_worker(self) -> None:
        async with self._database.connection() as connection:
            await connection.execute(
                """INSERT INTO workers (id, name, host, pid, queues, kinds, slots, runs_shards)
                VALUES ($1, 'bench', 'here', 1, ARRAY['default'], ARRAY[$2], 2, true)""",
                self._worker_id,
                KIND,
            )

    async def create(self, *, queue_later: bool = False) -> tuple[float, UUID]:
        """Create a job with 1000 shards. Those that `queue_later` have a lower priority than small jobs."""
        priority = Priority.LOW if queue_later else Priority.NORMAL
        job = self._job(ShardPlan(MAX_SHARDS, 10), total=10 * MAX_SHARDS, priority=priority)
        seconds = await self._timed(lambda unit: transitions.create(unit, job))
        return seconds, job.id

    async def roll_up(self, parent_id: UUID) -> float:
        """Roll up once, with progress in one shard."""
        async with self._database.connection() as connection:
            [claimed] = await self._claim(connection)
            await self._advance(connection, claimed, first=0, is_final=False)

        async def roll_up(unit: UnitOfWork) -> None:
            async with unit.transaction():
                assert await shards.lock(unit, parent_id)
                await shards.roll_up(unit, [parent_id])

        return await self._timed(roll_up)

    async def cancel(self, parent_id: UUID) -> float:
        """Cancel the job and all its shards."""

        async def cancel(unit: UnitOfWork) -> None:
            cancelled = await service.cancel_with_shards(unit, parent_id)
            assert cancelled is not None
            assert cancelled.status is Status.CANCELLED

        return await self._timed(cancel)

    async def run_small_jobs(self, jobs: int = 20) -> list[float]:
        """Claim and complete ordinary jobs of five batches, one by one; return how long each took."""
        found = []
        async with self._database.connection() as connection:
            for _ in range(jobs):
                job = self._job(None, total=10 * BATCHES, priority=Priority.HIGH)
                await transitions.create(UnitOfWork(connection), job)
                began = time.perf_counter()
                [claimed] = await self._claim(connection)
                for batch in range(BATCHES):
                    await self._advance(connection, claimed, first=batch, is_final=batch == BATCHES - 1)
                found.append(time.perf_counter() - began)
                assert claimed.id == job.id
        return found

    async def _timed(self, run: Callable[[UnitOfWork], Awaitable[object]]) -> float:
        async with self._database.connection() as connection:
            unit = UnitOfWork(connection)
            began = time.perf_counter()
            await run(unit)
            return time.perf_counter() - began

    async def _claim(self, connection: asyncpg.Connection) -> list[ClaimedJob]:
        return await transitions.claim(
            UnitOfWork(connection), queue="default", kinds=[KIND], worker_id=self._worker_id, limit=1
        )

    async def _advance(
        self, connection: asyncpg.Connection, job: ClaimedJob, *, first: int, is_final: bool
    ) -> None:
        output = b'{"prediction":{"label":"positive","score":0.5}}\n' * 5
        batch = Batch(first * 10, 10 if job.total != 10 else 5, output * 2 if job.total != 10 else output, "")
        report = Report(job.id, job.attempt, first, (batch,), result=b"{}" if is_final else None)
        applied = await transitions.advance(
            UnitOfWork(connection), worker_id=self._worker_id, reports=[report]
        )
        assert job.id in applied

    def _job(self, plan: ShardPlan | None, *, total: int, priority: Priority) -> NewJob:
        return NewJob(
            id=ids.new_id(),
            owner_id=self._owner_id,
            kind=KIND,
            queue="default",
            priority=priority,
            head_start=HEAD_START[priority],
            params=msgspec.json.encode(PARAMS),
            rows=None,
            total=total,
            metadata={},
            max_attempts=3,
            soft_limit_seconds=60,
            time_limit_seconds=60,
            retention_seconds=3600,
            shards=plan,
        )


def main() -> None:
    chosen = options.parse(__doc__)
    with stack() as system:
        asyncio.run(measure(system, chosen)).write()


if __name__ == "__main__":
    main()
