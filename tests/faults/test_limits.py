"""A cancel is true, a limit is a limit, and neither costs anybody else anything."""

import httpx
import pytest

from app.core.database import Database
from app.embedded.valkey import EmbeddedValkey
from tests.faults.conftest import System
from tests.faults.support import computed_again, ended, in_order, outcomes, submit, until_batches
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
            # The API waits three seconds for it to be true, and says so only then.
            answer = await ada.delete(f"/jobs/{job_id}")
            assert (answer.status_code, answer.json()["message"]) == (200, "Job cancelled")
            assert (await rows.job(database, job_id))["next_batch"] == 2
        next_ones = [await submit(ada, batches=3) for _ in range(4)]
        for job_id in (sibling, *next_ones):
            job = await ended(database, job_id)
            assert (job["status"], job["attempt"]) == ("completed", 1)
        assert worker.is_running

    await in_order(database, [*stuck, sibling, *next_ones])


async def test_a_cancel_comes_true_without_redis(
    system: System, ada: httpx.AsyncClient, database: Database, valkey: EmbeddedValkey
) -> None:
    async with system.worker():
        job_id = await submit(ada, "loop", batches=1)
        await until_batches(database, job_id, 1)
        valkey.kill()
        answer = await ada.delete(f"/jobs/{job_id}")
        assert (answer.status_code, answer.json()["message"]) == (200, "Job cancelled")

    await in_order(database, [job_id])


@pytest.mark.parametrize("kind", ["loop", "sleep_in_c"])
async def test_the_hard_limit_ends_what_never_looks_up(
    system: System, ada: httpx.AsyncClient, database: Database, kind: str
) -> None:
    async with system.worker() as worker:
        sibling = await submit(ada, batches=60, work_ms=30)
        job_id = await submit(ada, kind, batches=2, bad_attempts=1, time_limit_seconds=1)
        hopeless = await submit(ada, kind, batches=2, max_attempts=1, time_limit_seconds=1)
        job = await ended(database, job_id)
        assert (job["status"], job["failures"]) == ("completed", 1)
        assert (await rows.attempts(database, job_id))[0]["error"]["code"] == "time_limit"
        job = await ended(database, hopeless)
        assert (job["status"], job["error"]["code"]) == ("failed", "time_limit")
        job = await ended(database, sibling)
        assert (job["status"], job["attempt"]) == ("completed", 1)
        assert worker.is_running

    await in_order(database, [job_id, hopeless, sibling])


async def test_the_soft_limit_cuts_a_long_job_into_slices_and_spends_no_attempt(
    system: System, ada: httpx.AsyncClient, database: Database
) -> None:
    async with system.worker():
        job_id = await submit(
            ada, batches=100, work_ms=30, soft_limit_seconds=1, counter_path=str(system.counter)
        )
        job = await ended(database, job_id)

    assert (job["status"], job["failures"]) == ("completed", 0)
    *slices, last = await outcomes(database, job_id)
    assert len(slices) >= 2
    assert set(slices) == {"released"}
    assert last == "completed"
    assert computed_again(system.counter) == 0
    await in_order(database, [job_id])


async def test_a_job_whose_results_exceed_its_owners_quota_fails_and_keeps_what_it_committed(
    system: System, ada: httpx.AsyncClient, database: Database
) -> None:
    async with system.worker(MAX_USER_BYTES="3000") as worker:
        job_id = await submit(ada, batches=100, work_ms=30, max_attempts=3)
        job = await ended(database, job_id)
        assert (job["status"], job["error"]["code"], job["attempt"]) == ("failed", "quota_exceeded", 1)
        assert 0 < job["next_batch"] < 100
        assert job["held_bytes"] <= 3000
        assert worker.is_running

    await in_order(database, [job_id])
