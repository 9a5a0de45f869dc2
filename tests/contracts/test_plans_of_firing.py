"""The statements of the firing loop find what they look for by an index, however many schedules there are."""

from datetime import timedelta
from functools import partial
from typing import Final
from uuid import UUID

import asyncpg
import pytest

from app.core.config import Settings
from app.core.database import Database
from app.jobs.kinds import registry
from app.jobs.quota import Quota
from app.jobs.unit_of_work import UnitOfWork
from app.schedules import commands
from app.schedules.firing import Dispatcher
from tests.contracts.test_plans import Question, Statement, Table, scans, statements_of, table
from tests.support import schedules

__all__ = ["table"]  # the fixture

SCHEDULES: Final = 4000
FIRINGS: Final = 10
LARGE: Final = {"jobs", "job_events", "schedules", "schedule_firings"}

# Copies of a schedule. One in a thousand is due, one in ten is paused, one in 500 was computed with old data.
_SCHEDULES: Final = """
INSERT INTO schedules (
    id, owner_id, name, trigger, rule, timezone, tz_version, misfire_grace_seconds, catch_up, catch_up_limit,
    catch_up_window_seconds, overlap, queue_limit, jitter_seconds, kind, job, status, next_fire_at,
    pause_after_failures)
SELECT uuidv7(), s.owner_id, 'copy ' || n, s.trigger, s.rule, s.timezone,
    CASE WHEN n % 500 = 1 THEN '1999a' ELSE '9999z' END, s.misfire_grace_seconds, s.catch_up,
    s.catch_up_limit, s.catch_up_window_seconds, s.overlap, s.queue_limit, s.jitter_seconds, s.kind, s.job,
    CASE WHEN n % 10 = 1 THEN 'paused' ELSE 'active' END,
    CASE WHEN n % 10 = 1 THEN NULL WHEN n % 1000 = 0 THEN now() - interval '1 s'
        ELSE now() + make_interval(secs => n) END,
    3
FROM schedules s CROSS JOIN generate_series(1, $1::int) n"""

# One firing in two thousand waits.
_FIRINGS: Final = """
INSERT INTO schedule_firings (schedule_id, fire_at, outcome, at)
SELECT s.id, now() - make_interval(hours => n),
    CASE WHEN n = 1 AND row_number() OVER (ORDER BY n, s.id) % 200 = 0 THEN 'waiting' ELSE 'fired' END,
    now() - make_interval(days => n)
FROM schedules s CROSS JOIN generate_series(1, $1::int) n"""

# Each schedule has some of the jobs.
_JOBS: Final = """
UPDATE jobs j SET schedule_id = s.id FROM (
    SELECT id, row_number() OVER (ORDER BY id) AS number FROM schedules) s
WHERE j.status <> 'running'
    AND s.number = 1 + ('x' || substr(md5(j.id::text), 1, 6))::bit(24)::int % $1::int"""


async def populate(database: Database, owner_id: UUID) -> None:
    await schedules.add(database, owner_id, next_fire_at=None)
    async with database.transaction() as connection:
        await connection.execute(_SCHEDULES, SCHEDULES)
        await connection.execute(_FIRINGS, FIRINGS)
        await connection.execute("ALTER TABLE jobs DISABLE TRIGGER jobs_guard")
        await connection.execute(_JOBS, SCHEDULES)
        await connection.execute("ALTER TABLE jobs ENABLE TRIGGER jobs_guard")
    async with database.connection() as connection:
        await connection.execute("ANALYZE schedules, schedule_firings, jobs")


@pytest.fixture
async def dispatcher(settings: Settings, table: Table) -> Dispatcher:
    await populate(table.database, table.owner_id)
    return Dispatcher(settings, registry.BUILT_IN, Quota(table.database, 100_000), schedules_at_once=5)


async def test_no_statement_of_the_loop_reads_a_large_table_from_end_to_end(
    table: Table, dispatcher: Dispatcher
) -> None:
    async def look(_table: Table, connection: asyncpg.Connection) -> object:
        return await dispatcher.look(connection)

    async def fire(_table: Table, connection: asyncpg.Connection) -> object:
        fired = await dispatcher.fire(UnitOfWork(connection))
        assert fired.outcomes
        return fired

    async def promote(_table: Table, connection: asyncpg.Connection) -> object:
        promoted = await dispatcher.promote(UnitOfWork(connection))
        assert promoted.schedules
        return promoted

    async def renew(_table: Table, connection: asyncpg.Connection) -> None:
        await dispatcher.renew(connection)

    async def prune(_table: Table, connection: asyncpg.Connection) -> None:
        await commands.prune_firings(connection, timedelta(days=FIRINGS), limit=10)

    found: dict[str, set[str]] = {}
    questions: list[Question] = [look, fire, promote, renew, prune]
    async with table.database.connection() as connection:
        for question in questions:
            async with connection.transaction():
                sent = await statements_of(connection, partial(question, table, connection))
            assert sent, question.__name__
            for statement in sent:
                if bad := await scans(connection, statement, LARGE):
                    found[f"{question.__name__}: {statement.query}"] = bad

    assert found == {}


async def test_a_scan_of_schedules_would_be_noticed(table: Table, dispatcher: Dispatcher) -> None:
    async with table.database.connection() as connection:
        assert await scans(connection, Statement("SELECT * FROM schedules WHERE fired = $1", (7,)), LARGE)
