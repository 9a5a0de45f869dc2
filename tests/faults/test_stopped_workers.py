"""A worker is told to go, or is frozen and comes back."""

import signal

import httpx

from app.core.database import Database
from tests.faults.conftest import System
from tests.faults.support import (
    EXIT_SECONDS,
    computed_again,
    ended,
    in_order,
    outcomes,
    submit,
    until_batches,
    until_started,
)
from tests.support import rows


async def test_a_worker_that_is_told_to_go_takes_no_more_and_gives_back_what_will_not_stop(
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
    given_back = await rows.job(database, stubborn)
    assert (given_back["status"], given_back["next_batch"]) == ("pending", 3)
    assert await rows.value(database, "SELECT count(*) FROM workers") == 0

    async with system.worker("second"):
        for job_id in (stubborn, late):
            job = await ended(database, job_id)
            assert (job["status"], job["failures"]) == ("completed", 0)

    assert await outcomes(database, stubborn) == ["released", "completed"]
    await in_order(database, [stubborn, late])


async def test_a_job_that_heeds_the_stop_is_handed_over_without_a_batch_computed_twice(
    system: System, ada: httpx.AsyncClient, database: Database
) -> None:
    async with system.worker("first", DRAIN_SECONDS="30") as first:
        job_id = await submit(ada, batches=60, work_ms=40, counter_path=str(system.counter))
        await until_batches(database, job_id, 3)
        first.send(signal.SIGTERM)
        assert await first.wait(EXIT_SECONDS) == 0
    async with system.worker("second"):
        job = await ended(database, job_id)

    assert (job["status"], job["failures"]) == ("completed", 0)
    assert await outcomes(database, job_id) == ["released", "completed"]
    assert computed_again(system.counter) == 0
    await in_order(database, [job_id])


async def test_a_worker_frozen_for_longer_than_its_lease_writes_nothing_when_it_wakes(
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
            assert (await ended(database, mine))["status"] == "completed"
            assert (await ended(database, job_id))["status"] == "completed"

    assert await outcomes(database, job_id) == ["rescued", "completed"]
    await in_order(database, [job_id, mine])
