"""Heterogeneous workers: different versions and different queues."""

import httpx

from app.core.database import Database
from tests.faults.conftest import System
from tests.faults.support import (
    assert_consistent,
    submit,
    until_batches,
    wait_until_all_ended,
    wait_until_ended,
    worker_of,
)
from tests.support import invariants, rows


async def test_a_worker_leaves_kinds_it_does_not_know_to_other_workers(
    system: System, ada: httpx.AsyncClient, database: Database
) -> None:
    async with system.worker("old", PLUGINS=""):
        new_kind = [await submit(ada, batches=2) for _ in range(5)]
        old_kind = [await submit(ada, "batch_predict", texts=["good"]) for _ in range(5)]
        for job in await wait_until_all_ended(database, old_kind):
            assert (job["status"], job["attempt"]) == ("completed", 1)
        # Submitted first but still pending: the old worker does not see them.
        for job_id in new_kind:
            assert (await rows.job(database, job_id))["attempt"] == 0
        async with system.worker("new"):
            for job in await wait_until_all_ended(database, new_kind):
                assert (job["status"], job["attempt"]) == ("completed", 1)

    workers = await rows.fetch(
        database, "SELECT DISTINCT worker_id FROM job_attempts WHERE job_id = ANY ($1)", new_kind
    )
    assert len(workers) == 1
    await invariants.no_loss(database, [*new_kind, *old_kind])
    await invariants.all_hold(database)


async def test_a_worker_serves_only_its_own_queues(
    system: System, ada: httpx.AsyncClient, database: Database
) -> None:
    async with system.worker("for-default"):
        gpu = await submit(ada, batches=60, work_ms=20, queue="gpu")
        default = [await submit(ada, batches=2) for _ in range(5)]
        await wait_until_all_ended(database, default)
        assert (await rows.job(database, gpu))["attempt"] == 0
        async with system.worker("for-gpu", WORKER_QUEUES="gpu,reports"):
            await until_batches(database, gpu, 1)
            assert await worker_of(database, gpu) == "for-gpu"
            report = await submit(ada, batches=2, queue="reports")
            assert (await wait_until_ended(database, report))["status"] == "completed"
            assert (await wait_until_ended(database, gpu))["status"] == "completed"

    await assert_consistent(database, [gpu, *default, report])
