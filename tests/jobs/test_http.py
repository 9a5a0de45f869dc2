"""Jobs over HTTP, as their owner and as anybody else sees them."""

import asyncio
import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest
from fastapi import FastAPI
from pydantic import TypeAdapter

from app.core import ids
from app.core.database import Database
from app.jobs.schemas import CancelAnswer, EventPage, JobCreated, JobDetails, JobPage, ResultPage
from app.jobs.times import JobTimes
from tests.support import invariants, jobs, rows
from tests.support.accounts import Account
from tests.support.app_state import state_of
from tests.support.following import publish, subscriber_count
from tests.support.schemas import assert_matches
from tests.support.waiting import until

CREATE = "/jobs/batch-predict"
MANY_DIGITS = 10**30


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The answer is a problem document of this kind."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    return problem


async def test_a_job_says_where_it_runs_what_it_reads_and_how_often_it_failed(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    uploaded = await client.post(
        "/datasets?name=texts.csv",
        content=b"text\n" + b"fine\n" * 25,
        headers={**alice.headers, "Content-Type": "text/csv"},
    )
    dataset_id = uploaded.json()["dataset_id"]
    created = await client.post(
        CREATE, json={"dataset_id": dataset_id, "batch_size": 10}, headers=alice.headers
    )
    await jobs.fail(store, await jobs.claim(store))
    worker_id = await jobs.worker(store)
    job = await jobs.claim(store, worker_id)
    await jobs.commit(store, job)

    details = (await client.get(created.json()["poll_url"], headers=alice.headers)).json()
    for url in ("/jobs", "/jobs?view=row", "/active-tasks"):
        page = (await client.get(url, headers=alice.headers)).json()
        [listed] = page.get("items") or page["active_tasks"]
        assert {name: details[name] for name in listed if name != "estimated_completion"} == {
            name: listed[name] for name in listed if name != "estimated_completion"
        }

    row = await rows.job(store, job.id)
    assert (details["worker"], details["attempt"], details["failures"]) == (f"test-{worker_id.hex}", 2, 1)
    assert datetime.fromisoformat(details["attempt_started_at"]) == row["attempt_started_at"]
    assert (details["attempt_first_row"], details["cancel_requested_at"]) == (0, None)
    assert details["dataset"] == {"dataset_id": dataset_id, "name": "texts.csv"}
    assert details["params"]["batch_size"] == 10


async def test_the_first_event_says_what_was_created(client: httpx.AsyncClient, alice: Account) -> None:
    body = {"jobs": [{"kind": "batch_predict", "texts": ["fine"], "priority": "high"}]}
    group = (await client.post("/jobs/bulk", json=body, headers=alice.headers)).json()
    single = await client.post(CREATE, json={"texts": ["fine"], "queue": "mine"}, headers=alice.headers)

    found = []
    for job_id in (*group["job_ids"], single.json()["job_id"]):
        page = (await client.get(f"/jobs/{job_id}/events", headers=alice.headers)).json()
        found.append([page["items"][0][name] for name in ("kind", "queue", "priority", "model", "group_id")])

    assert found == [
        ["batch_predict", "default", "high", "sentiment@1", group["group_id"]],
        ["batch_predict", "mine", "normal", "sentiment@1", None],
    ]


# Creating


async def test_texts_become_a_job_that_can_be_followed(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    answer = await client.post(CREATE, json={"texts": ["lovely", "awful"]}, headers=alice.headers)

    created = answer.json()
    assert answer.status_code == 202
    assert created == {
        "job_id": created["job_id"],
        "status": "pending",
        "message": "Job created successfully",
        "poll_url": f"/jobs/{created['job_id']}",
        "stream_url": f"/jobs/{created['job_id']}/stream",
        "result_available_for": "24 hours",
    }
    assert answer.headers["location"] == created["poll_url"]
    row = await rows.job(store, UUID(created["job_id"]))
    assert (row["owner_id"], row["kind"], row["queue"], row["total"]) == (
        alice.id,
        "batch_predict",
        "default",
        2,
    )
    assert msgspec.json.decode(await rows.value(store, "SELECT rows FROM job_payloads")) == [
        "lovely",
        "awful",
    ]


async def test_a_bare_list_is_taken_for_texts(client: httpx.AsyncClient, alice: Account) -> None:
    answer = await client.post(CREATE, json=["lovely", "awful"], headers=alice.headers)

    job = (await client.get(answer.json()["poll_url"], headers=alice.headers)).json()
    assert (job["total"], job["status"], job["model"]) == (2, "pending", "sentiment@1")


async def test_what_is_asked_for_is_what_the_job_says(client: httpx.AsyncClient, alice: Account) -> None:
    wanted = {
        "texts": ["lovely"],
        "model": "sentiment@1",
        "batch_size": 3,
        "priority": "high",
        "queue": "reports",
        "max_attempts": 7,
        "soft_limit_seconds": 20,
        "time_limit_seconds": 30,
        "metadata": {"team": "blue", "émoji": "✓"},
    }

    answer = await client.post(CREATE, json=wanted, headers=alice.headers)

    job = (await client.get(answer.json()["poll_url"], headers=alice.headers)).json()
    for name in ("priority", "queue", "max_attempts", "metadata", "model"):
        assert job[name] == wanted[name]
    assert (job["attempt"], job["progress"], job["done"], job["result"], job["error"]) == (
        0,
        0,
        0,
        None,
        None,
    )
    assert (job["user_id"], job["owner"]) == (str(alice.id), "alice")
    assert job["job_type"] == job["kind"] == "batch_predict"


async def test_a_delayed_job_says_when_it_is_due(client: httpx.AsyncClient, alice: Account) -> None:
    answer = await client.post(CREATE, json={"texts": ["x"], "delay_seconds": 3600}, headers=alice.headers)

    job = (await client.get(answer.json()["poll_url"], headers=alice.headers)).json()
    wait = datetime.fromisoformat(job["run_at"]) - datetime.fromisoformat(job["created_at"])
    assert wait == timedelta(hours=1)


async def test_a_soft_limit_beyond_the_time_limit_is_the_time_limit(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    await client.post(CREATE, json={"texts": ["x"], "time_limit_seconds": 60}, headers=alice.headers)

    assert await rows.value(store, "SELECT soft_limit_seconds FROM jobs") == 60


async def test_a_thousand_texts_are_taken_and_one_more_is_too_many(
    client: httpx.AsyncClient, alice: Account
) -> None:
    taken = await client.post(CREATE, json={"texts": ["x"] * 1000}, headers=alice.headers)
    refused = await client.post(CREATE, json={"texts": ["x"] * 1001}, headers=alice.headers)

    assert taken.status_code == 202
    problem = assert_problem(refused, 400, "too_many_rows")
    assert problem["detail"] == "Maximum 1000 texts allowed"
    assert (problem["limit"], problem["got"]) == (1000, 1001)


async def test_a_model_that_does_not_exist_is_not_found(client: httpx.AsyncClient, alice: Account) -> None:
    for model in ("no-such-model", "sentiment@2", "sentiment@", "sentiment@latest"):
        answer = await client.post(CREATE, json={"texts": ["x"], "model": model}, headers=alice.headers)

        assert assert_problem(answer, 404, "model_not_found")["model"] == model


async def test_a_text_over_the_limit_is_too_long(client: httpx.AsyncClient, alice: Account) -> None:
    taken = await client.post(CREATE, json={"texts": ["x" * 100_000]}, headers=alice.headers)
    refused = await client.post(CREATE, json={"texts": ["x", "x" * 100_001]}, headers=alice.headers)

    assert taken.status_code == 202
    problem = assert_problem(refused, 413, "text_too_long")
    assert (problem["index"], problem["length"], problem["limit"]) == (1, 100_001, 100_000)


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"texts": []},
        {"texts": None},
        {"texts": "one text"},
        {"texts": [1]},
        {"texts": ["x"], "batch_size": 0},
        {"texts": ["x"], "batch_size": 10_001},
        {"texts": ["x"], "priority": "urgent"},
        {"texts": ["x"], "queue": "No Such/Name"},
        {"texts": ["x"], "queue": "q" * 65},
        {"texts": ["x"], "max_attempts": 0},
        {"texts": ["x"], "time_limit_seconds": 10**10},
        {"texts": ["x"], "delay_seconds": -1},
        {"texts": ["x"], "run_at": "2030-01-01T00:00:00"},
        {"texts": ["x"], "run_at": "2030-01-01T00:00:00Z", "delay_seconds": 1},
        {"texts": ["x"], "run_at": "9999-12-31T23:59:59-12:00"},
        {"texts": ["x"], "run_at": "9999-12-31T23:59:59.999999Z"},
        {"texts": ["x"], "metadata": {str(n): "x" for n in range(17)}},
        {"texts": ["x"], "metadata": {"k": "v" * 257}},
        {"texts": ["x"], "metadata": {"": "v"}},
        {"texts": ["x"], "metadata": {"k": 1}},
        {"texts": ["x"], "metadata": {"k\0": "v"}},
        {"texts": ["x"], "metadata": {"k": "\0"}},
        {"texts": ["x\0"]},
        {"texts": ["x"], "model": "\0"},
        {"texts": ["x"], "owner_id": "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"},
        {"texts": ["x"], "status": "completed"},
        {"texts": ["x"], "attempt": 3},
    ],
    ids=str,
)
async def test_a_body_that_makes_no_sense_is_refused(
    client: httpx.AsyncClient, alice: Account, store: Database, body: Any
) -> None:
    answer = await client.post(CREATE, json=body, headers=alice.headers)

    assert_problem(answer, 422, "validation_error")
    assert await rows.value(store, "SELECT count(*) FROM jobs") == 0


@pytest.mark.parametrize(
    "body",
    [
        rb'{"texts": ["\ud800"]}',
        rb'{"texts": ["x"], "metadata": {"k": "\udfff"}}',
        rb'{"texts": ["x"], "delay_seconds": NaN}',
        rb'{"texts": ["x"], "delay_seconds": 1e400}',
        b"",
    ],
)
async def test_a_body_that_json_cannot_hold_is_refused(
    client: httpx.AsyncClient, alice: Account, body: bytes
) -> None:
    headers = {**alice.headers, "Content-Type": "application/json"}

    answer = await client.post(CREATE, content=body, headers=headers)

    assert_problem(answer, 422, "validation_error")


async def test_a_body_that_is_not_utf_8_is_refused(client: httpx.AsyncClient, alice: Account) -> None:
    headers = {**alice.headers, "Content-Type": "application/json"}

    for body in (b'{"texts": ["\xff"]}', b"{"):
        assert_problem(await client.post(CREATE, content=body, headers=headers), 400, "malformed_json")


async def test_an_early_start_does_no_harm(client: httpx.AsyncClient, alice: Account) -> None:
    body = {"texts": ["x"], "run_at": "0001-01-01T00:00:00Z", "priority": "high"}

    answer = await client.post(CREATE, json=body, headers=alice.headers)

    assert answer.status_code == 202
    assert (await client.get("/jobs", headers=alice.headers)).status_code == 200


async def test_only_an_administrator_goes_before_everybody_else_by_default(
    client: httpx.AsyncClient, store: Database, alice: Account, mallory: Account
) -> None:
    await rows.execute(store, "UPDATE users SET role = 'admin' WHERE id = $1", mallory.id)

    async def ask(who: Account, priority: str) -> int:
        body = {"texts": ["x"], "priority": priority}
        return (await client.post(CREATE, json=body, headers=who.headers)).status_code

    assert [await ask(alice, priority) for priority in ("high", "critical")] == [202, 422]
    assert await ask(mallory, "critical") == 202


async def test_a_body_over_the_limit_is_too_large(client: httpx.AsyncClient, alice: Account) -> None:
    texts = ["x" * 99_999] * 170

    answer = await client.post(CREATE, json={"texts": texts}, headers=alice.headers)

    assert_problem(answer, 413, "body_too_large")


# Idempotency


async def test_the_same_key_and_body_give_the_same_job(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    headers = {**alice.headers, "Idempotency-Key": "order-7"}

    first = await client.post(CREATE, json={"texts": ["x"]}, headers=headers)
    again = await client.post(CREATE, json={"texts": ["x"]}, headers=headers)

    assert (first.status_code, again.status_code) == (202, 200)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert await rows.value(store, "SELECT count(*) FROM jobs") == 1


async def test_a_replay_says_where_the_job_stands_now(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    headers = {**alice.headers, "Idempotency-Key": "order-7"}
    await client.post(CREATE, json={"texts": ["x"]}, headers=headers)
    await jobs.complete(store, await jobs.claim(store))

    again = await client.post(CREATE, json={"texts": ["x"]}, headers=headers)

    assert (again.status_code, again.json()["status"]) == (200, "completed")


async def test_the_same_key_with_another_body_is_refused(client: httpx.AsyncClient, alice: Account) -> None:
    headers = {**alice.headers, "Idempotency-Key": "order-7"}
    await client.post(CREATE, json={"texts": ["x"]}, headers=headers)

    answer = await client.post(CREATE, json={"texts": ["y"]}, headers=headers)

    assert_problem(answer, 422, "idempotency_key_reused")


async def test_the_same_key_at_the_same_moment_gives_one_job(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    headers = {**alice.headers, "Idempotency-Key": "order-7"}

    answers = await asyncio.gather(
        *(client.post(CREATE, json={"texts": ["x"]}, headers=headers) for _ in range(12))
    )

    assert sorted(answer.status_code for answer in answers) == [200] * 11 + [202]
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert await rows.value(store, "SELECT count(*) FROM jobs") == 1


async def test_another_users_key_is_another_key(
    client: httpx.AsyncClient, alice: Account, mallory: Account
) -> None:
    answers = [
        await client.post(CREATE, json={"texts": ["x"]}, headers={**who.headers, "Idempotency-Key": "same"})
        for who in (alice, mallory)
    ]

    assert [answer.status_code for answer in answers] == [202, 202]


@pytest.mark.parametrize("key", ["", "two words", "k" * 256])
async def test_a_key_that_is_no_key_is_refused(client: httpx.AsyncClient, alice: Account, key: str) -> None:
    headers = {**alice.headers, "Idempotency-Key": key}

    answer = await client.post(CREATE, json={"texts": ["x"]}, headers=headers)

    assert_problem(answer, 422, "validation_error")


# Whose is it

READS = ["", "/results", "/events", "/stream"]


@pytest.mark.parametrize("path", READS)
async def test_a_foreign_job_is_not_shown(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database, path: str
) -> None:
    job_id = await jobs.create(store, alice.id)

    answer = await client.get(f"/jobs/{job_id}{path}", headers=mallory.headers)

    assert_problem(answer, 403, "not_your_job")


@pytest.mark.parametrize("path", READS)
async def test_a_job_that_does_not_exist_is_not_found(
    client: httpx.AsyncClient, alice: Account, path: str
) -> None:
    answer = await client.get(f"/jobs/{ids.new_id()}{path}", headers=alice.headers)

    assert_problem(answer, 404, "job_not_found")


@pytest.mark.parametrize("path", READS)
async def test_an_id_that_is_none_is_refused(client: httpx.AsyncClient, alice: Account, path: str) -> None:
    answer = await client.get(f"/jobs/garbage{path}", headers=alice.headers)

    assert_problem(answer, 422, "validation_error")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/jobs/batch-predict"),
        ("GET", "/jobs"),
        ("GET", "/jobs/{job_id}"),
        ("DELETE", "/jobs/{job_id}"),
        ("POST", "/jobs/{job_id}/cancel"),
        ("GET", "/jobs/{job_id}/results"),
        ("GET", "/jobs/{job_id}/events"),
        ("GET", "/jobs/{job_id}/stream"),
    ],
)
async def test_nothing_of_a_job_is_for_strangers(
    client: httpx.AsyncClient, store: Database, method: str, path: str
) -> None:
    job_id = await jobs.create(store)

    answer = await client.request(method, path.format(job_id=job_id), json={"texts": ["x"]})

    assert_problem(answer, 401, "invalid_token")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), [("DELETE", ""), ("POST", "/cancel")])
async def test_a_foreign_job_is_not_cancelled(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database, method: str, path: str
) -> None:
    job_id = await jobs.create(store, alice.id)

    foreign = await client.request(method, f"/jobs/{job_id}{path}", headers=mallory.headers)
    unknown = await client.request(method, f"/jobs/{ids.new_id()}{path}", headers=mallory.headers)

    assert_problem(foreign, 403, "not_your_job")
    assert_problem(unknown, 404, "job_not_found")
    assert (await rows.job(store, job_id))["status"] == "pending"


# Listing


async def test_the_list_holds_ones_own_jobs_newest_first(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    mine = [str(await jobs.create(store, alice.id)) for _ in range(3)]
    await jobs.create(store, mallory.id)

    page = (await client.get("/jobs", headers=alice.headers)).json()

    assert [job["job_id"] for job in page["items"]] == mine[::-1]
    assert page["next_cursor"] is None


async def test_the_pages_of_a_list_hold_each_job_once_while_new_ones_come(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    there = [str(await jobs.create(store, alice.id)) for _ in range(7)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": "3", **({} if cursor is None else {"cursor": cursor})}
        page = (await client.get("/jobs", params=query, headers=alice.headers)).json()
        seen += [job["job_id"] for job in page["items"]]
        await jobs.create(store, alice.id)
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert seen == there[::-1]


async def test_a_page_that_is_exactly_full_is_the_last_one(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    for _ in range(3):
        await jobs.create(store, alice.id)

    page = (await client.get("/jobs?limit=3", headers=alice.headers)).json()

    assert (len(page["items"]), page["next_cursor"]) == (3, None)


async def test_the_list_can_be_narrowed(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    blue = await jobs.create(store, alice.id, metadata={"team": "blue", "run": "1"})
    red = await jobs.create(store, alice.id, metadata={"team": "red", "run": "1"}, queue="gpu")
    done = await jobs.create(store, alice.id, queue="done")
    await jobs.create(store, mallory.id, metadata={"team": "blue"})
    [job] = await jobs.claim_all(store, await jobs.worker(store), queue="done")
    await jobs.complete(store, job)

    async def found(query: str) -> list[UUID]:
        answer = await client.get(f"/jobs?{query}", headers=alice.headers)
        assert answer.status_code == 200, answer.text
        return [UUID(job["job_id"]) for job in answer.json()["items"]]

    assert await found("metadata.team=blue") == [blue]
    assert await found("metadata.run=1") == [red, blue]
    assert await found("metadata.run=1&metadata.team=red") == [red]
    assert await found("metadata.team=green") == []
    assert await found("queue=gpu") == [red]
    assert await found("status=completed") == [done]
    assert await found("status=pending&queue=default") == [blue]
    assert await found("kind=batch_predict&model=sentiment") == [done, red, blue]
    assert await found("kind=train_model") == []
    assert await found("model=other") == []


async def test_the_list_can_be_narrowed_by_time(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    early, late = [await jobs.create(store, alice.id) for _ in range(2)]
    await rows.execute(
        store, "UPDATE jobs SET created_at = created_at - interval '1 day' WHERE id = $1", early
    )
    noon = (datetime.now(UTC) - timedelta(hours=1)).isoformat()

    after = await client.get("/jobs", params={"created_after": noon}, headers=alice.headers)
    before = await client.get("/jobs", params={"created_before": noon}, headers=alice.headers)

    assert [job["job_id"] for job in after.json()["items"]] == [str(late)]
    assert [job["job_id"] for job in before.json()["items"]] == [str(early)]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=many",
        "status=lost",
        "status=pending&status=lost",
        "&".join(["status=pending"] * 6),
        "priority=urgent",
        "view=card",
        "q=",
        "q=%00",
        f"q={'a' * 201}",
        "created_after=yesterday",
        "created_after=2030-01-01T00:00:00",
        "created_before=0001-01-01T00:00:00%2B14:00",
        "created_after=9999-12-31T23:59:59-12:00",
        "kind=%00",
        "queue=%00",
        "model=%00",
        "metadata.k=%00",
        "metadata.%00=v",
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(
    client: httpx.AsyncClient, alice: Account, query: str
) -> None:
    answer = await client.get(f"/jobs?{query}", headers=alice.headers)

    assert_problem(answer, 422, "validation_error")


@pytest.mark.parametrize("cursor", ["", "abc", "%00", "AAAA", "é", "A" * 1000])
async def test_a_cursor_that_we_never_gave_is_refused(
    client: httpx.AsyncClient, alice: Account, cursor: str
) -> None:
    answer = await client.get(f"/jobs?cursor={cursor}", headers=alice.headers)

    assert_problem(answer, 400, "invalid_cursor")


# Reading one


async def test_a_running_job_says_how_far_it_is_and_when_it_will_be_done(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id, rows=25)
    await jobs.commit(store, job)

    view = (await client.get(f"/jobs/{job.id}", headers=alice.headers)).json()

    assert (view["status"], view["attempt"], view["progress"]) == ("running", 1, 40.0)
    assert (view["done"], view["total"], view["step"]) == (10, 25, "Batch 1")
    assert view["estimated_completion"] > view["started_at"]


async def test_a_completed_job_has_its_predictions_in_input_order(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id, rows=25)
    await jobs.complete(store, job)

    view = (await client.get(f"/jobs/{job.id}", headers=alice.headers)).json()

    assert (view["status"], view["progress"], view["cancel_requested"]) == ("completed", 100.0, False)
    assert view["result"]["predictions"] == [jobs.prediction(row) for row in range(25)]
    assert view["result"]["results_url"] == f"/jobs/{job.id}/results"
    assert view["result"]["seconds"] > 0
    assert view["completed_at"] >= view["started_at"] >= view["created_at"]


async def test_the_rate_of_a_job_is_that_of_the_attempt_that_completed_it(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id, rows=25)
    await jobs.commit(store, job)
    await jobs.fail(store, job)
    await rows.execute(
        store, "UPDATE jobs SET created_at = now() - interval '1 d', started_at = now() - interval '1 d'"
    )
    again = await jobs.claim(store)
    await rows.execute(store, "UPDATE jobs SET attempt_started_at = now() - interval '100 s'")
    await jobs.complete(store, again)

    view = (await client.get(f"/jobs/{job.id}", headers=alice.headers)).json()

    assert (view["attempt"], view["done"]) == (2, 25)
    assert 100 <= view["result"]["seconds"] < 3600
    assert view["result"]["rows_per_second"] == round(15 / view["result"]["seconds"], 1)


async def test_a_failed_job_says_why(client: httpx.AsyncClient, alice: Account, store: Database) -> None:
    job = await jobs.running(store, alice.id)
    await jobs.fail(store, job, is_retryable=False)

    view = (await client.get(f"/jobs/{job.id}", headers=alice.headers)).json()

    assert view["status"] == "failed"
    assert view["error"] == {**jobs.ERROR, "attempt": 1}
    assert "boom" in view["error"]["code"]
    assert "Traceback" not in str(view)


async def test_what_has_not_changed_is_not_sent_again(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id)
    seen = (await client.get(f"/jobs/{job.id}", headers=alice.headers)).headers["etag"]
    headers = {**alice.headers, "If-None-Match": f'"other", {seen}'}

    unchanged = await client.get(f"/jobs/{job.id}", headers=headers)
    await jobs.commit(store, job)
    changed = await client.get(f"/jobs/{job.id}", headers=headers)

    assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", seen)
    assert changed.status_code == 200
    assert changed.headers["etag"] != seen


async def test_pruned_results_are_a_change(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id)
    await jobs.complete(store, job)
    seen = (await client.get(f"/jobs/{job.id}", headers=alice.headers)).headers["etag"]
    await rows.execute(store, "UPDATE jobs SET pruned_at = now()")

    answer = await client.get(f"/jobs/{job.id}", headers={**alice.headers, "If-None-Match": seen})

    assert answer.status_code == 200


async def test_a_wait_is_answered_when_the_job_ends(
    client: httpx.AsyncClient, alice: Account, store: Database, app: FastAPI
) -> None:
    job = await jobs.running(store, alice.id)

    async def complete_once_somebody_waits() -> None:
        await until(lambda: subscriber_count(state_of(app).resources, alice.id))
        publish(state_of(app).resources, await jobs.complete(store, job))

    async with asyncio.TaskGroup() as group:
        group.create_task(complete_once_somebody_waits())
        answer = await client.get(f"/jobs/{job.id}?wait=60", headers=alice.headers)

    assert answer.json()["status"] == "completed"


async def test_a_wait_for_a_job_that_goes_on_ends_with_where_it_stands(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id)

    answer = await client.get(f"/jobs/{job.id}?wait=0.05", headers=alice.headers)

    assert (answer.status_code, answer.json()["status"]) == (200, "running")


@pytest.mark.parametrize("wait", ["-1", "61", "nan", "long"])
async def test_a_wait_out_of_bounds_is_refused(client: httpx.AsyncClient, alice: Account, wait: str) -> None:
    answer = await client.get(f"/jobs/{ids.new_id()}?wait={wait}", headers=alice.headers)

    assert_problem(answer, 422, "validation_error")


# Cancelling


@pytest.mark.parametrize(("method", "path"), [("DELETE", ""), ("POST", "/cancel")])
async def test_a_pending_job_is_cancelled_at_once(
    client: httpx.AsyncClient, alice: Account, store: Database, method: str, path: str
) -> None:
    job_id = await jobs.create(store, alice.id)

    answer = await client.request(method, f"/jobs/{job_id}{path}", headers=alice.headers)

    assert answer.status_code == 200
    assert answer.json()["message"] == "Job cancelled"
    assert answer.json()["job"]["status"] == "cancelled"
    await invariants.all_hold(store)


async def test_the_cancel_of_a_running_job_is_answered_when_it_is_true(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id)

    async def stop_when_asked() -> None:
        await until(lambda: rows.value(store, "SELECT cancel_requested_at FROM jobs WHERE id = $1", job.id))
        await jobs.stop(store, job)

    async with asyncio.TaskGroup() as group:
        group.create_task(stop_when_asked())
        answer = await client.delete(f"/jobs/{job.id}", headers=alice.headers)

    assert answer.status_code == 200
    assert answer.json()["message"] == "Job cancelled"
    assert (await rows.job(store, job.id))["status"] == "cancelled"
    await invariants.all_hold(store)


@pytest.mark.parametrize("job_times", [JobTimes(cancel_seconds=0.05)])
async def test_a_cancel_that_takes_long_is_accepted_and_can_be_asked_for_again(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id)

    answers = [await client.delete(f"/jobs/{job.id}", headers=alice.headers) for _ in range(2)]

    for answer in answers:
        assert answer.status_code == 202
        assert answer.json()["message"] == "Cancellation requested"
        assert answer.json()["job"]["cancel_requested"] is True
        assert answer.json()["job"]["status"] == "running"
    assert await rows.event_types(store, job.id) == ["created", "started", "cancel_requested"]


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
async def test_a_finished_job_cannot_be_cancelled(
    client: httpx.AsyncClient, alice: Account, store: Database, end: str
) -> None:
    job = await jobs.running(store, alice.id)
    if end == "completed":
        await jobs.complete(store, job)
    elif end == "failed":
        await jobs.fail(store, job, is_retryable=False)
    else:
        await jobs.stop(store, job)

    answer = await client.delete(f"/jobs/{job.id}", headers=alice.headers)

    problem = assert_problem(answer, 400, "job_already_finished")
    assert problem["detail"] == f"Cannot cancel {end} job"


# Results


async def all_results(client: httpx.AsyncClient, who: Account, job_id: UUID, limit: int) -> list[Any]:
    """Every row, page by page, until there is no next page."""
    found: list[Any] = []
    query: dict[str, str] = {"limit": str(limit)}
    while True:
        page = (await client.get(f"/jobs/{job_id}/results", params=query, headers=who.headers)).json()
        assert len(page["items"]) <= limit
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        query["cursor"] = page["next_cursor"]


def expected_results(count: int) -> list[Any]:
    return [{"index": row, "input_index": row, "prediction": jobs.prediction(row)} for row in range(count)]


@pytest.mark.parametrize("limit", [1, 3, 10, 24, 25, 26, 1000])
async def test_the_pages_of_the_results_hold_each_row_once_in_input_order(
    client: httpx.AsyncClient, alice: Account, store: Database, limit: int
) -> None:
    job = await jobs.running(store, alice.id, rows=25)
    await jobs.complete(store, job)

    assert await all_results(client, alice, job.id, limit) == expected_results(25)


async def test_the_results_of_a_running_job_can_be_read_on_as_they_come(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id, rows=25)
    found: list[Any] = []
    query: dict[str, str] = {"limit": "7"}

    async def read_a_page() -> bool:
        page = (await client.get(f"/jobs/{job.id}/results", params=query, headers=alice.headers)).json()
        found.extend(page["items"])
        if page["next_cursor"] is not None:
            query["cursor"] = page["next_cursor"]
        return page["next_cursor"] is not None

    assert await read_a_page()
    await jobs.commit(store, job, first=0)
    for _ in range(3):
        assert await read_a_page()
    assert found == expected_results(10)
    await jobs.commit(store, job, first=1, count=2)
    await jobs.advance(store, jobs.report(job, first=3, count=0, is_final=True))
    while await read_a_page():
        pass

    assert found == expected_results(25)


@pytest.mark.parametrize("end", [jobs.stop, jobs.fail])
async def test_what_was_computed_before_a_bad_end_can_be_read(
    client: httpx.AsyncClient, alice: Account, store: Database, end: Any
) -> None:
    await jobs.create(store, alice.id, max_attempts=1)
    job = await jobs.claim(store)
    await jobs.commit(store, job, count=2)
    await end(store, job)

    assert await all_results(client, alice, job.id, 100) == expected_results(20)


async def test_all_results_come_as_lines_of_json(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id, rows=25)
    await jobs.complete(store, job)

    answer = await client.get(
        f"/jobs/{job.id}/results", headers={**alice.headers, "Accept": "application/x-ndjson"}
    )

    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [msgspec.json.decode(line) for line in answer.content.splitlines()] == expected_results(25)


async def test_all_results_come_as_a_table_that_runs_no_formula(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id, rows=10)
    [batch] = jobs.batches(job, first=0, count=1)
    rows_of_it = [{"prediction": {"label": f"={row}+1", "scores": {"a,b": row}}} for row in range(10)]
    lines = [msgspec.json.encode(row) for row in rows_of_it]
    report = replace(jobs.report(job), batches=(replace(batch, output=b"\n".join(lines)),))
    await jobs.advance(store, report)

    answer = await client.get(f"/jobs/{job.id}/results", headers={**alice.headers, "Accept": "text/csv"})

    assert answer.headers["content-type"].startswith("text/csv")
    header, *table = csv.reader(io.StringIO(answer.text))
    assert header == ["index", "input_index", "label", "scores.a,b"]
    assert table == [[str(row), str(row), f"'={row}+1", str(row)] for row in range(10)]


async def test_expired_results_are_gone(client: httpx.AsyncClient, alice: Account, store: Database) -> None:
    job = await jobs.running(store, alice.id)
    await jobs.complete(store, job)
    await rows.execute(store, "UPDATE jobs SET pruned_at = now()")

    answer = await client.get(f"/jobs/{job.id}/results", headers=alice.headers)

    assert_problem(answer, 410, "results_expired")


@pytest.mark.parametrize(
    "cursor", ["x", "1", "1.", ".1", "-1.0", "1.1.1", f"{MANY_DIGITS}.0", "9999999999.0", "٣.٣"]
)
async def test_a_place_in_the_results_that_we_never_gave_is_refused(
    client: httpx.AsyncClient, alice: Account, store: Database, cursor: str
) -> None:
    job_id = await jobs.create(store, alice.id)

    answer = await client.get(f"/jobs/{job_id}/results", params={"cursor": cursor}, headers=alice.headers)

    assert_problem(answer, 400, "invalid_cursor")


async def test_a_place_in_the_results_beyond_every_batch_holds_nothing(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await jobs.create(store, alice.id)

    answer = await client.get(f"/jobs/{job_id}/results?cursor=999999999.999999999", headers=alice.headers)

    assert answer.json()["items"] == []


# Events


async def test_the_log_can_be_read_from_anywhere(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id, rows=25)
    await jobs.complete(store, job)

    whole = (await client.get(f"/jobs/{job.id}/events", headers=alice.headers)).json()
    rest = (await client.get(f"/jobs/{job.id}/events?after=4", headers=alice.headers)).json()
    two = (await client.get(f"/jobs/{job.id}/events?after=1&limit=2", headers=alice.headers)).json()
    beyond = (await client.get(f"/jobs/{job.id}/events?after=999999999999", headers=alice.headers)).json()

    assert [event["seq"] for event in whole["items"]] == [1, 2, 3, 4, 5, 6]
    assert whole["last_seq"] == 6
    assert rest["items"] == whole["items"][4:]
    assert two["items"] == whole["items"][1:3]
    assert beyond["items"] == []
    last = whole["items"][-1]
    assert (last["type"], last["status"], last["job_id"]) == ("completed", "completed", str(job.id))


@pytest.mark.parametrize("after", ["-1", "abc", str(MANY_DIGITS)])
async def test_a_place_in_the_log_that_is_none_is_refused(
    client: httpx.AsyncClient, alice: Account, store: Database, after: str
) -> None:
    job_id = await jobs.create(store, alice.id)

    answer = await client.get(f"/jobs/{job_id}/events?after={after}", headers=alice.headers)

    assert_problem(answer, 422, "validation_error")


# The contract


async def test_the_versioned_paths_are_the_same_routes(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    answer = await client.post("/api/v1/jobs/batch-predict", json=["x"], headers=alice.headers)
    job_id = answer.json()["job_id"]

    versioned = await client.get(f"/api/v1/jobs/{job_id}", headers=alice.headers)
    canonical = await client.get(f"/jobs/{job_id}", headers=alice.headers)

    assert answer.status_code == 202
    links = canonical.json().pop("links")
    assert versioned.json() == canonical.json() | {
        "links": {name: f"/api/v1{path}" for name, path in links.items()}
    }


async def test_answers_are_what_the_document_says(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    created = await client.post(CREATE, json=["x"] * 25, headers=alice.headers)
    path = created.json()["poll_url"]
    assert_matches(JobCreated, created.json())
    assert_matches(JobDetails, (await client.get(path, headers=alice.headers)).json())
    job = await jobs.claim(store)
    await jobs.commit(store, job)
    assert_matches(JobDetails, (await client.get(path, headers=alice.headers)).json())
    assert_matches(JobPage, (await client.get("/jobs?limit=1", headers=alice.headers)).json())
    assert_matches(ResultPage, (await client.get(f"{path}/results?limit=3", headers=alice.headers)).json())
    await jobs.fail(store, job)
    await jobs.complete(store, await jobs.claim(store))
    for _ in range(2):
        await jobs.create(store, alice.id)
    assert_matches(JobDetails, (await client.get(path, headers=alice.headers)).json())
    assert_matches(JobPage, (await client.get("/jobs?limit=2", headers=alice.headers)).json())
    assert_matches(ResultPage, (await client.get(f"{path}/results", headers=alice.headers)).json())
    TypeAdapter(EventPage).validate_json((await client.get(f"{path}/events", headers=alice.headers)).content)
    pending = await jobs.create(store, alice.id)
    assert_matches(CancelAnswer, (await client.delete(f"/jobs/{pending}", headers=alice.headers)).json())


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


async def test_every_operation_has_a_stable_name_and_a_summary(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()

    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names))
    assert {
        "createBatchPredictJob",
        "listJobs",
        "getJob",
        "cancelJob",
        "deleteJob",
        "getJobResults",
        "getJobEvents",
        "streamJob",
    } <= set(names)
    for method, path, operation in operations(document):
        assert operation["operationId"].isalnum(), operation["operationId"]
        assert operation["operationId"][0].islower(), operation["operationId"]
        assert operation.get("summary"), f"{method} {path}"
        assert "api/v1" not in path


async def test_the_document_says_how_errors_really_look(client: httpx.AsyncClient) -> None:
    answer = await client.get("/openapi.json")

    assert "HTTPValidationError" not in answer.text
    schemas = answer.json()["components"]["schemas"]
    assert {"Problem", "JobView", "JobPage", "EventPage", "ResultPage", "CancelAnswer"} <= set(schemas)


async def test_every_reference_of_the_document_leads_somewhere(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()

    def references(part: Any) -> Iterator[str]:
        if isinstance(part, dict):
            if isinstance(part.get("$ref"), str):
                yield part["$ref"]
            for member in part.values():
                yield from references(member)
        elif isinstance(part, list):
            for member in part:
                yield from references(member)

    for reference in set(references(document)):
        place: Any = document
        for name in reference.removeprefix("#/").split("/"):
            place = place[name]
