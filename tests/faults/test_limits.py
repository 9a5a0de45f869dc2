"""Cancels and limits stop a job reliably and do not affect other jobs."""

import httpx
import pytest

from app.core.database import Database
from app.embedded.valkey import EmbeddedValkey
from tests.faults.conftest import System
from tests.faults.support import (
    assert_consistent,
    outcomes,
    recomputed_batches,
    submit,
    until_batches,
    wait_until_ended,
)
from tests.support import rows


async def test_a_cancel_stops_a_busy_loop_and_a_c_call_and_leaves_their_sibling_alone(
    system: System, ada: httpx.AsyncClient, database: Database
) -> None:
    async with system.worker("worker", WORKER_SLOTS="3") as worker:
        stuck = [await submit(ada, kind, batches=2) for kind in ("loop", "sleep_in_c")]
        sibling = await submit(ada, batches=60, work_ms=30)
        for job_id in (*stuck, sibling):
            await until_batches(database, job_id, 2)
        for job_id in stuck:
            # The API waits up to three seconds for the job to stop before it reports the cancel.
            answer = await ada.delete(f"/jobs/{job_id}")
            assert (answer.status_code, answer.json()["message"]) == (200, "Job cancelled")
            assert (await rows.job(database, job_id))["next_batch"] == 2
        next_ones = [await submit(ada, batches=3) for _ in range(4)]
        for job_id in (sibling, *next_ones):
            job = await wait_until_ended(database, job_id)
            assert (job["status"], job["attempt"]) == ("completed", 1)
        assert worker.is_running

    await assert_consistent(database, [*stuck, sibling, *next_ones])


async def test_a_cancel_comes_true_without_redis(
    system: System, ada: httpx.AsyncClient, database: Database, valkey: EmbeddedValkey
) -> None:
    async with system.worker():
        job_id = await submit(ada, "loop", batches=1)
        await until_batches(database, job_id, 1)
        valkey.kill()
        answer = await ada.delete(f"/jobs/{job_id}")
        assert (answer.status_code, answer.json()["message"]) == (200, "Job cancelled")

    await assert_consistent(database, [job_id])


@pytest.mark.parametrize("kind", ["loop", "sleep_in_c"])
async def test_the_hard_limit_ends_a_handler_that_never_commits(
    system: System, ada: httpx.AsyncClient, database: Database, kind: str
) -> None:
    async with system.worker() as worker:
        sibling = await submit(ada, batches=60, work_ms=30)
        job_id = await submit(ada, kind, batches=2, bad_attempts=1, time_limit_seconds=1)
        hopeless = await submit(ada, kind, batches=2, max_attempts=1, time_limit_seconds=1)
        job = await wait_until_ended(database, job_id)
        assert (job["status"], job["failures"]) == ("completed", 1)
        assert (await rows.attempts(database, job_id))[0]["error"]["code"] == "time_limit"
        job = await wait_until_ended(database, hopeless)
        assert (job["status"], job["error"]["code"]) == ("failed", "time_limit")
        job = await wait_until_ended(database, sibling)
        assert (job["status"], job["attempt"]) == ("completed", 1)
        assert worker.is_running

    await assert_consistent(database, [job_id, hopeless, sibling])


async def test_the_soft_limit_splits_a_long_job_into_slices_and_counts_no_failure(
    system: System, ada: httpx.AsyncClient, database: Database
) -> None:
    async with system.worker():
        job_id = await submit(
            ada, batches=100, work_ms=30, soft_limit_seconds=1, counter_path=str(system.counter)
        )
        job = await wait_until_ended(database, job_id)

    assert (job["status"], job["failures"]) == ("completed", 0)
    *slices, last = await outcomes(database, job_id)
    assert len(slices) >= 2
    assert set(slices) == {"released"}
    assert last == "completed"
    assert recomputed_batches(system.counter) == 0
    await assert_consistent(database, [job_id])


async def test_a_job_whose_results_exceed_its_owners_quota_fails_and_keeps_what_it_committed(
    system: System, ada: httpx.AsyncClient, database: Database
) -> None:
    async with system.worker(MAX_USER_BYTES="3000") as worker:
        job_id = await submit(ada, batches=100, work_ms=30, max_attempts=3)
        job = await wait_until_ended(database, job_id)
        assert (job["status"], job["error"]["code"], job["attempt"]) == ("failed", "quota_exceeded", 1)
        assert 0 < job["next_batch"] < 100
        assert job["held_bytes"] <= 3000
        assert worker.is_running

    await assert_consistent(database, [job_id])
