"""The search reads a few rows, however many objects a user has and whatever the others have."""

from dataclasses import dataclass
from functools import partial
from uuid import UUID

import asyncpg
import pytest

from app.core import ids
from app.core.database import Database
from app.jobs import selecting
from app.search import queries
from app.search.values import Wanted
from bench import population
from tests.contracts.test_plans import scans, statements_of
from tests.support import jobs

JOBS = 20_000
OWNERS = 20
OBJECTS = 4000
LARGE = {"jobs", "models", "datasets", "schedules"}
READ_FOR_A_SEARCH = 150
"""The newest jobs of the owner are read, too, for the names of their models: there are none in this test."""

# The owner has half of the objects, and half of the models are public.
FILL = """
WITH objects AS (
    SELECT n, 'Name ' || n AS name, ($1::uuid[])[1 + n % 2 * (n % cardinality($1::uuid[]))] AS owner_id
    FROM generate_series(1, $2::int) n
), of_models AS (
    INSERT INTO models (id, owner_id, name, visibility)
    SELECT gen_random_uuid(), owner_id, name, CASE WHEN n % 4 < 2 THEN 'public' ELSE 'private' END
    FROM objects
), of_datasets AS (
    INSERT INTO datasets (id, owner_id, name, format, bytes, sha256, rows, columns, rows_bytes, rows_sha256)
    SELECT gen_random_uuid(), owner_id, name, 'csv', 1, '0', 1, '[]', 1, '0' FROM objects
)
INSERT INTO schedules (id, owner_id, name, trigger, rule, timezone, misfire_grace_seconds, catch_up,
    catch_up_limit, catch_up_window_seconds, overlap, queue_limit, jitter_seconds, kind, job, status,
    next_fire_at)
SELECT gen_random_uuid(), owner_id, name, '{}', '{}', 'UTC', 60, 'last', 10, 86400, 'skip', 1, 0,
    'batch_predict', '{}', 'active', now() FROM objects"""

# How many rows of these tables have statements read so far, by scans and through indexes?
READ = """
SELECT sum(pg_stat_get_tuples_returned(c.oid) + pg_stat_get_tuples_fetched(c.oid))::int
FROM pg_class c WHERE relname = ANY ($1::text[])"""


@dataclass(frozen=True)
class Table:
    """A database with many objects, half of them of one owner."""

    database: Database
    owner_id: UUID
    some_job: UUID


@pytest.fixture
async def table(database: Database) -> Table:
    owners = [await jobs.user(database) for _ in range(OWNERS)]
    async with database.connection() as connection:
        await population.populate(connection, JOBS, owners, ids.new_id())
        await connection.execute(FILL, owners, OBJECTS)
        await connection.execute("VACUUM ANALYZE")
        some_job = await connection.fetchval("SELECT id FROM jobs WHERE owner_id = $1 LIMIT 1", owners[0])
    return Table(database, owners[0], some_job)


async def ask(
    connection: asyncpg.Connection, user_id: UUID, owner_id: UUID | None, text: str
) -> dict[str, int]:
    """How many are found of each."""
    wanted = Wanted(text, selecting.ids_with_prefix(text))
    return {
        "jobs": len(await queries.jobs(connection, owner_id, wanted)),
        "models": len(await queries.models(connection, user_id, wanted)),
        "datasets": len(await queries.datasets(connection, user_id, wanted)),
        "schedules": len(await queries.schedules(connection, owner_id, wanted)),
    }


@pytest.mark.parametrize("whose", ["own", "all"])
async def test_no_search_scans_a_table(table: Table, whose: str) -> None:
    owner_id = table.owner_id if whose == "own" else None
    found: dict[str, set[str]] = {}
    async with table.database.connection() as connection:
        for text in ("name 1", table.some_job.hex[:6], "nothing", "sentiment"):
            sent = await statements_of(connection, partial(ask, connection, table.owner_id, owner_id, text))
            assert len(sent) >= 5
            for statement in sent:
                if bad := await scans(connection, statement, LARGE):
                    found[f"{text}: {statement.query}"] = bad

    assert found == {}


async def test_a_search_by_name_or_id_reads_few_rows(table: Table) -> None:
    async with table.database.connection() as connection:
        await connection.execute("DELETE FROM jobs WHERE owner_id = $1", table.owner_id)
        stranger = await jobs.user(table.database)

        async def read(user_id: UUID, text: str) -> tuple[dict[str, int], int]:
            await connection.execute("SELECT pg_stat_force_next_flush()")
            before = await connection.fetchval(READ, LARGE)
            found = await ask(connection, user_id, user_id, text)
            await connection.execute("SELECT pg_stat_force_next_flush()")
            return found, await connection.fetchval(READ, LARGE) - before

        five = {"jobs": 0, "models": 5, "datasets": 5, "schedules": 5}
        found, rows = await read(table.owner_id, "NAME 1")
        assert (found, rows < READ_FOR_A_SEARCH) == (five, True), rows
        found, rows = await read(stranger, "name")
        assert (found, rows < READ_FOR_A_SEARCH) == ({**dict.fromkeys(five, 0), "models": 5}, True), rows
        found, rows = await read(stranger, table.some_job.hex)
        assert (found, rows < READ_FOR_A_SEARCH) == (dict.fromkeys(five, 0), True), rows
