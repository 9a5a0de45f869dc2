"""The hot statements find what they look for by an index, however many jobs there are.

Not by time, which says nothing on a busy machine: by the plan that Postgres makes on a table that is large
enough for a scan to be the wrong choice. The plan for the values of a call, and the one that Postgres comes
to when a prepared statement has been used a few times.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import sqlalchemy.event

from app.core import ids
from app.core.database import Database
from app.core.resources import Resources
from app.jobs import explanations, queries, transitions
from app.jobs.dead_letters import queries as dead_letters
from app.jobs.job import Job
from app.jobs.kinds import batch_predict
from app.jobs.queries import JobFilter
from app.jobs.queues import queries as queues
from app.jobs.states import Status
from app.jobs.transition_types import Batch, Report
from app.jobs.unit_of_work import UnitOfWork
from app.jobs.workers import commands as workers
from app.jobs.workers.commands import WorkerIdentity
from app.maintenance import commands as maintenance
from app.maintenance.prune import Prune
from app.maintenance.token_refill import TokenRefill
from app.operations import queries as operations
from app.streams import owner_log
from app.streams.owner_log import BEGINNING, EventFilter
from bench import population
from tests.support import jobs

JOBS = 20_000
OWNERS = 20
KIND = batch_predict.KIND.name
SETTLED_AFTER = 7
"""After five executions Postgres decides whether to use a generic plan."""

CONTROL = {"BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE"}
LARGE = {"jobs", "job_payloads", "job_events", "job_attempts", "job_batches"}


@dataclass(frozen=True)
class Table:
    """A database with many jobs, and the ids of some rows."""

    resources: Resources
    owner_id: UUID
    worker_id: UUID
    running: asyncpg.Record
    last_in_queue: Job
    some: list[UUID]

    @property
    def database(self) -> Database:
        return self.resources.database


Question = Callable[[Table, asyncpg.Connection], Awaitable[object]]


@pytest.fixture
async def table(resources: Resources) -> Table:
    owners = [await jobs.user(resources.database) for _ in range(OWNERS)]
    worker_id = ids.new_id()
    async with resources.database.connection() as connection:
        await population.populate(connection, JOBS, owners, worker_id)
        running = await connection.fetchrow("SELECT * FROM jobs WHERE status = 'running' LIMIT 1")
        last_in_queue = await connection.fetchrow(
            "SELECT * FROM jobs WHERE status = 'pending' AND queue = 'gpu' ORDER BY sort_key DESC LIMIT 1"
        )
        some = await connection.fetch("SELECT id FROM jobs ORDER BY id LIMIT 50")
    assert running is not None
    assert last_in_queue is not None
    return Table(
        resources, owners[0], worker_id, running, Job.from_row(last_in_queue), [row["id"] for row in some]
    )


async def claim(table: Table, connection: asyncpg.Connection) -> object:
    return await transitions.claim(
        UnitOfWork(connection), queue="default", kinds=[KIND], worker_id=table.worker_id, limit=1
    )


async def advance(table: Table, connection: asyncpg.Connection) -> object:
    job = table.running
    report = Report(job["id"], job["attempt"], job["next_batch"], (Batch(job["done"], 0, b"", "Batch"),))
    return await transitions.advance(UnitOfWork(connection), worker_id=table.worker_id, reports=[report])


async def fail(table: Table, connection: asyncpg.Connection) -> object:
    job = table.running
    return await transitions.fail(
        UnitOfWork(connection),
        job_id=job["id"],
        attempt=job["attempt"],
        error=jobs.ERROR,
        traceback=None,
        is_retryable=True,
        delay_seconds=1.0,
    )


async def rescue(_table: Table, connection: asyncpg.Connection) -> object:
    return await transitions.rescue(
        UnitOfWork(connection), lease=timedelta(seconds=6), delays_seconds=[0.0], limit=1000
    )


async def cancel(table: Table, connection: asyncpg.Connection) -> object:
    return await transitions.cancel(UnitOfWork(connection), job_id=table.running["id"])


async def read_job(table: Table, connection: asyncpg.Connection) -> object:
    return await queries.job(connection, table.running["id"], inline_rows=1000)


async def read_events(table: Table, connection: asyncpg.Connection) -> object:
    return await queries.events(connection, table.running["id"], after=1)


async def last_seqs(table: Table, connection: asyncpg.Connection) -> object:
    return await queries.last_seqs(connection, table.some)


async def last_transactions(table: Table, connection: asyncpg.Connection) -> object:
    return await owner_log.last_transactions(connection, [table.owner_id])


async def owner_page(table: Table, connection: asyncpg.Connection) -> object:
    return await owner_log.read(connection, table.owner_id, BEGINNING, EventFilter())


async def owner_page_of_a_kind(table: Table, connection: asyncpg.Connection) -> object:
    return await owner_log.read(connection, table.owner_id, BEGINNING, EventFilter(kind=KIND))


async def explain(table: Table, connection: asyncpg.Connection) -> object:
    return await explanations.explain(connection, table.last_in_queue, lease_seconds=6.0, is_redis_up=True)


async def heartbeat(table: Table, connection: asyncpg.Connection) -> object:
    identity = WorkerIdentity(table.worker_id, "bench", "here", 1, ("default",), (KIND,), 2)
    return await workers.renew(connection, identity)


async def count_active(table: Table, connection: asyncpg.Connection) -> object:
    return await queries.active_of_owner(connection, table.owner_id, limit=50_000)


async def wake(table: Table, connection: asyncpg.Connection) -> None:
    resources = table.resources
    await TokenRefill(resources.redis_pool, resources.redis, resources.hints)(connection)


async def prune(table: Table, connection: asyncpg.Connection) -> object:
    resources = table.resources
    # As small a part of this table as a thousand are of a large one.
    return await Prune(resources.settings, resources.storage, jobs_at_once=JOBS // 1000)(connection)


async def dead_letter_page(table: Table, connection: asyncpg.Connection) -> object:
    return await dead_letters.page(connection, table.owner_id, before=None, limit=21)


async def count_running(_table: Table, connection: asyncpg.Connection) -> object:
    return await queues.running(connection)


async def measure_queues(_table: Table, connection: asyncpg.Connection) -> None:
    await maintenance.measure(connection, totals_after=timedelta(0))


async def scrape(_table: Table, connection: asyncpg.Connection) -> object:
    return await operations.samples(connection, queues=["default"], lease=timedelta(seconds=6))


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
        count_running,
        measure_queues,
        scrape,
    )
}

FILTERS = (
    JobFilter(),
    JobFilter(status=Status.FAILED),
    JobFilter(kind=KIND),
    JobFilter(queue="gpu"),
    JobFilter(model="model_0"),
    JobFilter(metadata={"team": "team_0"}),
    JobFilter(created_after=datetime(2020, 1, 1, tzinfo=UTC)),
)


@dataclass(frozen=True)
class Statement:
    """The statements sent to Postgres."""

    query: str
    arguments: tuple[Any, ...]


async def statements_of(
    connection: asyncpg.Connection, ask: Callable[[], Awaitable[object]]
) -> list[Statement]:
    """Record what is sent over a connection during a call."""
    sent: list[Statement] = []

    def note(query: Any) -> None:
        if query.query.split()[0].strip(";") not in CONTROL:
            sent.append(Statement(query.query, tuple(query.args or ())))

    with connection.query_logger(note):
        await ask()
        # asyncpg calls whoever listens at the loop's next turn.
        await asyncio.sleep(0)
    return sent


async def scans(connection: asyncpg.Connection, statement: Statement) -> set[str]:
    """The large tables that Postgres would scan, with a custom or a generic plan."""
    found: set[str] = set()
    # In SQL, because what asyncpg prepares itself cannot be explained.
    await connection.execute(f"PREPARE asked AS {statement.query}")
    values = ", ".join(literal(argument) for argument in statement.arguments)
    execute = f"EXECUTE asked({values})" if values else "EXECUTE asked"
    for _ in range(SETTLED_AFTER):
        [row] = await connection.fetch(f"EXPLAIN (FORMAT JSON) {execute}")
        [plan] = row[0]
        found |= sequential(plan["Plan"])
    await connection.execute("DEALLOCATE asked")
    return found


def sequential(node: Mapping[str, Any]) -> set[str]:
    found = {node["Relation Name"]} & LARGE if node["Node Type"] == "Seq Scan" else set()
    return found.union(*(sequential(child) for child in node.get("Plans", ())))


def literal(value: Any) -> str:
    """A value as an SQL literal; Postgres infers its type."""
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
            return quoted("{" + ",".join(map(element, value)) + "}")
        case _:
            return quoted(str(value))


def element(value: Any) -> str:
    """A value inside an array literal."""
    if value is None:
        return "NULL"
    text = "\\x" + value.hex() if isinstance(value, bytes) else str(value)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


async def test_no_hot_statement_reads_a_large_table_from_end_to_end(table: Table) -> None:
    found: dict[str, set[str]] = {}
    async with table.database.connection() as connection:
        for name, question in QUESTIONS.items():
            sent = await statements_of(connection, partial(question, table, connection))
            assert sent, name
            for statement in sent:
                if bad := await scans(connection, statement):
                    found[f"{name}: {statement.query}"] = bad

    assert found == {}


async def test_no_page_of_a_users_jobs_reads_the_jobs_of_others(table: Table) -> None:
    sent: list[Statement] = []

    def note(_connection: object, _cursor: object, query: str, parameters: Any, *_: object) -> None:
        sent.append(Statement(query, tuple(parameters)))

    async with table.database.session() as session:
        sqlalchemy.event.listen((await session.connection()).sync_connection, "before_cursor_execute", note)
        for wanted in FILTERS:
            for before in (None, ids.new_id()):
                await queries.jobs(session, table.owner_id, wanted, before=before, limit=21)
    async with table.database.connection() as connection:
        found = {statement.query: await scans(connection, statement) for statement in sent}

    assert len(sent) == 2 * len(FILTERS)
    assert {query: bad for query, bad in found.items() if bad} == {}


async def test_a_page_of_a_users_events_of_one_kind_looks_at_no_other_jobs(table: Table) -> None:
    async with table.database.connection() as connection:
        [statement] = await statements_of(connection, partial(owner_page_of_a_kind, table, connection))

        assert await scans(connection, statement) == set()


async def test_a_scan_would_be_noticed(table: Table) -> None:
    async with table.database.connection() as connection:
        assert await scans(connection, Statement("SELECT * FROM jobs WHERE step = $1", ("x",)))
