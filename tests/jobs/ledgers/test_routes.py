"""The ledger of a job over HTTP."""

from typing import Any
from uuid import UUID

import httpx

from app.core import ids
from app.core.database import Database
from tests.jobs.test_http import assert_problem
from tests.support import jobs, rows
from tests.support.accounts import Account


async def ledger(client: httpx.AsyncClient, who: Account, job_id: UUID) -> Any:
    answer = await client.get(f"/jobs/{job_id}/ledger", headers=who.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_each_run_is_of_the_attempt_that_stored_it(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id, rows=45)
    await jobs.commit(store, job, count=2)
    await jobs.release(store, job)
    empty = await jobs.claim(store)
    await jobs.release(store, empty)
    last = await jobs.claim(store)
    await jobs.commit(store, last)

    assert await ledger(client, alice, job.id) == {
        "batches": 5,
        "stored": 3,
        "runs": [
            {"attempt": 1, "first": 0, "last": 1, "rows": 20},
            {"attempt": 3, "first": 2, "last": 2, "rows": 10},
        ],
    }

    await jobs.advance(store, jobs.report(last, first=3, count=2, is_final=True))
    done = await ledger(client, alice, job.id)

    assert (done["batches"], done["stored"]) == (5, 5)
    assert sum(run["rows"] for run in done["runs"]) == 45


async def test_a_job_that_stored_nothing_has_no_runs(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await jobs.create(store, alice.id, rows=25)

    assert await ledger(client, alice, job_id) == {"batches": 3, "stored": 0, "runs": []}


async def test_the_number_of_batches_is_unknown_without_the_number_of_rows(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await jobs.create(store, alice.id, total_is_known=False)

    assert (await ledger(client, alice, job_id))["batches"] is None


async def test_the_size_of_batches_is_that_of_those_so_far_unless_the_request_names_one(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id, rows=25)
    await rows.execute(store, "UPDATE jobs SET params = params - 'batch_size' WHERE id = $1", job.id)
    assert (await ledger(client, alice, job.id))["batches"] is None

    await jobs.commit(store, job)

    assert (await ledger(client, alice, job.id))["batches"] == 3


async def test_a_ledger_is_its_owners_alone_and_ends_with_the_results(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id)
    path = f"/jobs/{job.id}/ledger"

    assert_problem(await client.get(path, headers=mallory.headers), 403, "not_your_job")
    unknown = await client.get(f"/jobs/{ids.new_id()}/ledger", headers=alice.headers)
    assert_problem(unknown, 404, "job_not_found")

    await jobs.complete(store, job)
    await rows.execute(store, "UPDATE jobs SET pruned_at = now() WHERE id = $1", job.id)
    assert_problem(await client.get(path, headers=alice.headers), 410, "results_expired")
