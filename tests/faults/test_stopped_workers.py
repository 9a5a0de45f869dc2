"""A worker is stopped by SIGTERM, or is frozen and resumes."""

import signal

import httpx

from app.core.database import Database
from tests.faults.conftest import System
from tests.faults.support import (
    EXIT_SECONDS,
    assert_consistent,
    outcomes,
    recomputed_batches,
    submit,
    until_batches,
    until_started,
    wait_until_ended,
)
from tests.support import rows


async def test_a_draining_worker_claims_nothing_and_releases_jobs_that_do_not_stop(
    system: System, ada: httpx.AsyncClient, database: Database
) -> None:
    async with system.worker("first") as first:
        stubborn = await submit(ada, "loop", batches=3, bad_attempts=1)
        await until_batches(database, stubborn, 3)
        first.send(signal.SIGTERM)
        await first.wait_for_log("worker_draining")
        late = await submit(ada, batches=3)
        assert await first.wait(EXIT_SECONDS) == 0
    assert (await rows.job(database, late))["attempt"] == 0
    released = await rows.job(database, stubborn)
    assert (released["status"], released["next_batch"]) == ("pending", 3)
    assert await rows.value(database, "SELECT count(*) FROM workers") == 0

    async with system.worker("second"):
        for job_id in (stubborn, late):
            job = await wait_until_ended(database, job_id)
            assert (job["status"], job["failures"]) == ("completed", 0)

    assert await outcomes(database, stubborn) == ["released", "completed"]
    await assert_consistent(database, [stubborn, late])


async def test_a_job_that_stops_at_a_drain_is_handed_over_without_recomputing_a_batch(
    system: System, ada: httpx.AsyncClient, database: Database
) -> None:
    async with system.worker("first", DRAIN_SECONDS="30") as first:
        job_id = await submit(ada, batches=60, work_ms=40, counter_path=str(system.counter))
        await until_batches(database, job_id, 3)
        first.send(signal.SIGTERM)
        assert await first.wait(EXIT_SECONDS) == 0
    async with system.worker("second"):
        job = await wait_until_ended(database, job_id)

    assert (job["status"], job["failures"]) == ("completed", 0)
    assert await outcomes(database, job_id) == ["released", "completed"]
    assert recomputed_batches(system.counter) == 0
    await assert_consistent(database, [job_id])


async def test_a_worker_frozen_for_longer_than_its_lease_writes_nothing_when_it_resumes(
    system: System, ada: httpx.AsyncClient, database: Database
) -> None:
    async with system.worker("first", WORKER_QUEUES="default,mine", WORKER_SLOTS="1") as first:
        job_id = await submit(ada, batches=60, work_ms=60)
        await until_batches(database, job_id, 3)
        first.send(signal.SIGSTOP)
        async with system.worker("second"):
            await until_started(database, job_id, attempt=2)
            first.send(signal.SIGCONT)
            await first.wait_for_log("outcome=fenced")
            # Its only slot is free again.
            mine = await submit(ada, batches=3, queue="mine")
            assert (await wait_until_ended(database, mine))["status"] == "completed"
            assert (await wait_until_ended(database, job_id))["status"] == "completed"

    assert await outcomes(database, job_id) == ["rescued", "completed"]
    await assert_consistent(database, [job_id, mine])
