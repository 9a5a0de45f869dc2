"""The connection breaks around a COMMIT: was it applied or not? Nobody guesses, and nothing is done twice."""

import httpx
import pytest

from app.core.database import Database
from tests.faults.conftest import System
from tests.faults.support import computed_again, ended, in_order, outcomes, submit, until_job
from tests.faults.test_postgres_faults import through
from tests.support import rows
from tests.support.proxy import PostgresProxy

# Words that only one of the statements has.
CREATE = "INSERT INTO jobs AS j"
CLAIM = "status = 'running', attempt = j.attempt + 1"
ADVANCE = "next_batch = j.next_batch + r.batch_count"
LEAVE = "next_status"

KEY = {"Idempotency-Key": "a-key-of-ada"}


@pytest.mark.parametrize("is_first", [True, False], ids=["in a transaction", "by itself"])
async def test_a_create_whose_reply_is_lost_is_found_again_under_its_key(
    system: System, database: Database, postgres_proxy: PostgresProxy, is_first: bool
) -> None:
    """The first request of a second is a transaction, for its count; the next ones are one statement."""
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


async def test_a_create_that_never_arrives_makes_no_job_until_it_is_asked_again(
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
    await in_order(database, [])


async def test_a_claim_whose_reply_is_lost_is_given_back_and_spends_no_attempt(
    system: System, ada: httpx.AsyncClient, database: Database, postgres_proxy: PostgresProxy
) -> None:
    async with through(postgres_proxy, system).worker() as worker:
        lost = postgres_proxy.lose_reply(CLAIM)
        job_id = await submit(ada, batches=3)
        job = await ended(database, job_id)
        assert lost.is_set()
        assert worker.log.count("claim_reply_lost") == 1

    assert (job["status"], job["failures"]) == ("completed", 0)
    assert await outcomes(database, job_id) == ["released", "completed"]
    await in_order(database, [job_id])


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
        job = await ended(database, job_id)
        assert happened.is_set()
        await worker.wait_for_log("reports_resumed")

    assert job["status"] == "completed"
    assert await outcomes(database, job_id) == ["completed"]
    assert computed_again(system.counter) == 0
    await in_order(database, [job_id])


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
        job = await ended(database, job_id)
        assert happened.is_set()

    assert (job["status"], job["failures"]) == ("completed", 1)
    assert await outcomes(database, job_id) == ["failed", "completed"]
    await in_order(database, [job_id])


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
        job = await ended(database, job_id)
        assert happened.is_set()

    assert job["status"] == "cancelled"
    assert await outcomes(database, job_id) == ["cancelled"]
    await in_order(database, [job_id])
