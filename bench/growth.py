"""What a million jobs in the table cost: lists, filters, claim, explain, prune and counts, beside a thousand.

The two databases are on the same server, and asked in turns. 100 000 of the million are waiting.
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
from app.core.database import Database, open_database
from app.core.sql import Statement
from app.jobs import commands, explanations, queries, transition_statements, transitions
from app.jobs.job import Job
from app.jobs.kinds import batch_predict
from app.jobs.queries import JobFilter
from app.jobs.queues import queries as queues
from app.jobs.states import Status
from app.jobs.transition_types import ClaimedJob
from app.jobs.unit_of_work import UnitOfWork
from app.jobs.workers import commands as workers
from app.jobs.workers.commands import WorkerIdentity
from app.maintenance import prune, token_refill
from app.maintenance import queries as maintenance
from bench import options, population
from bench.measuring import milliseconds, number, percentile
from bench.options import Options
from bench.results import Results
from bench.stack import Stack, on_database, stack

SMALL: Final = 1000
NEAR: Final = 20
"""The place in the queue at which both sizes are asked to explain a job: to count more takes longer."""

KIND: Final = batch_predict.KIND.name
LEASE: Final = timedelta(days=1)

Ask = Callable[[], Awaitable[Any]]


@dataclass(frozen=True)
class Question:
    """What is asked, and what makes up for it afterwards, outside of the time that counts."""

    ask: Ask
    undo: Callable[[Any], Awaitable[None]] | None = None
    is_promised: bool = False
    """Whether its time may not grow with the table."""


@dataclass(frozen=True)
class Size:
    """One database, so full."""

    system: Stack
    database: Database
    jobs: int
    owner_id: UUID
    worker_id: UUID


async def measure(system: Stack, options: Options) -> Results:
    """Fill both, ask both the same questions in turns."""
    results = Results("growth", options)
    large_jobs = options.choose(1_000_000, 20_000)
    times = options.choose(30, 8)
    small_system = await _database(system, "small")
    large_system = await _database(system, "large")
    async with (
        open_database(small_system.database_url, pool_size=4) as small_door,
        open_database(large_system.database_url, pool_size=4) as large_door,
    ):
        began = time.monotonic()
        sizes = [
            await _fill(small_system, small_door, SMALL),
            await _fill(large_system, large_door, large_jobs),
        ]
        filled_seconds = time.monotonic() - began
        questions = [await _questions(size) for size in sizes]
        found = await _ask_in_turns(questions, options.rounds, times)
        plans = await _plans(sizes[1])
    rows = []
    for name, (small, large) in found.items():
        ratio = percentile(large, 0.5) / percentile(small, 0.5)
        if questions[-1][name].is_promised:
            results.at_most(f"{name}, of the time at {number(float(SMALL))} jobs", ratio, 2.0)
        shown = (percentile(small, 0.5), percentile(large, 0.5), percentile(large, 0.99))
        rows.append([name, *map(milliseconds, shown), ratio])
    results.table(
        f"The same questions at {number(float(SMALL))} and at {number(float(large_jobs))} jobs,"
        f" of which {number(large_jobs * population.PENDING_SHARE)} wait",
        ("", f"p50 ms at {SMALL}", f"p50 ms at {large_jobs}", "p99 ms", "ratio"),
        rows,
        f"Through the code that the API, the workers and the keeper run, {times * options.rounds} times each;"
        f" made by SQL in {filled_seconds:.0f} s. What counts waiting jobs (quota, wake, metrics) has more of"
        " them to count.",
    )
    results.table(
        "How Postgres answers the hot queries of the large one",
        ("", "plan", "ms"),
        plans,
        "The nodes that read tables, from `EXPLAIN (ANALYZE)`.",
    )
    return results


async def _database(system: Stack, name: str) -> Stack:
    await system.execute(f"CREATE DATABASE {name}")
    # Alembic runs a loop of its own.
    return await asyncio.to_thread(
        on_database, system.folder, system.embedded, system.embedded.postgres.url_for(name)
    )


async def _fill(system: Stack, database: Database, jobs: int) -> Size:
    owners = [(await system.user()).id for _ in range(population.OWNERS)]
    worker_id = ids.new_id()
    connection = await asyncpg.connect(system.database_url)
    try:
        await population.populate(connection, jobs, owners, worker_id)
    finally:
        await connection.close()
    return Size(system, database, jobs, owners[0], worker_id)


async def _questions(size: Size) -> dict[str, Question]:
    lists = {name: Question(ask, is_promised=True) for name, ask in (await _lists(size)).items()}
    return lists | await _jobs(size) | _duties(size)


async def _lists(size: Size) -> dict[str, Ask]:
    """What `GET /jobs` asks."""
    middle = (await size.system.fetch("SELECT id FROM jobs ORDER BY id OFFSET $1 LIMIT 1", size.jobs // 2))[
        0
    ]["id"]
    week_ago = datetime.now(UTC) - timedelta(days=7)

    def listed(before: UUID | None = None, **wanted: Any) -> Ask:
        async def ask() -> object:
            async with size.database.session() as session:
                return await queries.jobs(
                    session, size.owner_id, JobFilter(**wanted), before=before, limit=21
                )

        return ask

    return {
        "list, newest": listed(),
        "list, a page far back": listed(middle),
        "list, by status completed": listed(status=Status.COMPLETED),
        "list, by status failed": listed(status=Status.FAILED),
        "list, by queue": listed(queue="gpu"),
        "list, by model": listed(model="model_0"),
        "list, by metadata": listed(metadata={"team": "team_0"}),
        "list, created in a week": listed(created_after=week_ago),
    }


def _asked(size: Size, question: Callable[[asyncpg.Connection], Awaitable[Any]]) -> Ask:
    async def ask() -> object:
        async with size.database.connection() as connection:
            return await question(connection)

    return ask


async def _jobs(size: Size) -> dict[str, Question]:
    """What is asked of single jobs."""
    async with size.database.connection() as connection:
        some = [row["id"] for row in await connection.fetch("SELECT id FROM jobs ORDER BY id LIMIT 200")]
        near, far = await _waiting(connection, NEAR), await _waiting(connection, None)

    async def give_back(claimed: list[ClaimedJob]) -> None:
        async with size.database.connection() as connection:
            for job in claimed:
                await transitions.release(UnitOfWork(connection), job_id=job.id, attempt=job.attempt)

    def claim(connection: asyncpg.Connection) -> Awaitable[Any]:
        return transitions.claim(
            UnitOfWork(connection), queue="default", kinds=[KIND], worker_id=size.worker_id, limit=1
        )

    def explain(job: Job) -> Ask:
        return _asked(
            size,
            lambda connection: explanations.explain(connection, job, lease_seconds=6.0, is_redis_up=True),
        )

    questions = {
        "one job": Question(
            _asked(size, lambda connection: queries.job(connection, some[0], inline_rows=1000)),
            is_promised=True,
        ),
        "claim": Question(_asked(size, claim), give_back, is_promised=True),
        f"explain, {NEAR} ahead": Question(explain(near), is_promised=True),
        "hub: last numbers of 200 jobs": Question(
            _asked(size, lambda connection: queries.last_seqs(connection, some))
        ),
    }
    if size.jobs > SMALL:
        questions["explain, the last in the queue"] = Question(explain(far))
    return questions


def _duties(size: Size) -> dict[str, Question]:
    """What is asked all the time by those who keep the system going."""
    identity = WorkerIdentity(size.worker_id, "bench", "here", 1, population.QUEUES, (KIND,), 2)
    asks: dict[str, Callable[[asyncpg.Connection], Awaitable[Any]]] = {
        "quota count": lambda connection: queries.active_of_owner(connection, size.owner_id, limit=50_000),
        "keeper: wake": lambda connection: maintenance.due_jobs(
            connection, limit=token_refill.TOKENS_AT_ONCE
        ),
        "keeper: rescue, none lost": lambda connection: transitions.rescue(
            UnitOfWork(connection), lease=LEASE, delays_seconds=[0.0], limit=1000
        ),
        "keeper: prune the results of one job": lambda connection: commands.prune_results(
            connection, limit=1
        ),
        "keeper: prune jobs, none old": lambda connection: commands.delete_old(
            connection, timedelta(days=3650), limit=prune.JOBS_AT_ONCE
        ),
        "a worker's heartbeat": lambda connection: workers.renew(connection, identity),
        "metrics: backlog": queues.backlog,
        "metrics: active": queues.active,
    }
    if size.jobs > SMALL:
        asks["keeper: prune the results of 1 000"] = lambda connection: commands.prune_results(
            connection, limit=prune.JOBS_AT_ONCE
        )
    return {name: Question(_asked(size, question)) for name, question in asks.items()}


async def _waiting(connection: asyncpg.Connection, place: int | None) -> Job:
    """The job that has so many ahead of it, or the last one."""
    order = "sort_key, id" if place is not None else "sort_key DESC, id DESC"
    found = await connection.fetchrow(
        f"SELECT * FROM jobs WHERE queue = 'gpu' AND status = 'pending' ORDER BY {order} LIMIT 1 OFFSET $1",  # noqa: S608
        place or 0,
    )
    assert found is not None
    return Job.from_row(found)


async def _ask_in_turns(
    sizes: Sequence[Mapping[str, Question]], rounds: int, times: int
) -> dict[str, list[list[float]]]:
    """For each question the times that each size took; none where it is not asked."""
    names = list(sizes[-1])
    found: dict[str, list[list[float]]] = {name: [[] for _ in sizes] for name in names}
    for _ in range(rounds):
        for name in names:
            for place, questions in enumerate(sizes):
                if name in questions:
                    found[name][place] += [await _seconds(questions[name]) for _ in range(times)]
    return found


async def _seconds(question: Question) -> float:
    began = time.perf_counter()
    answer = await question.ask()
    seconds = time.perf_counter() - began
    if question.undo is not None:
        await question.undo(answer)
    return seconds


async def _plans(size: Size) -> list[list[str]]:
    """What the planner does with the hot statements, in a transaction that is rolled back."""
    asked: dict[str, tuple[Statement, dict[str, Any]]] = {
        "claim": (
            transition_statements.CLAIM,
            {"queue": "default", "kinds": [KIND], "worker_id": size.worker_id, "limit": 1},
        ),
        "wake": (maintenance._DUE, {"limit": token_refill.TOKENS_AT_ONCE}),
        "quota count": (queries._ACTIVE_OF_OWNER, {"owner_id": size.owner_id, "limit": 50_000}),
        "prune results": (commands._PRUNE_RESULTS, {"limit": 10}),
    }
    rows = []
    async with size.database.connection() as connection:
        for name, (statement, parameters) in asked.items():
            transaction = connection.transaction()
            await transaction.start()
            explain = "EXPLAIN (ANALYZE, FORMAT JSON) " + statement.text
            [plan] = (await connection.fetch(explain, *statement.arguments(parameters)))[0][0]
            await transaction.rollback()
            nodes = ", ".join(dict.fromkeys(_reads(plan["Plan"])))
            rows.append([name, nodes, number(plan["Execution Time"])])
    return rows


def _reads(node: Mapping[str, Any]) -> list[str]:
    """The nodes below that read a table."""
    found = []
    if "Relation Name" in node or "Index Name" in node:
        where = node.get("Index Name") or node["Relation Name"]
        found.append(f"{node['Node Type']} {where}")
    for child in node.get("Plans", []):
        found += _reads(child)
    return found


def main() -> None:
    chosen = options.parse(__doc__)
    with stack() as system:
        asyncio.run(measure(system, chosen)).write()


if __name__ == "__main__":
    main()
