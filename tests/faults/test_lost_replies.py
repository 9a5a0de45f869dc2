"""The connection breaks around a COMMIT, so that its outcome is unknown: nothing is lost or applied twice."""

import httpx
import pytest

from app.core.database import Database
from tests.faults.conftest import System
from tests.faults.support import (
    assert_consistent,
    outcomes,
    recomputed_batches,
    submit,
    until_job,
    wait_until_ended,
)
from tests.faults.test_postgres_faults import through
from tests.support import rows
from tests.support.proxy import PostgresProxy

# Text that occurs in only one of the statements.
CREATE = "INSERT INTO jobs AS j"
CLAIM = "status = 'running', attempt = j.attempt + 1"
ADVANCE = "next_batch = j.next_batch + r.batch_count"
LEAVE = "next_status"

KEY = {"Idempotency-Key": "a-key-of-ada"}


@pytest.mark.parametrize("is_first", [True, False], ids=["in a transaction", "by itself"])
async def test_a_create_whose_reply_is_lost_is_found_again_under_its_key(
    system: System, database: Database, postgres_proxy: PostgresProxy, is_first: bool
) -> None:
    """Each second, the first request is a transaction, for its quota count; the others are one statement."""
    async with through(postgres_proxy, system).api() as api:
        others = [] if is_first else [await submit(api.client, batches=1)]
        lost = postgres_proxy.lose_reply(CREATE)
        answer = await api.client.post("/jobs/count", json={"batches": 2}, headers=KEY)
        assert lost.is_set()
        assert answer.status_code == 503
        assert await rows.value(database, "SELECT count(*) FROM jobs") == 1 + len(others)

        again = await api.client.post("/jobs/count", json={"batches": 2}, headers=KEY)
        assert again.status_code == 200
        assert again.headers["Idempotent-Replayed"] == "true"
        assert await rows.value(database, "SELECT count(*) FROM jobs") == 1 + len(others)

    await _assert_only_pending(database)


async def test_a_create_that_never_arrives_creates_no_job_until_it_is_repeated(
    system: System, database: Database, postgres_proxy: PostgresProxy
) -> None:
    async with through(postgres_proxy, system).api() as api:
        broken = postgres_proxy.break_before(CREATE)
        answer = await api.client.post("/jobs/count", json={"batches": 2}, headers=KEY)
        assert broken.is_set()
        assert answer.status_code == 503
        assert await rows.value(database, "SELECT count(*) FROM jobs") == 0

        again = await api.client.post("/jobs/count", json={"batches": 2}, headers=KEY)
        assert again.status_code == 202
        assert await rows.value(database, "SELECT count(*) FROM jobs") == 1

    await _assert_only_pending(database)


async def _assert_only_pending(database: Database) -> None:
    assert {row["status"] for row in await rows.fetch(database, "SELECT status FROM jobs")} == {"pending"}
    await assert_consistent(database, [])


async def test_a_claim_whose_reply_is_lost_is_released_and_counts_no_failure(
    system: System, ada: httpx.AsyncClient, database: Database, postgres_proxy: PostgresProxy
) -> None:
    async with through(postgres_proxy, system).worker() as worker:
        lost = postgres_proxy.lose_reply(CLAIM)
        job_id = await submit(ada, batches=3)
        job = await wait_until_ended(database, job_id)
        assert lost.is_set()
        assert worker.log.count("claim_reply_lost") == 1

    assert (job["status"], job["failures"]) == ("completed", 0)
    assert await outcomes(database, job_id) == ["released", "completed"]
    await assert_consistent(database, [job_id])


@pytest.mark.parametrize("fault", ["break_before", "lose_reply"])
@pytest.mark.parametrize("batches", [1, 20], ids=["the end", "a batch"])
async def test_a_batch_or_an_end_whose_reply_is_lost_is_stored_once_and_computed_once(
    system: System,
    ada: httpx.AsyncClient,
    database: Database,
    postgres_proxy: PostgresProxy,
    batches: int,
    fault: str,
) -> None:
    async with through(postgres_proxy, system).worker() as worker:
        happened = getattr(postgres_proxy, fault)(ADVANCE)
        job_id = await submit(ada, batches=batches, work_ms=20, counter_path=str(system.counter))
        job = await wait_until_ended(database, job_id)
        assert happened.is_set()
        await worker.wait_for_log("reports_resumed")

    assert job["status"] == "completed"
    assert await outcomes(database, job_id) == ["completed"]
    assert recomputed_batches(system.counter) == 0
    await assert_consistent(database, [job_id])


@pytest.mark.parametrize("fault", ["break_before", "lose_reply"])
async def test_a_failure_whose_reply_is_lost_is_counted_once(
    system: System,
    ada: httpx.AsyncClient,
    database: Database,
    postgres_proxy: PostgresProxy,
    fault: str,
) -> None:
    async with through(postgres_proxy, system).worker():
        happened = getattr(postgres_proxy, fault)(LEAVE + " <> 'pending' THEN now() END")
        job_id = await submit(ada, "crash", batches=2, bad_attempts=1)
        job = await wait_until_ended(database, job_id)
        assert happened.is_set()

    assert (job["status"], job["failures"]) == ("completed", 1)
    assert await outcomes(database, job_id) == ["failed", "completed"]
    await assert_consistent(database, [job_id])


@pytest.mark.parametrize("fault", ["break_before", "lose_reply"])
async def test_a_cancel_whose_reply_is_lost_is_still_true(
    system: System,
    ada: httpx.AsyncClient,
    database: Database,
    postgres_proxy: PostgresProxy,
    fault: str,
) -> None:
    async with through(postgres_proxy, system).worker():
        job_id = await submit(ada, "loop", batches=1)
        await until_job(database, job_id, "next_batch = 1")
        happened = getattr(postgres_proxy, fault)(LEAVE + " <> 'pending' THEN now() END")
        await ada.delete(f"/jobs/{job_id}")
        job = await wait_until_ended(database, job_id)
        assert happened.is_set()

    assert job["status"] == "cancelled"
    assert await outcomes(database, job_id) == ["cancelled"]
    await assert_consistent(database, [job_id])
