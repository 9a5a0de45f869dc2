"""Query times with 1 000 000 jobs compared with 1 000: lists, filters, claim, explain, prune and counts.

Both databases are on the same server and are queried alternately. 100 000 of the million jobs are pending.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.core import ids
from app.core.config import ClaimOrder
from app.core.database import Database, open_database
from app.core.sql import Statement
from app.jobs import commands, explanations, queries, transition_statements, transitions
from app.jobs.explanations import ClaimConditions
from app.jobs.filters import JobFilter
from app.jobs.job import Job
from app.jobs.kinds import batch_predict
from app.jobs.names import names
from app.jobs.states import Status
from app.jobs.transition_types import ClaimedJob
from app.jobs.unit_of_work import UnitOfWork
from app.jobs.workers import commands as workers
from app.jobs.workers.commands import WorkerIdentity
from app.maintenance import prune, stats, token_refill
from app.maintenance import queries as maintenance
from app.operations import queries as operations
from app.quotas import queries as quotas
from bench import options, population
from bench.measuring import milliseconds, number, percentile
from bench.options import Options
from bench.results import Results
from bench.stack import Stack, on_database, stack

SMALL: Final = 1000
NEAR: Final = 20
"""Queue position of the job that both databases explain: counting more jobs ahead of it takes longer."""

FEW: Final = 11
"""Number of users with jobs in the queue `few`, which is the same in both databases."""

_FEW: Final = """
INSERT INTO jobs (id, owner_id, kind, queue, priority, run_at, sort_key, params, max_attempts, total,
    soft_limit_seconds, time_limit_seconds, retention_seconds)
SELECT gen_random_uuid(), ($1::uuid[])[1 + n % cardinality($1::uuid[])], $2, 'few', 'normal', due.at, due.at,
    '{}', 3, 1, 60, 60, 60
FROM generate_series(1, 1000) n CROSS JOIN LATERAL (SELECT now() - make_interval(secs => n) AS at) due"""

KIND: Final = batch_predict.KIND.name
LEASE: Final = timedelta(days=1)
CONDITIONS: Final = ClaimConditions(lease=timedelta(seconds=6), is_redis_up=True)

Run = Callable[[], Awaitable[Any]]

_CLAIM_IN_TURN: Final = f"claim in turn, {FEW} users wait"
_CLAIM_IN_ORDER: Final = "claim in order of priority"


@dataclass(frozen=True)
class Query:
    """A query to measure, and what undoes its effect outside the measured time."""

    run: Run
    undo: Callable[[Any], Awaitable[None]] | None = None
    has_target: bool = False
    """Whether its time must not grow with the table."""


@dataclass(frozen=True)
class Size:
    """A database with a given number of jobs."""

    system: Stack
    database: Database
    jobs: int
    owner_id: UUID
    worker_id: UUID


async def measure(system: Stack, options: Options) -> Results:
    """Fill both databases, then run the same queries on them alternately."""
    results = Results("growth", options)
    large_jobs = options.choose(1_000_000, 20_000)
    times = options.choose(30, 8)
    small_system = await _database(system, "small")
    large_system = await _database(system, "large")
    async with (
        open_database(small_system.database_url, pool_size=4) as small_database,
        open_database(large_system.database_url, pool_size=4) as large_database,
    ):
        began = time.monotonic()
        sizes = [
            await _fill(small_system, small_database, SMALL),
            await _fill(large_system, large_database, large_jobs),
        ]
        filled_seconds = time.monotonic() - began
        queries_by_size = [await _queries(size) for size in sizes]
        found = await _run_in_turns(queries_by_size, options.rounds, times)
        plans = await _plans(sizes[1])
    rows = []
    for name, (small, large) in found.items():
        ratio = percentile(large, 0.5) / percentile(small, 0.5)
        if queries_by_size[-1][name].has_target:
            results.at_most(f"{name}, relative to {number(float(SMALL))} jobs", ratio, 2.0)
        shown = (percentile(small, 0.5), percentile(large, 0.5), percentile(large, 0.99))
        rows.append([name, *map(milliseconds, shown), ratio])
    in_turn, in_order = (percentile(found[name][1], 0.5) for name in (_CLAIM_IN_TURN, _CLAIM_IN_ORDER))
    results.at_most(f"{_CLAIM_IN_TURN}, relative to priority", in_turn / in_order, 1.5)
    results.table(
        f"Queries at {number(float(SMALL))} and {number(float(large_jobs))} jobs,"
        f" of which {number(large_jobs * population.PENDING_SHARE)} are pending",
        ("", f"p50 ms at {SMALL}", f"p50 ms at {large_jobs}", "p99 ms", "ratio"),
        rows,
        f"Each query ran {times * options.rounds} times, through the code of the API, the workers and the"
        f" maintenance loops. SQL inserted the jobs in {filled_seconds:.0f} s. Queries that count pending"
        " jobs (quota, token refill, metrics) have more of them to count.",
    )
    results.table(
        "Plans of the hot queries on the large table",
        ("", "plan", "ms"),
        plans,
        "Plan nodes that read tables, from `EXPLAIN (ANALYZE)`.",
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
    worker_id = ids.new_id()
    connection = await asyncpg.connect(system.database_url)
    try:
        await population.populate(connection, jobs, owners, worker_id)
        await connection.execute(_FEW, owners[:FEW], KIND)
        await connection.execute("VACUUM ANALYZE", timeout=3600)
    finally:
        await connection.close()
    return Size(system, database, jobs, owners[0], worker_id)


async def _queries(size: Size) -> dict[str, Query]:
    lists = {name: Query(run, has_target=True) for name, run in (await _list_queries(size)).items()}
    return lists | await _job_queries(size) | _periodic_queries(size)


async def _list_queries(size: Size) -> dict[str, Run]:
    """Queries of `GET /jobs`."""
    middle = (await size.system.fetch("SELECT id FROM jobs ORDER BY id OFFSET $1 LIMIT 1", size.jobs // 2))[
        0
    ]["id"]
    week_ago = datetime.now(UTC) - timedelta(days=7)

    def list_jobs(before: UUID | None = None, **filters: Any) -> Run:
        async def run() -> object:
            async with size.database.session() as session:
                return await queries.jobs(
                    session, size.owner_id, JobFilter(**filters), before=before, limit=21
                )

        return run

    async def count_jobs() -> object:
        async with size.database.session() as session:
            return await queries.counts(session, size.owner_id, JobFilter())

    return {
        "list, newest": list_jobs(),
        "list, a late page": list_jobs(middle),
        "list, by status completed": list_jobs(statuses=(Status.COMPLETED,)),
        "list, by status failed": list_jobs(statuses=(Status.FAILED,)),
        "list, by three statuses": list_jobs(
            statuses=(Status.COMPLETED, Status.FAILED, Status.CANCELLED),
        ),
        "list, by queue": list_jobs(queue="gpu"),
        "list, by model": list_jobs(model="model_0"),
        "list, by metadata": list_jobs(metadata={"team": "team_0"}),
        "list, created in the last week": list_jobs(created_after=week_ago),
        "counts, by status": count_jobs,
    }


def _with_connection(size: Size, query: Callable[[asyncpg.Connection], Awaitable[Any]]) -> Run:
    async def run() -> object:
        async with size.database.connection() as connection:
            return await query(connection)

    return run


async def _job_queries(size: Size) -> dict[str, Query]:
    """Queries about single jobs."""
    async with size.database.connection() as connection:
        some = [row["id"] for row in await connection.fetch("SELECT id FROM jobs ORDER BY id LIMIT 200")]
        near, far = await _waiting(connection, "few", NEAR), await _waiting(connection, "gpu", None)

    async def release_claimed(claimed: list[ClaimedJob]) -> None:
        async with size.database.connection() as connection:
            for job in claimed:
                await transitions.release(UnitOfWork(connection), job_id=job.id, attempt=job.attempt)

    def claim(queue: str, order: ClaimOrder = ClaimOrder.TURNS) -> Run:
        return _with_connection(
            size,
            lambda connection: transitions.claim(
                UnitOfWork(connection),
                queue=queue,
                kinds=[KIND],
                worker_id=size.worker_id,
                limit=1,
                order=order,
            ),
        )

    def explain(job: Job) -> Run:
        return _with_connection(
            size,
            lambda connection: explanations.explain(connection, job, CONDITIONS),
        )

    found = {
        "one job": Query(
            _with_connection(size, lambda connection: queries.job(connection, some[0], inline_rows=1000)),
            has_target=True,
        ),
        _CLAIM_IN_TURN: Query(claim("few"), release_claimed, has_target=True),
        _CLAIM_IN_ORDER: Query(claim("few", ClaimOrder.PRIORITY), release_claimed, has_target=True),
        f"explain, {NEAR} ahead": Query(explain(near), has_target=True),
        "hub: last seq of 200 jobs": Query(
            _with_connection(size, lambda connection: queries.last_seqs(connection, some))
        ),
    }
    if size.jobs > SMALL:
        found[f"claim in turn, {population.OWNERS} users wait"] = Query(claim("default"), release_claimed)
        found["explain, last in the queue"] = Query(explain(far))
    return found


def _periodic_queries(size: Size) -> dict[str, Query]:
    """Queries that the maintenance loops, the workers and the metrics run periodically."""
    identity = WorkerIdentity(size.worker_id, "bench", "here", 1, population.QUEUES, (KIND,), 2)
    found: dict[str, Callable[[asyncpg.Connection], Awaitable[Any]]] = {
        "quota count": lambda connection: quotas.active_jobs(connection, size.owner_id, limit=50_000),
        "token refill": lambda connection: maintenance.due_jobs(
            connection, limit=token_refill.TOKENS_AT_ONCE
        ),
        "rescue, none lost": lambda connection: transitions.rescue(
            UnitOfWork(connection), lease=LEASE, delays_seconds=[0.0], limit=1000
        ),
        "prune the results of one job": lambda connection: commands.prune_results(connection, limit=1),
        "prune jobs, none expired": lambda connection: commands.delete_old(
            connection, timedelta(days=3650), limit=prune.JOBS_AT_ONCE
        ),
        "worker heartbeat": lambda connection: workers.renew(connection, identity),
        "metrics: measure the queues": stats.measure,
        "metrics: scrape": lambda connection: operations.samples(
            connection, queues=population.QUEUES, lease=LEASE
        ),
    }
    if size.jobs > SMALL:
        found["prune the results of 1 000 jobs"] = lambda connection: commands.prune_results(
            connection, limit=prune.JOBS_AT_ONCE
        )
    return {name: Query(_with_connection(size, query)) for name, query in found.items()}


async def _waiting(connection: asyncpg.Connection, queue: str, place: int | None) -> Job:
    """Return the pending job with `place` jobs before it by `sort_key`; the last one if `place` is None."""
    order = "sort_key, id" if place is not None else "sort_key DESC, id DESC"
    found = await connection.fetchrow(
        f"SELECT *, {names('jobs')} FROM jobs WHERE queue = $2 AND status = 'pending'"  # noqa: S608
        f" ORDER BY {order} LIMIT 1 OFFSET $1",
        place or 0,
        queue,
    )
    assert found is not None
    return Job.from_row(found)


async def _run_in_turns(
    sizes: Sequence[Mapping[str, Query]], rounds: int, times: int
) -> dict[str, list[list[float]]]:
    """Return the measured seconds by query and size; the list is empty if a size does not have the query."""
    names = list(sizes[-1])
    found: dict[str, list[list[float]]] = {name: [[] for _ in sizes] for name in names}
    for _ in range(rounds):
        for name in names:
            for place, size_queries in enumerate(sizes):
                if name in size_queries:
                    found[name][place] += [await _measure(size_queries[name]) for _ in range(times)]
    return found


async def _measure(query: Query) -> float:
    began = time.perf_counter()
    result = await query.run()
    seconds = time.perf_counter() - began
    if query.undo is not None:
        await query.undo(result)
    return seconds


async def _plans(size: Size) -> list[list[str]]:
    """Return the plans of the hot statements. Each is executed in a transaction that is rolled back."""
    claim = {"queue": "default", "kinds": [KIND], "worker_id": size.worker_id, "slot_gpus": 0}
    statements: dict[str, tuple[Statement, dict[str, Any]]] = {
        "claim in turn": (transition_statements.CLAIM_IN_TURN, claim | {"limit": 1}),
        "claim in order": (transition_statements.claim_in_order(1), claim),
        "token refill": (maintenance._DUE, {"limit": token_refill.TOKENS_AT_ONCE}),
        "quota count": (quotas._ACTIVE_JOBS, {"owner_id": size.owner_id, "limit": 50_000}),
        "prune results": (commands._PRUNE_RESULTS, {"limit": 10}),
    }
    rows = []
    async with size.database.connection() as connection:
        for name, (statement, parameters) in statements.items():
            transaction = connection.transaction()
            await transaction.start()
            explain = "EXPLAIN (ANALYZE, FORMAT JSON) " + statement.text
            [plan] = (await connection.fetch(explain, *statement.arguments(parameters)))[0][0]
            await transaction.rollback()
            nodes = ", ".join(dict.fromkeys(_table_reads(plan["Plan"])))
            rows.append([name, nodes, number(plan["Execution Time"])])
    return rows


def _table_reads(node: Mapping[str, Any]) -> list[str]:
    """Return the node and its descendants that read a table."""
    found = []
    if "Relation Name" in node or "Index Name" in node:
        where = node.get("Index Name") or node["Relation Name"]
        found.append(f"{node['Node Type']} {where}")
    for child in node.get("Plans", []):
        found += _table_reads(child)
    return found


def main() -> None:
    chosen = options.parse(__doc__)
    with stack() as system:
        asyncio.run(measure(system, chosen)).write()


if __name__ == "__main__":
    main()
