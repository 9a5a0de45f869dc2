"""The two functions that an autoscaler calls: slots needed, and how long the next job has been due."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from app.core.database import Database
from app.core.resources import Resources
from app.jobs import lane
from tests.support import jobs, rows

AN_HOUR = timedelta(hours=1)


@pytest.fixture
def database(resources: Resources) -> Database:
    return resources.database


async def slots_needed(database: Database, *queues: str, at_most: int = 42) -> float:
    async with database.connection() as connection:
        found = await connection.fetchval("SELECT headrace_slots_needed($1, $2)", list(queues), at_most)
    assert isinstance(found, float)
    return found


async def head_waited(database: Database, *queues: str) -> float:
    async with database.connection() as connection:
        found = await connection.fetchval("SELECT headrace_head_waited_seconds($1)", list(queues))
    assert isinstance(found, float)
    return found


async def test_an_empty_and_an_unknown_queue_need_nothing(database: Database) -> None:
    assert await slots_needed(database, "default") == 0
    assert await slots_needed(database, "unknown") == 0
    assert await slots_needed(database) == 0
    assert await head_waited(database, "default", "unknown") == 0


async def test_due_and_running_jobs_need_a_slot_each_and_delayed_jobs_none(database: Database) -> None:
    worker_id = await jobs.worker(database, slots=2)
    await jobs.create(database)
    await jobs.claim(database, worker_id)
    assert await slots_needed(database, "default") == 1  # running only

    await jobs.create(database)
    await jobs.create(database, delay=AN_HOUR)
    await jobs.create(database, queue="other")

    assert await slots_needed(database, "default") == 2
    assert await slots_needed(database, "default", "other") == 3
    assert await slots_needed(database, "default", "default") == 2
    assert await slots_needed(database, "default", at_most=1) == 1
    assert await slots_needed(database, "default", at_most=-1) == 0


async def test_due_jobs_of_a_paused_queue_need_no_slot_and_running_ones_do(database: Database) -> None:
    worker_id = await jobs.worker(database)
    await jobs.create(database)
    await jobs.claim(database, worker_id)
    await jobs.create(database)
    await jobs.create(database, queue="other")
    await rows.execute(database, "UPDATE jobs SET run_at = run_at - interval '1 minute'")
    await rows.execute(
        database, "INSERT INTO paused_queues (name, reason) VALUES ('default', 'New drivers.')"
    )

    assert await slots_needed(database, "default") == 1
    assert await slots_needed(database, "default", "other") == 2
    assert await head_waited(database, "default") == 0
    assert await head_waited(database, "default", "other") >= 60

    await rows.execute(database, "DELETE FROM paused_queues")
    assert await slots_needed(database, "default") == 2
    assert await head_waited(database, "default") >= 60


async def test_shards_need_a_slot_each_and_their_parent_none(database: Database) -> None:
    parent_id = await jobs.sharded(database, shards=3)
    assert await slots_needed(database, "default") == 3

    claimed = await jobs.claim_all(database, await jobs.worker(database))
    await jobs.roll_up(database, parent_id)
    assert await slots_needed(database, "default") == 3
    await rows.execute(database, "UPDATE jobs SET run_at = run_at - interval '1 minute'")
    assert await head_waited(database, "default") == 0

    for job in claimed:
        await jobs.complete(database, job)
    assert await slots_needed(database, "default") == 0


async def test_a_prediction_needs_no_slot_while_the_lane_has_room(database: Database) -> None:
    worker_id = await jobs.worker(database, slots=1, predict_slots=1)
    await jobs.create(database)
    await jobs.create(database, queue=lane.QUEUE)
    await jobs.claim(database, worker_id, queue=lane.QUEUE)
    assert await slots_needed(database, "default", lane.QUEUE) == 1

    await jobs.create(database, queue=lane.QUEUE)
    assert await slots_needed(database, "default", lane.QUEUE) == 2

    await jobs.expire_lease(database, worker_id, unseen=timedelta(minutes=2))
    assert await slots_needed(database, "default", lane.QUEUE) == 3


async def test_a_delayed_job_alone_needs_nothing_and_does_not_wait(database: Database) -> None:
    await jobs.create(database, delay=AN_HOUR)

    assert await slots_needed(database, "default") == 0
    assert await head_waited(database, "default") == 0


async def test_the_count_ends_at_the_bound(database: Database) -> None:
    owner = await jobs.user(database)
    await jobs.create(database, owner)
    async with database.connection() as connection:
        await connection.execute(_COPIES, 9999)

    assert await slots_needed(database, "default", at_most=20_000) == 10_000
    assert await slots_needed(database, "default", at_most=42) == 42


async def test_the_wait_is_that_of_the_job_that_is_next_in_line(database: Database) -> None:
    early = datetime.now(UTC) - timedelta(seconds=5)
    await jobs.create(database)
    await jobs.create(database, queue="other")
    async with database.connection() as connection:
        await connection.execute("UPDATE jobs SET run_at = $1, sort_key = $1 WHERE queue = 'other'", early)

    assert 0 <= await head_waited(database, "default") < 5
    assert 5 <= await head_waited(database, "other") < 300
    assert 5 <= await head_waited(database, "default", "other") < 300


async def test_neither_reads_a_table_from_end_to_end(database: Database) -> None:
    """Over many ended jobs and many that are not due, as the planner sees them."""
    owner = await jobs.user(database)
    await jobs.create(database, owner, delay=AN_HOUR)
    async with database.connection() as connection:
        await connection.execute(_COPIES, 20000)
        await connection.execute("ANALYZE jobs")
        before = await _rows_scanned(connection)
        await connection.fetchval("SELECT headrace_slots_needed(ARRAY['default'], 42)")
        await connection.fetchval("SELECT headrace_head_waited_seconds(ARRAY['default'])")
        after = await _rows_scanned(connection)

    assert after == before


# Copies of the one job that is there.
_COPIES = """
INSERT INTO jobs (id, owner_id, kind, queue, priority, sort_key, params, metadata, max_attempts, run_at,
    soft_limit_seconds, time_limit_seconds, retention_seconds, last_seq)
SELECT gen_random_uuid(), owner_id, kind, queue, priority, sort_key, params, metadata, max_attempts, run_at,
    soft_limit_seconds, time_limit_seconds, retention_seconds, 1
FROM jobs, generate_series(1, $1)"""


async def _rows_scanned(connection: asyncpg.Connection) -> int:
    """How many rows of the table were read in sequential scans, up to now."""
    await connection.execute("SELECT pg_stat_force_next_flush()")
    read = await connection.fetchval("SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'jobs'")
    assert isinstance(read, int)
    return read
