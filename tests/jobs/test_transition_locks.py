"""Transitions when several sessions want the same job: row locks, conditions and unique keys."""

import asyncio

import asyncpg
import pytest

from app.core.config import ClaimOrder
from app.core.database import Database
from app.jobs.states import Priority, Status
from tests.machine.database import OneConnection
from tests.support import invariants, jobs, rows


async def test_a_single_slot_gets_the_most_urgent_job(
    database: Database,
) -> None:
    await jobs.create(database, priority=Priority.LOW)
    urgent = await jobs.create(database, priority=Priority.CRITICAL)
    worker_id = await jobs.worker(database)

    [claimed] = await jobs.claim_all(database, worker_id, limit=1, order=ClaimOrder.PRIORITY)

    assert claimed.id == urgent


async def test_an_attempt_that_two_end_at_once_ends_once(database: Database) -> None:
    job = await jobs.running(database)
    async with rows.transaction(database) as connection:
        assert await jobs.release(OneConnection(connection), job) is not None
        second = asyncio.create_task(jobs.fail(database, job))
        await rows.wait_until_blocked(database)

    assert await second is None
    assert (await rows.job(database, job.id))["failures"] == 0
    await invariants.all_hold(database)


async def test_a_rescue_passes_over_a_job_that_is_being_settled(database: Database) -> None:
    job = await jobs.running(database)
    await rows.execute(database, "DELETE FROM workers")
    async with rows.transaction(database) as connection:
        await jobs.advance(OneConnection(connection), jobs.report(job, count=3, is_final=True))
        async with asyncio.timeout(30):
            assert await jobs.rescue(database) == []

    assert (await rows.job(database, job.id))["status"] == Status.COMPLETED
    await invariants.all_hold(database)


async def test_a_rescue_leaves_alone_what_does_not_run(database: Database) -> None:
    waiting = await jobs.create(database)
    done = await jobs.create(database)
    await jobs.cancel(database, done)

    assert await jobs.rescue(database) == []
    assert (await rows.job(database, waiting))["attempt"] == 0


async def test_a_worker_is_alive_until_a_lease_has_passed(database: Database) -> None:
    worker_id = await jobs.worker(database)
    await jobs.create(database)
    await jobs.claim(database, worker_id)

    for age, is_taken in ((0.5, False), (1.5, True)):
        async with database.transaction() as connection:  # in which the clock stands still
            await connection.execute(
                "UPDATE workers SET seen_at = now() - $1 * $2::interval", age, jobs.LEASE
            )
            assert bool(await jobs.rescue(OneConnection(connection))) is is_taken


async def test_a_job_whose_rows_are_pruned_is_not_tried_again(database: Database) -> None:
    job = await jobs.running(database)
    await jobs.fail(database, job, is_retryable=False)
    await rows.execute(database, "UPDATE jobs SET pruned_at = now()")

    assert await jobs.retry(database, job.id) is None


async def test_a_cancelled_job_that_is_tried_again_can_complete(database: Database) -> None:
    job = await jobs.running(database)
    await jobs.cancel(database, job.id)
    await jobs.stop(database, job)
    assert await jobs.retry(database, job.id) is not None

    transition = await jobs.complete(database, await jobs.claim(database))

    assert transition.status is Status.COMPLETED
    await invariants.all_hold(database)


@pytest.mark.parametrize(
    "copied",
    [
        """INSERT INTO job_batches
        SELECT job_id, index, first_row, row_count, attempt + 1, output FROM job_batches""",
        "INSERT INTO job_events SELECT * FROM job_events",
        "INSERT INTO job_attempts SELECT * FROM job_attempts",
    ],
)
async def test_the_database_itself_keeps_nothing_twice(database: Database, copied: str) -> None:
    await jobs.complete(database, await jobs.running(database))

    with pytest.raises(asyncpg.UniqueViolationError):
        await rows.execute(database, copied)
