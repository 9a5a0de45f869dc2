"""Workers that are not alike: old and new, for this queue and for that."""

import httpx

from app.core.database import Database
from tests.faults.conftest import System
from tests.faults.support import all_ended, ended, holder_of, in_order, submit, until_batches
from tests.support import invariants, rows


async def test_a_worker_leaves_the_kinds_it_does_not_know_to_those_who_do(
    system: System, ada: httpx.AsyncClient, database: Database
) -> None:
    async with system.worker("old", PLUGINS=""):
        new_kind = [await submit(ada, batches=2) for _ in range(5)]
        old_kind = [await submit(ada, "batch_predict", texts=["good"]) for _ in range(5)]
        for job in await all_ended(database, old_kind):
            assert (job["status"], job["attempt"]) == ("completed", 1)
        # They came first, and still wait: for the old worker they are not there.
        for job_id in new_kind:
            assert (await rows.job(database, job_id))["attempt"] == 0
        async with system.worker("new"):
            for job in await all_ended(database, new_kind):
                assert (job["status"], job["attempt"]) == ("completed", 1)

    workers = await rows.fetch(
        database, "SELECT DISTINCT worker_id FROM job_attempts WHERE job_id = ANY ($1)", new_kind
    )
    assert len(workers) == 1
    await invariants.no_loss(database, [*new_kind, *old_kind])
    await invariants.all_hold(database)


async def test_a_worker_serves_its_own_queues_and_no_other(
    system: System, ada: httpx.AsyncClient, database: Database
) -> None:
    async with system.worker("for-default"):
        gpu = await submit(ada, batches=60, work_ms=20, queue="gpu")
        default = [await submit(ada, batches=2) for _ in range(5)]
        await all_ended(database, default)
        assert (await rows.job(database, gpu))["attempt"] == 0
        async with system.worker("for-gpu", WORKER_QUEUES="gpu,reports"):
            await until_batches(database, gpu, 1)
            assert await holder_of(database, gpu) == "for-gpu"
            report = await submit(ada, batches=2, queue="reports")
            assert (await ended(database, report))["status"] == "completed"
            assert (await ended(database, gpu))["status"] == "completed"

    await in_order(database, [gpu, *default, report])
