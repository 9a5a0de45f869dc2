"""The hot statements find what they look for by an index, however many jobs there are.

Not by time, which says nothing on a busy machine: by the plan that Postgres makes on a table that is large
enough for a scan to be the wrong choice. The plan for the values of a call, and the one that Postgres comes
to when a prepared statement has been used a few times.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest
import sqlalchemy.event

from app.attention import queries as needs_attention
from app.core import ids
from app.core.config import ClaimOrder
from app.core.database import Database
from app.core.resources import Resources
from app.jobs import explanations, queries, transitions
from app.jobs.dead_letters import queries as dead_letters
from app.jobs.dead_letters.filters import LetterFilter
from app.jobs.filters import JobFilter
from app.jobs.job import Job
from app.jobs.kinds import batch_predict
from app.jobs.names import names
from app.jobs.queues import queries as queues
from app.jobs.shards import tallies
from app.jobs.shards import transitions as shards
from app.jobs.shards.plan import ShardPlan
from app.jobs.states import Priority, Status
from app.jobs.transition_types import Batch, NewJob, Report
from app.jobs.unit_of_work import UnitOfWork
from app.jobs.workers import commands as workers
from app.jobs.workers.commands import WorkerIdentity
from app.maintenance import commands as maintenance
from app.maintenance.prune import Prune
from app.maintenance.token_refill import TokenRefill
from app.notifications import commands as changes_of_subscriptions
from app.notifications import measuring, outbox, pruning, recording, resealing, taking
from app.notifications import queries as notifications
from app.notifications.cursors import Position
from app.notifications.outbox import Event
from app.notifications.recording import Result, Verdict
from app.notifications.sealing import Sealing
from app.notifications.states import DeliveryStatus, NotificationType
from app.notifications.taking import TakenDelivery
from app.operations import queries as operations
from app.quotas import queries as quotas
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
LARGE = {
    *("jobs", "job_payloads", "job_events", "job_attempts", "job_batches"),
    *("deliveries", "delivery_tries"),
}
SUBSCRIPTIONS_OF_OWNER = 100


SUBSCRIBE = """
INSERT INTO subscriptions (id, owner_id, name, channel, target, events, kind, gather_seconds, status)
SELECT gen_random_uuid(), owner_id, 'CI', 'webhook', '{}', ARRAY['job.completed', 'job.failed'],
    CASE WHEN n % 2 = 0 THEN $3 END, 0, 'active'
FROM unnest($1::uuid[]) owner_id, generate_series(1, $2::int) n"""

# Most have ended, as in a system that has run for long.
DELIVER = """
WITH written AS (
    INSERT INTO deliveries (subscription_id, type, job_id, seq, status, next_try_at, ended_at)
    SELECT s.id, 'job.completed', gen_random_uuid(), 3,
        CASE WHEN s.n % 10 = 0 THEN 'pending' ELSE 'delivered' END,
        CASE WHEN s.n % 10 = 0 THEN now() END, CASE WHEN s.n % 10 <> 0 THEN now() END
    FROM (SELECT id, row_number() OVER () AS n FROM subscriptions) s, generate_series(1, 10)
    RETURNING id, status
)
INSERT INTO delivery_tries (delivery_id, number, at, duration_ms, status)
SELECT id, 1, now(), 5, 200 FROM written WHERE status = 'delivered'"""


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
            f"SELECT *, {names('jobs')} FROM jobs WHERE status = 'pending' AND queue = 'gpu'"
            " ORDER BY sort_key DESC LIMIT 1"
        )
        some = await connection.fetch("SELECT id FROM jobs ORDER BY id LIMIT 50")
        await connection.execute(SUBSCRIBE, owners, SUBSCRIPTIONS_OF_OWNER, KIND, timeout=120)
        await connection.execute(DELIVER, timeout=120)
        await connection.execute("ANALYZE subscriptions, deliveries, delivery_tries")
    assert running is not None
    assert last_in_queue is not None
    return Table(
        resources, owners[0], worker_id, running, Job.from_row(last_in_queue), [row["id"] for row in some]
    )


async def claim(table: Table, connection: asyncpg.Connection) -> object:
    return await transitions.claim(
        UnitOfWork(connection), queue="default", kinds=[KIND], worker_id=table.worker_id, limit=8
    )


async def claim_with_limit(table: Table, connection: asyncpg.Connection) -> object:
    return await transitions.claim(
        UnitOfWork(connection),
        queue="default",
        kinds=[KIND],
        worker_id=table.worker_id,
        limit=1,
        max_running=5,
    )


async def claim_the_rest(table: Table, connection: asyncpg.Connection) -> object:
    """More than there are candidates in turn: the statement for the remainder, too."""
    return await transitions.claim(
        UnitOfWork(connection), queue="gpu", kinds=[KIND], worker_id=table.worker_id, limit=20
    )


async def claim_in_order(table: Table, connection: asyncpg.Connection) -> object:
    return await transitions.claim(
        UnitOfWork(connection),
        queue="default",
        kinds=[KIND],
        worker_id=table.worker_id,
        limit=1,
        max_running=5,
        order=ClaimOrder.PRIORITY,
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


async def divide(table: Table, connection: asyncpg.Connection) -> object:
    await tallies.is_any_parent_open(connection)
    await tallies.slots(connection, "default", 0, timedelta(seconds=6))
    return await transitions.create_all(UnitOfWork(connection), [_job_with_shards(table)])


async def roll_up_and_retry(table: Table, connection: asyncpg.Connection) -> None:
    job = _job_with_shards(table)
    unit = UnitOfWork(connection)
    await transitions.create_all(unit, [job])
    await transitions.cancel(unit, job_id=job.id)
    async with unit.transaction():
        await shards.lock_finished(unit, [job.id])
        await shards.lock(unit, job.id)
        await shards.roll_up(unit, [job.id])
    retry = partial(transitions.retry, unit, job_id=job.id, head_start=timedelta(hours=1))
    assert await retry(from_start=True) is not None
    async with unit.transaction():
        parent_ids = await shards.lock_next(unit, shards.FIRST, limit=20)
        await shards.roll_up(unit, parent_ids)


def _job_with_shards(table: Table) -> NewJob:
    return NewJob(
        id=ids.new_id(),
        owner_id=table.owner_id,
        kind=KIND,
        queue="default",
        priority=Priority.NORMAL,
        head_start=timedelta(hours=1),
        params=msgspec.json.encode(jobs.PARAMS),
        rows=None,
        total=1000,
        metadata={},
        max_attempts=3,
        soft_limit_seconds=60,
        time_limit_seconds=60,
        retention_seconds=60,
        shards=ShardPlan(100, 10),
    )


async def read_job(table: Table, connection: asyncpg.Connection) -> object:
    return await queries.job(connection, table.running["id"], inline_rows=1000)


async def read_jobs(table: Table, connection: asyncpg.Connection) -> object:
    return await queries.jobs_by_id(connection, table.some, inline_rows=1000)


async def read_events(table: Table, connection: asyncpg.Connection) -> object:
    return await queries.events(connection, table.running["id"], after=1)


async def last_seqs(table: Table, connection: asyncpg.Connection) -> object:
    return await queries.last_seqs(connection, table.some)


async def last_transactions(table: Table, connection: asyncpg.Connection) -> object:
    return await owner_log.last_transactions(connection, [table.owner_id])


async def owner_page(table: Table, connection: asyncpg.Connection) -> object:
    return await owner_log.read_many(connection, [(table.owner_id, BEGINNING), (ids.new_id(), BEGINNING)])


async def owner_page_of_a_kind(table: Table, connection: asyncpg.Connection) -> object:
    return await owner_log.read(connection, table.owner_id, BEGINNING, EventFilter(kind=KIND))


async def explain(table: Table, connection: asyncpg.Connection) -> object:
    return await explanations.explain(connection, table.last_in_queue, jobs.CONDITIONS)


async def explain_in_order(table: Table, connection: asyncpg.Connection) -> object:
    return await explanations.explain(
        connection, table.last_in_queue, replace(jobs.CONDITIONS, order=ClaimOrder.PRIORITY)
    )


async def attention(table: Table, connection: asyncpg.Connection) -> object:
    return await needs_attention.of_jobs(connection, table.owner_id, timedelta(seconds=6))


async def attention_of_all(table: Table, connection: asyncpg.Connection) -> object:
    return await needs_attention.of_jobs(connection, None, timedelta(seconds=6))


async def heartbeat(table: Table, connection: asyncpg.Connection) -> object:
    identity = WorkerIdentity(table.worker_id, "bench", "here", 1, ("default",), (KIND,), 2)
    return await workers.renew(connection, identity)


async def count_active(table: Table, connection: asyncpg.Connection) -> object:
    return await quotas.active_jobs(connection, table.owner_id, limit=50_000)


async def wake(table: Table, connection: asyncpg.Connection) -> None:
    resources = table.resources
    await TokenRefill(resources.redis_pool, resources.redis, resources.hints)(connection)


async def prune(table: Table, connection: asyncpg.Connection) -> object:
    resources = table.resources
    # As small a part of this table as a thousand are of a large one.
    return await Prune(resources.settings, resources.storage, jobs_at_once=JOBS // 1000)(connection)


async def dead_letter_page(table: Table, connection: asyncpg.Connection) -> object:
    return await dead_letters.page(connection, table.owner_id, before=None, limit=21)


async def summarize_dead_letters(table: Table, connection: asyncpg.Connection) -> object:
    return await dead_letters.summary(connection, table.owner_id)


async def select_dead_letters(table: Table, connection: asyncpg.Connection) -> object:
    wanted = LetterFilter(code="time_limit", failed_before=datetime.now(UTC))
    await dead_letters.matched(connection, table.owner_id, wanted, limit=10_001)
    return await dead_letters.dead_letters(
        connection, table.owner_id, None, 1000, wanted=wanted, only_retryable=True
    )


async def count_running(_table: Table, connection: asyncpg.Connection) -> object:
    return await queues.running(connection)


async def measure_queues(_table: Table, connection: asyncpg.Connection) -> None:
    await maintenance.measure(connection, totals_after=timedelta(0))


async def scrape(_table: Table, connection: asyncpg.Connection) -> object:
    return await operations.samples(connection, queues=["default"], lease=timedelta(seconds=6))


async def look_for_deliveries(_table: Table, connection: asyncpg.Connection) -> object:
    return await taking.is_any_due(connection, now=None)


async def take_deliveries(_table: Table, connection: asyncpg.Connection) -> object:
    return await _take(connection)


async def _take(connection: asyncpg.Connection) -> list[TakenDelivery]:
    return await taking.take(
        connection,
        channel="webhook",
        rooms={},
        room=8,
        limit=8,
        after=UUID(int=0),
        key_names=["key"],
        public_url=None,
        now=None,
    )


async def record_deliveries(_table: Table, connection: asyncpg.Connection) -> object:
    results = [
        Result(
            position=position,
            delivery_id=delivery.id,
            tries=delivery.tries,
            verdict=Verdict.RETRY,
            at=delivery.taken_at,
        )
        for position, delivery in enumerate(await _take(connection))
    ]
    return await recording.record(connection, results, now=None)


async def drop_deliveries(_table: Table, connection: asyncpg.Connection) -> object:
    return await taking.drop_of_disabled(connection, limit=1000, now=None)


async def prune_deliveries(_table: Table, connection: asyncpg.Connection) -> object:
    return await pruning.prune(connection, timedelta(days=30), limit=100)


async def write_event_of_schedule(table: Table, connection: asyncpg.Connection) -> object:
    event = Event(owner_id=table.owner_id, type=NotificationType.SCHEDULE_MISSED, data={})
    return await outbox.add(connection, [event] * 20)


async def reseal_secrets(table: Table, connection: asyncpg.Connection) -> object:
    sealing = Sealing(table.resources.settings)
    await resealing.disable_lost(connection, sealing)
    return await resealing.reseal(connection, sealing)


async def find_oldest_delivery(_table: Table, connection: asyncpg.Connection) -> object:
    return await measuring.oldest(connection)


async def _subscription(table: Table, connection: asyncpg.Connection) -> UUID:
    found: UUID = await connection.fetchval(
        "SELECT id FROM subscriptions WHERE owner_id = $1 ORDER BY id LIMIT 1", table.owner_id
    )
    return found


async def list_subscriptions(table: Table, connection: asyncpg.Connection) -> object:
    return await notifications.page(
        connection, table.owner_id, status=None, channel=None, before=None, limit=20
    )


async def read_subscription(table: Table, connection: asyncpg.Connection) -> object:
    return await notifications.state(connection, table.owner_id, await _subscription(table, connection))


async def list_deliveries(table: Table, connection: asyncpg.Connection) -> object:
    before = Position(datetime.now(UTC), ids.new_id())
    return [
        await notifications.deliveries(connection, table.owner_id, status=status, before=at, limit=20)
        for status in (None, *DeliveryStatus)
        for at in (None, before)
    ]


async def list_deliveries_of_one(table: Table, connection: asyncpg.Connection) -> object:
    found = await _subscription(table, connection)
    return [
        await notifications.deliveries_of(
            connection, table.owner_id, found, status=status, before=None, limit=20
        )
        for status in (None, *DeliveryStatus)
    ]


async def read_delivery(table: Table, connection: asyncpg.Connection) -> object:
    found = await _subscription(table, connection)
    page = await notifications.deliveries_of(
        connection, table.owner_id, found, status=None, before=None, limit=1
    )
    [delivery] = page.items
    await notifications.delivery(connection, table.owner_id, delivery.id, public_url=None)
    await notifications.tries(connection, delivery.id)
    return await notifications.outcome_of_test(connection, delivery.id)


async def replay_deliveries(table: Table, connection: asyncpg.Connection) -> object:
    return await changes_of_subscriptions.replay_many(
        connection,
        table.owner_id,
        await _subscription(table, connection),
        status=DeliveryStatus.FAILED,
        since=datetime(2020, 1, 1, tzinfo=UTC),
        until=None,
    )


async def send_test(table: Table, connection: asyncpg.Connection) -> object:
    found = await _subscription(table, connection)
    return await changes_of_subscriptions.write_test(connection, table.owner_id, found)


QUESTIONS: Mapping[str, Question] = {
    question.__name__: question
    for question in (
        claim,
        claim_with_limit,
        claim_the_rest,
        claim_in_order,
        advance,
        fail,
        rescue,
        cancel,
        divide,
        roll_up_and_retry,
        read_job,
        read_jobs,
        read_events,
        last_seqs,
        last_transactions,
        owner_page,
        explain,
        explain_in_order,
        attention,
        attention_of_all,
        heartbeat,
        count_active,
        wake,
        prune,
        dead_letter_page,
        summarize_dead_letters,
        select_dead_letters,
        count_running,
        measure_queues,
        scrape,
        look_for_deliveries,
        take_deliveries,
        record_deliveries,
        drop_deliveries,
        prune_deliveries,
        write_event_of_schedule,
        reseal_secrets,
        find_oldest_delivery,
        list_subscriptions,
        read_subscription,
        list_deliveries,
        list_deliveries_of_one,
        read_delivery,
        replay_deliveries,
        send_test,
    )
}

FILTERS = (
    JobFilter(),
    JobFilter(statuses=(Status.FAILED,)),
    JobFilter(statuses=(Status.PENDING, Status.RUNNING, Status.CANCELLED)),
    JobFilter(prefix="0000"),
    JobFilter(kind=KIND),
    JobFilter(queue="gpu"),
    JobFilter(model="model_0"),
    JobFilter(metadata={"team": "team_0"}),
    JobFilter(created_after=datetime(2020, 1, 1, tzinfo=UTC)),
    JobFilter(schedule_id=ids.new_id()),
    JobFilter(group_id=UUID(int=1)),
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


async def scans(
    connection: asyncpg.Connection, statement: Statement, large: Collection[str] = LARGE
) -> set[str]:
    """The large tables that Postgres would scan, with a custom or a generic plan."""
    found: set[str] = set()
    await connection.execute("SET enable_seqscan = on")  # which would hide that an index is missing
    # In SQL, because what asyncpg prepares itself cannot be explained.
    await connection.execute(f"PREPARE asked AS {statement.query}")
    values = ", ".join(literal(argument) for argument in statement.arguments)
    execute = f"EXECUTE asked({values})" if values else "EXECUTE asked"
    for _ in range(SETTLED_AFTER):
        [row] = await connection.fetch(f"EXPLAIN (FORMAT JSON) {execute}")
        [plan] = row[0]
        found |= sequential(plan["Plan"]).intersection(large)
    await connection.execute("DEALLOCATE asked; RESET enable_seqscan")
    return found


def sequential(node: Mapping[str, Any]) -> set[str]:
    found = {node["Relation Name"]} if node["Node Type"] == "Seq Scan" else set()
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


async def claim_first(table: Table, connection: asyncpg.Connection) -> object:
    """The job that is first in turn, and the one that is first in order."""
    ask = partial(transitions.claim, queue="default", kinds=[KIND], worker_id=table.worker_id, limit=1)
    in_turn = await ask(UnitOfWork(connection))
    return in_turn + await ask(UnitOfWork(connection), order=ClaimOrder.PRIORITY)


async def test_the_statements_of_every_job_are_planned_once(table: Table) -> None:
    """Planning a claim takes longer than the claim."""
    async with table.database.connection() as connection:
        for question in (claim_first, claim_with_limit, advance, cancel, fail, read_job):
            for _ in range(3 * SETTLED_AFTER):
                transaction = connection.transaction()
                await transaction.start()
                await question(table, connection)
                await transaction.rollback()
        planned = await connection.fetch(
            "SELECT statement, custom_plans FROM pg_prepared_statements WHERE custom_plans > $1",
            SETTLED_AFTER,
        )

    assert [row["statement"] for row in planned] == []


@pytest.mark.parametrize("transition", [claim, advance, fail, cancel, write_event_of_schedule])
async def test_an_event_is_not_compared_with_the_subscriptions_of_other_users(
    table: Table, transition: Question
) -> None:
    async with table.database.connection() as connection:
        sent = await statements_of(connection, partial(transition, table, connection))

        assert sent
        assert [await scans(connection, statement, {"subscriptions"}) for statement in sent] == [set()] * len(
            sent
        )


async def test_no_page_of_a_users_jobs_reads_the_jobs_of_others(table: Table) -> None:
    sent: list[Statement] = []

    def note(_connection: object, _cursor: object, query: str, parameters: Any, *_: object) -> None:
        sent.append(Statement(query, tuple(parameters)))

    async with table.database.session() as session:
        sqlalchemy.event.listen((await session.connection()).sync_connection, "before_cursor_execute", note)
        for wanted in FILTERS:
            for before in (None, ids.new_id()):
                await queries.jobs(session, table.owner_id, wanted, before=before, limit=21)
            await queries.counts(session, table.owner_id, wanted)
    async with table.database.connection() as connection:
        found = {statement.query: await scans(connection, statement) for statement in sent}

    assert len(sent) == 3 * len(FILTERS)
    assert {query: bad for query, bad in found.items() if bad} == {}


async def test_a_page_of_a_users_events_of_one_kind_looks_at_no_other_jobs(table: Table) -> None:
    async with table.database.connection() as connection:
        [statement] = await statements_of(connection, partial(owner_page_of_a_kind, table, connection))

        assert await scans(connection, statement) == set()


async def test_a_scan_would_be_noticed(table: Table) -> None:
    async with table.database.connection() as connection:
        assert await scans(connection, Statement("SELECT * FROM jobs WHERE step = $1", ("x",)))
