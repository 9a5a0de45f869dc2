"""A job that failed or was cancelled, tried again: from where it was, or from the start."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest
from pydantic import TypeAdapter

from app.core import ids
from app.core.database import Database
from app.jobs.schemas import JobView
from app.jobs.transition_types import Batch, ClaimedJob, Report
from tests.support import invariants, jobs, rows
from tests.support.accounts import Account

Ending = Callable[[Database, ClaimedJob], Awaitable[object]]


async def fail_for_good(store: Database, job: ClaimedJob) -> None:
    await jobs.fail(store, job, is_retryable=False)


async def stop(store: Database, job: ClaimedJob) -> None:
    await jobs.cancel(store, job.id)
    await jobs.stop(store, job)


ENDINGS = [fail_for_good, stop]


async def retry(
    client: httpx.AsyncClient, who: Account, job_id: UUID, body: dict[str, Any] | None = None
) -> httpx.Response:
    return await client.post(f"/jobs/{job_id}/retry", json=body, headers=who.headers)


async def ended_after_two_batches(store: Database, owner: Account, end: Ending) -> ClaimedJob:
    """A job over 25 rows that came to a bad end with 20 of them committed, and a checkpoint."""
    job = await jobs.running(store, owner.id, rows=25)
    await jobs.advance(store, jobs.report(job, count=2, checkpoint=b"two done"))
    await end(store, job)
    return job


# From the checkpoint


@pytest.mark.parametrize("end", ENDINGS)
async def test_a_retried_job_waits_again_with_all_it_had_committed(
    client: httpx.AsyncClient, alice: Account, store: Database, end: Ending
) -> None:
    job = await ended_after_two_batches(store, alice, end)
    kept = await rows.batches(store, job.id)

    answer = await retry(client, alice, job.id)

    assert answer.status_code == 202, answer.text
    view = answer.json()
    assert (view["status"], view["attempt"], view["cancel_requested"]) == ("pending", 1, False)
    assert (view["done"], view["progress"], view["step"]) == (20, 80.0, "Batch 2")
    assert (view["completed_at"], view["expires_at"], view["result"]) == (None, None, None)
    row = await rows.job(store, job.id)
    assert (row["next_batch"], row["failures"], row["worker_id"]) == (2, 0, None)
    assert await rows.batches(store, job.id) == kept
    [*_, (kind, data)] = [(event["type"], event["data"]) for event in await rows.events(store, job.id)]
    assert (kind, data["status"], data["done"], data["attempt"]) == ("retried", "pending", 20, 1)
    await invariants.all_hold(store)


@pytest.mark.parametrize("end", ENDINGS)
async def test_the_next_attempt_goes_on_after_the_last_commit(
    client: httpx.AsyncClient, alice: Account, store: Database, end: Ending
) -> None:
    job = await ended_after_two_batches(store, alice, end)
    await retry(client, alice, job.id)

    again = await jobs.claim(store)
    await jobs.complete(store, again)

    assert (again.id, again.attempt, again.next_batch, again.done) == (job.id, 2, 2, 20)
    assert again.checkpoint == b"two done"
    view = (await client.get(f"/jobs/{job.id}", headers=alice.headers)).json()
    assert (view["status"], view["progress"], view["error"]) == ("completed", 100.0, None)
    assert view["result"]["predictions"] == [jobs.prediction(row) for row in range(25)]
    assert [batch["attempt"] for batch in await rows.batches(store, job.id)] == [1, 1, 2]
    await invariants.all_hold(store, predict=jobs.prediction)


async def test_a_retried_job_has_its_whole_budget_again(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    await jobs.create(store, alice.id, max_attempts=2)

    async def statuses_until_it_is_over() -> list[str]:
        seen = []
        for _ in range(2):
            job = await jobs.claim(store)
            await jobs.fail(store, job)
            seen.append((await rows.job(store, job.id))["status"])
        return seen

    first = await statuses_until_it_is_over()
    [job] = (await client.get("/jobs", headers=alice.headers)).json()["items"]
    answer = await retry(client, alice, UUID(job["job_id"]))
    second = await statuses_until_it_is_over()

    assert answer.status_code == 202
    assert first == second == ["pending", "failed"]
    await invariants.all_hold(store)


async def test_a_job_cancelled_before_it_ever_ran_can_run_after_all(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await jobs.create(store, alice.id)
    await jobs.cancel(store, job_id)

    await retry(client, alice, job_id)
    job = await jobs.claim(store)
    await jobs.complete(store, job)

    assert (job.id, job.attempt, job.next_batch) == (job_id, 1, 0)
    assert (await rows.job(store, job_id))["status"] == "completed"
    await invariants.all_hold(store, predict=jobs.prediction)


async def test_a_cancel_before_a_retry_does_not_cancel_the_attempt_after_it(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await ended_after_two_batches(store, alice, stop)
    await retry(client, alice, job.id)

    await jobs.fail(store, await jobs.claim(store))

    # With its cancel still standing the failure would have been the end.
    assert (await rows.job(store, job.id))["status"] == "pending"


async def test_a_retried_job_comes_after_those_that_wait_already(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await ended_after_two_batches(store, alice, fail_for_good)
    waiting = [await jobs.create(store, alice.id) for _ in range(2)]
    await retry(client, alice, job.id)

    claimed = await jobs.claim_all(store, await jobs.worker(store))

    assert [found.id for found in claimed] == [*waiting, job.id]


async def test_the_attempt_before_a_retry_writes_into_the_void(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await ended_after_two_batches(store, alice, fail_for_good)
    await retry(client, alice, job.id, {"from_start": True})
    again = await jobs.claim(store)

    assert await jobs.advance(store, jobs.report(job, first=0)) == {}
    assert await jobs.advance(store, jobs.report(job, first=2, is_final=True)) == {}
    assert await jobs.fail(store, job) is None
    await jobs.complete(store, again)
    await invariants.all_hold(store, predict=jobs.prediction)


# From the start


@pytest.mark.parametrize("end", ENDINGS)
async def test_from_the_start_nothing_is_left_of_what_was_computed(
    client: httpx.AsyncClient, alice: Account, store: Database, end: Ending
) -> None:
    job = await ended_after_two_batches(store, alice, end)

    answer = await retry(client, alice, job.id, {"from_start": True})

    view = answer.json()
    assert (answer.status_code, view["status"], view["attempt"]) == (202, "pending", 1)
    assert (view["done"], view["progress"], view["step"], view["total"]) == (0, 0.0, None, 25)
    assert (await rows.job(store, job.id))["next_batch"] == 0
    assert await rows.batches(store, job.id) == []
    assert await rows.value(store, "SELECT count(*) FROM job_checkpoints") == 0
    results = await client.get(f"/jobs/{job.id}/results", headers=alice.headers)
    assert results.json()["items"] == []
    await invariants.all_hold(store)


@pytest.mark.parametrize("column", ["dataset_id", "model_version_id"])
async def test_a_job_whose_input_was_deleted_is_not_tried_again(
    client: httpx.AsyncClient, alice: Account, store: Database, column: str
) -> None:
    job = await jobs.running(store, alice.id)
    await rows.execute(store, f"UPDATE jobs SET {column} = uuidv7()")
    await fail_for_good(store, job)

    answer = await client.post(f"/jobs/{job.id}/retry", headers=alice.headers)

    assert (answer.status_code, answer.json()["code"]) == (409, "input_gone")
    assert (await rows.job(store, job.id))["status"] == "failed"


async def test_an_attempt_from_the_start_computes_every_row_again(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await ended_after_two_batches(store, alice, fail_for_good)
    await retry(client, alice, job.id, {"from_start": True})

    again = await jobs.claim(store)
    anew = b"\n".join(msgspec.json.encode({"prediction": {"anew": row}}) for row in range(25))
    await jobs.advance(store, Report(job.id, again.attempt, 0, (Batch(0, 25, anew, "All"),), result=b"{}"))

    assert (again.attempt, again.next_batch, again.done, again.checkpoint) == (2, 0, 0, None)
    view = (await client.get(f"/jobs/{job.id}", headers=alice.headers)).json()
    assert (view["status"], view["done"], view["progress"]) == ("completed", 25, 100.0)
    assert view["result"]["predictions"] == [{"anew": row} for row in range(25)]
    await invariants.all_hold(store)


async def test_from_the_start_touches_no_other_job(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    other = await ended_after_two_batches(store, alice, fail_for_good)
    job = await ended_after_two_batches(store, alice, fail_for_good)

    await retry(client, alice, job.id, {"from_start": True})

    assert len(await rows.batches(store, other.id)) == 2
    assert await rows.value(store, "SELECT array_agg(job_id) FROM job_checkpoints") == [other.id]
    assert (await rows.job(store, other.id))["status"] == "failed"


# What cannot be tried again


@pytest.mark.parametrize("status", ["pending", "running", "completed"])
async def test_a_job_that_has_not_come_to_a_bad_end_is_not_tried_again(
    client: httpx.AsyncClient, alice: Account, store: Database, status: str
) -> None:
    job_id = await jobs.create(store, alice.id)
    if status != "pending":
        job = await jobs.claim(store)
        if status == "completed":
            await jobs.complete(store, job)
    before = await rows.job(store, job_id)

    for body in (None, {"from_start": True}):
        answer = await retry(client, alice, job_id, body)

        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (409, "job_not_retryable")
        assert problem["detail"].startswith(f"A {status} job cannot be retried")
    assert await rows.job(store, job_id) == before


async def test_a_job_whose_rows_were_removed_is_gone(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await ended_after_two_batches(store, alice, fail_for_good)
    await rows.execute(store, "UPDATE jobs SET pruned_at = now()")

    for body in (None, {"from_start": True}):
        answer = await retry(client, alice, job.id, body)

        assert (answer.status_code, answer.json()["code"]) == (410, "results_expired")
    assert (await rows.job(store, job.id))["status"] == "failed"


async def test_a_foreign_job_is_not_tried_again(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    job = await ended_after_two_batches(store, alice, fail_for_good)

    foreign = await retry(client, mallory, job.id, {"from_start": True})
    unknown = await retry(client, alice, ids.new_id())
    nobody = await client.post(f"/jobs/{job.id}/retry")

    assert (foreign.status_code, foreign.json()["code"]) == (403, "not_your_job")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "job_not_found")
    assert (nobody.status_code, nobody.json()["code"]) == (401, "invalid_token")
    assert (await rows.job(store, job.id))["status"] == "failed"
    assert len(await rows.batches(store, job.id)) == 2


@pytest.mark.parametrize(
    "body", [{"from_start": "perhaps"}, {"from_start": None}, {"attempt": 0}, ["from_start"]], ids=str
)
async def test_a_way_to_try_again_that_makes_no_sense_is_refused(
    client: httpx.AsyncClient, alice: Account, store: Database, body: Any
) -> None:
    job = await ended_after_two_batches(store, alice, fail_for_good)

    answer = await retry(client, alice, job.id, body)

    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert (await rows.job(store, job.id))["status"] == "failed"


# Many at once


@pytest.mark.parametrize("from_start", [False, True])
async def test_of_fifty_retries_at_once_one_moves_the_job(
    client: httpx.AsyncClient, alice: Account, store: Database, from_start: bool
) -> None:
    job = await ended_after_two_batches(store, alice, fail_for_good)

    answers = await asyncio.gather(
        *(retry(client, alice, job.id, {"from_start": from_start}) for _ in range(50))
    )

    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 49
    types = await rows.event_types(store, job.id)
    assert types == ["created", "started", "progress", "progress", "failed", "retried"]
    await invariants.all_hold(store)


# What happened on each try


async def attempts_of(client: httpx.AsyncClient, who: Account, job_id: UUID) -> list[dict[str, Any]]:
    answer = await client.get(f"/jobs/{job_id}?include=attempts", headers=who.headers)
    assert answer.status_code == 200, answer.text
    TypeAdapter(JobView).validate_json(answer.content)  # with all members that the document promises
    assert "Traceback" not in answer.text
    attempts: list[dict[str, Any]] = answer.json()["attempts"]
    return attempts


async def test_each_try_that_is_over_says_how_it_ended_and_where(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await jobs.create(store, alice.id, max_attempts=2)
    workers = [await jobs.worker(store) for _ in range(5)]
    await jobs.fail(store, await jobs.claim(store, workers[0]))
    await jobs.release(store, await jobs.claim(store, workers[1]))
    await jobs.claim(store, workers[2])
    await jobs.expire_lease(store, workers[2])
    await jobs.rescue(store)
    await retry(client, alice, job_id)
    await stop(store, await jobs.claim(store, workers[3]))
    await retry(client, alice, job_id)
    last = await jobs.claim(store, workers[4])
    await jobs.advance(store, jobs.report(last, count=3, is_final=True), worker_id=workers[4])

    attempts = await attempts_of(client, alice, job_id)

    assert [(tried["attempt"], tried["outcome"]) for tried in attempts] == [
        (1, "failed"),
        (2, "released"),
        (3, "rescued"),
        (4, "cancelled"),
        (5, "completed"),
    ]
    assert [tried["worker"] for tried in attempts] == [f"test-{worker.hex}" for worker in workers]
    assert attempts[0]["error"] == {**jobs.ERROR, "attempt": 1}
    assert (attempts[2]["error"]["code"], attempts[2]["error"]["attempt"]) == ("worker_lost", 3)
    assert [attempts[index]["error"] for index in (1, 3, 4)] == [None] * 3
    assert {tried["queue"] for tried in attempts} == {"default"}
    instants = [
        datetime.fromisoformat(tried[name])
        for tried in attempts
        for name in ("due_at", "started_at", "ended_at")
    ]
    assert instants == sorted(instants)
    await invariants.all_hold(store)


async def test_the_try_that_runs_is_the_job_itself(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id)

    assert await attempts_of(client, alice, job.id) == []
    await jobs.release(store, job)
    await jobs.claim(store)
    assert [tried["attempt"] for tried in await attempts_of(client, alice, job.id)] == [1]


async def test_the_tries_are_there_when_their_workers_are_gone(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id)
    await jobs.fail(store, job)
    worker = await rows.value(store, "DELETE FROM workers RETURNING name")

    [tried] = await attempts_of(client, alice, job.id)

    assert (tried["outcome"], tried["worker"]) == ("failed", worker)


async def test_the_tries_come_only_when_they_are_asked_for(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id)
    await jobs.fail(store, job)

    plain = await client.get(f"/jobs/{job.id}", headers=alice.headers)
    wrong = await client.get(f"/jobs/{job.id}?include=secrets", headers=alice.headers)
    foreign = await client.get(f"/jobs/{job.id}?include=attempts", headers=mallory.headers)

    assert "attempts" not in plain.json()
    assert (wrong.status_code, wrong.json()["code"]) == (422, "validation_error")
    assert (foreign.status_code, foreign.json()["code"]) == (403, "not_your_job")
