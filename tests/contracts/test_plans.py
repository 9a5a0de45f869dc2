"""The hot statements find what they look for by an index, however many jobs there are.

Not by time, which says nothing on a busy machine: by the plan that Postgres makes on a table that is large enough
for a scan to be the wrong choice. With the values of a call, and without them, as a prepared statement that has
been used a few times may be planned.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app.core import ids
from app.core.database import Database
from app.core.resources import Resources
from app.jobs import explanations, leases, queries, quota, transitions
from app.jobs.dead_letters import queries as dead_letters
from app.jobs.kinds import batch_predict
from app.jobs.leases import WorkerIdentity
from app.jobs.moves import Batch, Report
from app.jobs.queries import JobFilter
from app.jobs.states import Status
from app.keeper.prune import Prune
from app.keeper.wake import Wake
from app.streams import owner_log
from app.streams.owner_log import BEGINNING, EventFilter
from bench import population
from tests.support import jobs

JOBS = 20_000
OWNERS = 20
KIND = batch_predict.KIND.name
LARGE = {"jobs", "job_payloads", "job_events", "job_attempts", "job_batches"}


@dataclass(frozen=True)
class Table:
    """A database with many jobs in it, and who is in it."""

    resources: Resources
    owner_id: UUID
    worker_id: UUID

    @property
    def database(self) -> Database:
        return self.resources.database


Question = Callable[[Table, asyncpg.Connection], Awaitable[object]]


@pytest.fixture
async def table(resources: Resources) -> AsyncIterator[Table]:
    owners = [await jobs.user(resources.database) for _ in range(OWNERS)]
    worker_id = ids.new_id()
    async with resources.database.connection() as connection:
        await population.populate(connection, JOBS, owners, worker_id)
    yield Table(resources, owners[0], worker_id)


async def running_job(connection: asyncpg.Connection) -> asyncpg.Record:
    found = await connection.fetchrow("SELECT * FROM jobs WHERE status = 'running' ORDER BY id LIMIT 1")
    assert found is not None
    return found


async def last_in_queue(connection: asyncpg.Connection) -> asyncpg.Record:
    found = await connection.fetchrow(
        "SELECT * FROM jobs WHERE status = 'pending' AND queue = 'gpu' ORDER BY sort_key DESC LIMIT 1"
    )
    assert found is not None
    return found


async def claim(table: Table, connection: asyncpg.Connection) -> object:
    return await transitions.claim(
        connection, queue="default", kinds=[KIND], worker_id=table.worker_id, limit=1
    )


async def advance(table: Table, connection: asyncpg.Connection) -> object:
    job = await running_job(connection)
    report = Report(job["id"], job["attempt"], job["next_batch"], (Batch(job["done"], 0, b"", "Batch"),))
    return await transitions.advance(connection, worker_id=table.worker_id, reports=[report])


async def fail(_table: Table, connection: asyncpg.Connection) -> object:
    job = await running_job(connection)
    return await transitions.fail(
        connection,
        job_id=job["id"],
        attempt=job["attempt"],
        error=jobs.ERROR,
        traceback=None,
        is_retryable=True,
        delay_seconds=1.0,
    )


async def rescue(_table: Table, connection: asyncpg.Connection) -> object:
    return await transitions.rescue(connection, lease=timedelta(seconds=6), delays_seconds=[0.0], limit=1000)


async def cancel(_table: Table, connection: asyncpg.Connection) -> object:
    return await transitions.cancel(connection, job_id=(await running_job(connection))["id"])


async def read_job(_table: Table, connection: asyncpg.Connection) -> object:
    return await queries.job(connection, (await running_job(connection))["id"], inline_rows=1000)


async def read_events(_table: Table, connection: asyncpg.Connection) -> object:
    return await queries.events(connection, (await running_job(connection))["id"], after=1)


async def last_seqs(_table: Table, connection: asyncpg.Connection) -> object:
    some = [row["id"] for row in await connection.fetch("SELECT id FROM jobs ORDER BY id LIMIT 50")]
    return await queries.last_seqs(connection, some)


async def last_transactions(table: Table, connection: asyncpg.Connection) -> object:
    return await owner_log.last_transactions(connection, [table.owner_id])


async def owner_page(table: Table, connection: asyncpg.Connection) -> object:
    return await owner_log.read(connection, table.owner_id, BEGINNING, EventFilter())


async def explain(_table: Table, connection: asyncpg.Connection) -> object:
    job = await last_in_queue(connection)
    return await explanations.explain(connection, job, lease_seconds=6.0, is_redis_up=True)


async def heartbeat(table: Table, connection: asyncpg.Connection) -> object:
    identity = WorkerIdentity(table.worker_id, "bench", "here", 1, ("default",), (KIND,), 2)
    return await leases.renew(connection, identity)


async def count_active(table: Table, connection: asyncpg.Connection) -> object:
    return await connection.fetchval(quota._COUNT, table.owner_id, 50_000)


async def wake(table: Table, connection: asyncpg.Connection) -> object:
    resources = table.resources
    return await Wake(resources.redis_pool, resources.redis, resources.hints)(connection)


async def prune(table: Table, connection: asyncpg.Connection) -> object:
    resources = table.resources
    return await Prune(resources.settings, resources.storage)(connection)


async def dead_letter_page(table: Table, connection: asyncpg.Connection) -> object:
    return await dead_letters.page(connection, table.owner_id, before=None, limit=21)


async def backlog(_table: Table, connection: asyncpg.Connection) -> object:
    return await queries.backlog(connection)


async def active(_table: Table, connection: asyncpg.Connection) -> object:
    return await queries.active(connection)


QUESTIONS: Mapping[str, Question] = {
    question.__name__: question
    for question in (
        claim,
        advance,
        fail,
        rescue,
        cancel,
        read_job,
        read_events,
        last_seqs,
        last_transactions,
        owner_page,
        explain,
        heartbeat,
        count_active,
        wake,
        prune,
        dead_letter_page,
        backlog,
        active,
    )
}

FILTERS: Mapping[str, JobFilter] = {
    "newest": JobFilter(),
    "by status": JobFilter(status=Status.FAILED),
    "by kind": JobFilter(kind=KIND),
    "by queue": JobFilter(queue="gpu"),
    "by model": JobFilter(model="model_0"),
    "by metadata": JobFilter(metadata={"team": "team_0"}),
    "created since": JobFilter(created_after=datetime(2020, 1, 1, tzinfo=UTC)),
}


@dataclass(frozen=True)
class Statement:
    """What was sent to Postgres."""

    query: str
    arguments: tuple[Any, ...]


async def statements_of(
    connection: asyncpg.Connection, ask: Callable[[], Awaitable[object]]
) -> list[Statement]:
    """What is sent over a connection while somebody asks something."""
    sent: list[Statement] = []

    def note(query: Any) -> None:
        sent.append(Statement(query.query, tuple(query.args or ())))

    connection.add_query_logger(note)
    try:
        await ask()
    finally:
        connection.remove_query_logger(note)
    return sent


async def scans(connection: asyncpg.Connection, statement: Statement) -> list[str]:
    """The large tables that Postgres would read from one end to the other, for these values and for any."""
    found = []
    for mode in ("force_custom_plan", "force_generic_plan"):
        await connection.execute(f"SET plan_cache_mode = {mode}")
        await connection.execute(f"PREPARE asked AS {statement.query}")
        values = ", ".join(literal(argument) for argument in statement.arguments)
        execute = f"EXECUTE asked({values})" if values else "EXECUTE asked"
        # Not in its own statement: what is prepared by asyncpg is planned before it knows the mode.
        [row] = await connection.fetch(f"EXPLAIN (FORMAT JSON) {execute}")
        await connection.execute("DEALLOCATE asked; RESET plan_cache_mode")
        [plan] = row[0] if isinstance(row[0], list) else json.loads(row[0])
        found += [f"{mode}: {name}" for name in sequential(plan["Plan"])]
    return found


def sequential(node: Mapping[str, Any]) -> list[str]:
    found = []
    if node["Node Type"] == "Seq Scan" and node["Relation Name"] in LARGE:
        found.append(node["Relation Name"])
    for child in node.get("Plans", ()):
        found += sequential(child)
    return found


def literal(value: Any) -> str:
    """A value as SQL text; Postgres knows what type the statement wants."""
    match value:
        case None:
            return "NULL"
        case bool():
            return str(value).upper()
        case int() | float():
            return str(value)
        case timedelta():
            return quoted(f"{value.total_seconds()} s")
        case datetime():
            return quoted(value.isoformat())
        case bytes():
            return quoted("\\x" + value.hex())
        case dict():
            return quoted(json.dumps(value))
        case list() | tuple():
            return f"ARRAY[{', '.join(literal(item) for item in value)}]" if value else "'{}'"
        case _:
            return quoted(str(value))


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


async def test_no_hot_statement_reads_a_large_table_from_end_to_end(table: Table) -> None:
    found: dict[str, list[str]] = {}
    async with table.database.connection() as connection:
        for name, question in QUESTIONS.items():
            sent = await statements_of(connection, partial(question, table, connection))
            assert sent, name
            for statement in sent:
                if bad := await scans(connection, statement):
                    found[f"{name}: {statement.query}"] = bad

    assert found == {}


async def test_no_page_of_a_users_jobs_reads_the_jobs_of_others(table: Table) -> None:
    found: dict[str, list[str]] = {}
    async with table.database.session() as session, table.database.connection() as other:
        raw = await (await session.connection()).get_raw_connection()
        driver = raw.driver_connection
        assert isinstance(driver, asyncpg.Connection)
        for name, wanted in FILTERS.items():
            for before in (None, ids.new_id()):

                async def ask(wanted: JobFilter = wanted, before: UUID | None = before) -> object:
                    return await queries.jobs(session, table.owner_id, wanted, before=before, limit=21)

                [statement] = await statements_of(driver, ask)
                if bad := await scans(other, statement):
                    found[f"{name}: {statement.query}"] = bad

    assert found == {}


async def test_a_scan_would_be_noticed(table: Table) -> None:
    async with table.database.connection() as connection:
        assert await scans(connection, Statement("SELECT * FROM jobs WHERE step = $1", ("x",)))
