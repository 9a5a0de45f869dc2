"""Requests find schedules, firings and their jobs by an index, however many there are."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import asyncpg
import pytest

from app.core import ids
from app.core.database import Database
from app.schedules import commands, queries
from app.schedules.queries import ScheduleFilter
from app.schedules.states import ScheduleStatus
from bench import population
from tests.contracts import test_plans
from tests.contracts.test_plans import Statement, scans, statements_of
from tests.support import jobs

JOBS = 20_000
OWNERS = 20
SCHEDULES = 4000
BUSY = 100
"""So many schedules have all jobs and firings."""

LARGE = test_plans.LARGE | {"schedules", "schedule_firings"}

_SCHEDULES = """
INSERT INTO schedules (id, owner_id, name, group_name, trigger, rule, timezone, misfire_grace_seconds,
    catch_up, catch_up_limit, catch_up_window_seconds, overlap, queue_limit, jitter_seconds, kind, job,
    status, next_fire_at)
SELECT gen_random_uuid(), ($1::uuid[])[1 + n % cardinality($1::uuid[])], 'schedule ' || n, 'group_' || n % 7,
    '{}', '{}', 'UTC', 60, 'last', 10, 86400, 'skip', 1, 0, 'batch_predict', '{}', 'active',
    now() + make_interval(mins => n)
FROM generate_series(1, $2::int) n"""

_FIRINGS = """
INSERT INTO schedule_firings (schedule_id, fire_at, outcome)
SELECT s.id, timestamptz '2026-01-01' + make_interval(mins => n), 'fired'
FROM unnest($1::uuid[]) s (id) CROSS JOIN generate_series(1, $2::int) n"""

_OF_SCHEDULES = """
WITH numbered AS (SELECT id, row_number() OVER (ORDER BY id) AS number FROM jobs)
UPDATE jobs j SET schedule_id = ($1::uuid[])[1 + n.number % cardinality($1::uuid[])], fire_at = j.created_at
FROM numbered n WHERE n.id = j.id"""


@dataclass(frozen=True)
class Table:
    """A database with many schedules, one of which has as many jobs and firings as 99 others."""

    database: Database
    owner_id: UUID
    schedule_id: UUID


Question = Callable[[Table, asyncpg.Connection], Awaitable[object]]


@pytest.fixture
async def table(database: Database) -> Table:
    owners = [await jobs.user(database) for _ in range(OWNERS)]
    async with database.connection() as connection:
        await population.populate(connection, JOBS, owners, ids.new_id())
        await connection.execute(_SCHEDULES, owners, SCHEDULES)
        found = await connection.fetch("SELECT id, owner_id FROM schedules ORDER BY id LIMIT $1", BUSY)
        busy = [row["id"] for row in found]
        await connection.execute(_FIRINGS, busy, JOBS // BUSY)
        await connection.execute("ALTER TABLE jobs DISABLE TRIGGER USER")  # it keeps ended jobs as they are
        await connection.execute(_OF_SCHEDULES, busy)
        await connection.execute("ALTER TABLE jobs ENABLE TRIGGER USER")
        await connection.execute("VACUUM ANALYZE")
    return Table(database, found[0]["owner_id"], busy[0])


async def page(table: Table, connection: asyncpg.Connection) -> None:
    for wanted in (ScheduleFilter(), ScheduleFilter(status=ScheduleStatus.ACTIVE, group="group_1")):
        await queries.page(connection, table.owner_id, wanted, before=None, limit=20)


async def page_of_all(_table: Table, connection: asyncpg.Connection) -> object:
    return await queries.page(connection, None, ScheduleFilter(), before=ids.new_id(), limit=20)


async def one(table: Table, connection: asyncpg.Connection) -> None:
    await queries.schedule(connection, None, table.schedule_id)
    await queries.schedule_by_name(connection, table.owner_id, "schedule 7")
    await queries.schedule_by_key(connection, table.owner_id, "key")
    await queries.count(connection, table.owner_id)


async def activity(table: Table, connection: asyncpg.Connection) -> None:
    await queries.activity(connection, table.schedule_id)
    await queries.is_busy(connection, table.schedule_id)
    await queries.active_jobs(connection, table.schedule_id, after=None, limit=1000)


async def firings(table: Table, connection: asyncpg.Connection) -> None:
    for before in (None, datetime(2026, 1, 1, 2, tzinfo=UTC)):
        await queries.firings(connection, table.schedule_id, before=before, limit=20)


async def groups(table: Table, connection: asyncpg.Connection) -> None:
    await queries.groups(connection, table.owner_id)
    await queries.ids_of_group(connection, table.owner_id, "group_1")
    await queries.summaries(connection, table.owner_id, group=None)
    await queries.totals(connection, table.owner_id)


async def deletion(table: Table, connection: asyncpg.Connection) -> None:
    await commands.lock(connection, table.schedule_id)
    await commands.delete_firings(connection, table.schedule_id, limit=10)


QUESTIONS: Mapping[str, Question] = {
    question.__name__: question for question in (page, page_of_all, one, activity, firings, groups, deletion)
}


async def test_no_request_reads_all_schedules_firings_or_jobs(table: Table) -> None:
    found: dict[str, set[str]] = {}
    async with table.database.connection() as connection:
        for name, question in QUESTIONS.items():
            sent = await statements_of(connection, partial(question, table, connection))
            assert sent, name
            for statement in sent:
                if bad := await scans(connection, statement, LARGE):
                    found[f"{name}: {statement.query}"] = bad

    assert found == {}


async def test_a_scan_of_firings_would_be_noticed(table: Table) -> None:
    async with table.database.connection() as connection:
        statement = Statement("SELECT * FROM schedule_firings WHERE job_id = $1", (ids.new_id(),))

        assert await scans(connection, statement, LARGE) == {"schedule_firings"}
