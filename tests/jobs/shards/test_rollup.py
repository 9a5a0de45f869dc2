"""Rolling up at once: when the last shard ends, and when a job is cancelled."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.core.database import Database
from app.core.resources import Resources
from app.jobs.shards import rollup
from app.jobs.unit_of_work import UnitOfWork
from app.maintenance.roll_up import RollUp
from tests.support import invariants, jobs, rows
from worker.report_writer import ReportWriter


async def test_the_worker_that_ends_the_last_shard_ends_the_job(
    resources: Resources, database: Database
) -> None:
    parent_id = await jobs.sharded(database, shards=2)
    worker_id = await jobs.worker(database)
    [first, second] = await jobs.claim_all(database, worker_id)

    [last] = (await jobs.advance(database, jobs.report(first, count=2, is_final=True))).values()
    await rollup.roll_up_finished(database, resources.hints, [last])
    assert (await rows.job(database, parent_id))["status"] == "pending"
    [last] = (await jobs.advance(database, jobs.report(second, count=2, is_final=True))).values()
    await rollup.roll_up_finished(database, resources.hints, [last])

    assert (await rows.job(database, parent_id))["status"] == "completed"
    await invariants.all_hold(database, predict=jobs.prediction)


async def test_a_report_writer_rolls_up_whichever_way_the_last_shard_ends(
    resources: Resources, database: Database
) -> None:
    parent_id = await jobs.sharded(database, shards=2, max_failed=1)
    worker_id = await jobs.worker(database)
    [first, second] = await jobs.claim_all(database, worker_id)
    await jobs.complete(database, first)

    await ReportWriter(database, resources.hints, worker_id).fail(
        job_id=second.id,
        attempt=second.attempt,
        error=jobs.ERROR,
        traceback=None,
        is_retryable=False,
        delay_seconds=0.0,
    )

    assert (await rows.job(database, parent_id))["status"] == "failed"
    await invariants.all_hold(database)


async def test_a_roll_up_that_postgres_refuses_is_left_to_the_loop_and_fails_no_attempt(
    resources: Resources, database: Database
) -> None:
    parent_id = await jobs.sharded(database, shards=2, max_failed=1)
    worker_id = await jobs.worker(database)
    [first, second] = await jobs.claim_all(database, worker_id)
    await jobs.complete(database, first)
    async with refused(database, "shards IS NULL OR status = 'pending'"):
        await ReportWriter(database, resources.hints, worker_id).fail(
            job_id=second.id,
            attempt=second.attempt,
            error=jobs.ERROR,
            traceback=None,
            is_retryable=False,
            delay_seconds=0.0,
        )

    assert (await rows.job(database, second.id))["status"] == "failed"
    assert (await rows.job(database, parent_id))["status"] == "pending"
    await jobs.roll_up(database, parent_id)
    assert (await rows.job(database, parent_id))["status"] == "failed"
    await invariants.all_hold(database)


@asynccontextmanager
async def refused(database: Database, unless: str) -> AsyncIterator[None]:
    """Have Postgres refuse jobs, in the body, that are not like this."""
    await rows.execute(database, f"ALTER TABLE jobs ADD CONSTRAINT refused CHECK ({unless}) NOT VALID")
    try:
        yield
    finally:
        await rows.execute(database, "ALTER TABLE jobs DROP CONSTRAINT refused")


async def test_a_parent_that_postgres_refuses_holds_up_no_other(
    resources: Resources, database: Database
) -> None:
    stuck, *others = [await jobs.sharded(database, shards=2) for _ in range(3)]
    for job in await jobs.claim_all(database, await jobs.worker(database)):
        await jobs.complete(database, job)
    roll_up = RollUp(resources.hints)

    async with refused(database, f"id <> '{stuck}' OR status = 'pending'"):
        for _ in range(2):
            async with database.transaction() as connection:
                await roll_up(connection)
        statuses = [(await rows.job(database, parent_id))["status"] for parent_id in (stuck, *others)]
    async with database.transaction() as connection:
        await roll_up(connection)

    assert statuses == ["pending", "completed", "completed"]
    assert (await rows.job(database, stuck))["status"] == "completed"
    await invariants.all_hold(database, predict=jobs.prediction)


async def test_a_parent_that_is_being_rolled_up_is_not_waited_for(
    resources: Resources, database: Database
) -> None:
    parent_id = await jobs.sharded(database, shards=2)
    claimed = await jobs.claim_all(database, await jobs.worker(database))
    results = [await jobs.complete(database, job) for job in claimed]
    async with rows.transaction(database) as connection:
        await connection.execute("SELECT FROM jobs WHERE id = $1 FOR UPDATE", parent_id)
        await rollup.roll_up_finished(database, resources.hints, results)

    assert (await rows.job(database, parent_id))["status"] == "pending"


async def test_a_cancel_says_whether_the_job_has_ended(database: Database) -> None:
    parent_id = await jobs.sharded(database, shards=2)
    running = await jobs.claim(database)
    await jobs.cancel(database, parent_id)
    async with database.connection() as cancelling:
        async with rows.transaction(database) as connection:
            await connection.execute("SELECT FROM jobs WHERE id = $1 FOR UPDATE", running.id)
            assert not await rollup.end_cancelled(UnitOfWork(cancelling), parent_id)
        assert await rollup.end_cancelled(UnitOfWork(cancelling), parent_id)
        assert await rollup.end_cancelled(UnitOfWork(cancelling), parent_id)

    assert (await rows.job(database, parent_id))["status"] == "cancelled"
    await invariants.all_hold(database)


async def test_a_cancel_leaves_a_job_alone_that_was_retried_meanwhile(database: Database) -> None:
    parent_id = await jobs.sharded(database, shards=2)
    await jobs.cancel(database, parent_id)
    await jobs.roll_up(database, parent_id)
    await jobs.retry(database, parent_id)

    async with database.connection() as connection:
        assert await rollup.end_cancelled(UnitOfWork(connection), parent_id)

    assert (await rows.job(database, parent_id))["status"] == "pending"
    assert {shard["status"] for shard in await rows.shards(database, parent_id)} == {"pending"}
    await invariants.all_hold(database)
