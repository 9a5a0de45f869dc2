"""Figures and the fold read statistics and what has just ended, never all jobs or all attempts."""

from collections.abc import Awaitable, Callable
from functools import partial
from uuid import UUID

import asyncpg
import pytest

from app.analytics import overview, performance, queries
from app.analytics.facts import ALL_USERS
from app.analytics.ranges import By, OverviewRange, TimeRange
from app.core import ids
from app.core.database import Database
from app.jobs import active
from bench import population
from tests.contracts.test_plans import scans, statements_of
from tests.support import jobs, statistics

JOBS = 20_000
OWNERS = 20
LARGE = {"jobs", "job_attempts", "job_events"}

# The last attempts are not folded yet.
RECENT = """
INSERT INTO job_attempts (job_id, attempt, kind, queue, worker_id, due_at, started_at, outcome, owner_id,
    job_status, rows)
SELECT id, 100, kind, queue, gen_random_uuid(), now(), now(), 'released', owner_id, 'pending', 1
FROM jobs ORDER BY id DESC LIMIT 20"""

Question = Callable[[UUID, asyncpg.Connection], Awaitable[object]]


def stats(by: By | None, wanted: TimeRange) -> Question:
    async def ask(owner_id: UUID, connection: asyncpg.Connection) -> object:
        return await queries.statistics(connection, owner_id, wanted, by)

    return ask


async def peak(owner_id: UUID, connection: asyncpg.Connection) -> object:
    since = (await queries.statistics(connection, owner_id, TimeRange.DAY)).since
    return await queries.peak(connection, owner_id, since)


async def minutes(owner_id: UUID, connection: asyncpg.Connection) -> object:
    return await performance.minutes(connection, owner_id)


async def buckets(owner_id: UUID, connection: asyncpg.Connection) -> object:
    return await overview.buckets(connection, owner_id, OverviewRange.DAY)


async def marks(owner_id: UUID, connection: asyncpg.Connection) -> object:
    since = (await queries.statistics(connection, owner_id, TimeRange.DAY)).since
    return await overview.marks(connection, owner_id, since)


async def running(owner_id: UUID, connection: asyncpg.Connection) -> object:
    return await active.running(
        connection, None if owner_id == ALL_USERS else owner_id, before=None, limit=21
    )


async def fold(_owner_id: UUID, connection: asyncpg.Connection) -> object:
    async with connection.transaction():
        return await statistics.AT_ONCE.fold(connection)


QUESTIONS: dict[str, Question] = {
    **{f"by {by}": stats(by, TimeRange.DAY) for by in (None, *By)},
    "all": stats(None, TimeRange.ALL),
    "peak": peak,
    "minutes": minutes,
    "buckets": buckets,
    "marks": marks,
    "running": running,
}


@pytest.fixture
async def owner_id(database: Database) -> UUID:
    owners = [await jobs.user(database) for _ in range(OWNERS)]
    async with database.connection() as connection:
        await population.populate(connection, JOBS, owners, ids.new_id())
    await statistics.fold(database)
    async with database.connection() as connection:
        await connection.execute(RECENT)
        await connection.execute("VACUUM ANALYZE", timeout=600)
    return owners[0]


async def test_no_figure_reads_a_large_table_from_end_to_end(database: Database, owner_id: UUID) -> None:
    found: dict[str, set[str]] = {}
    async with database.connection() as connection:
        for name, question in {**QUESTIONS, "fold": fold}.items():
            for owner in (owner_id, ALL_USERS):
                sent = await statements_of(connection, partial(question, owner, connection))
                assert sent, name
                for statement in sent:
                    if bad := await scans(connection, statement, LARGE):
                        found[f"{name}: {statement.query}"] = bad

    assert found == {}
