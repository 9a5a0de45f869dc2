"""Dry runs over HTTP: as strict as a creation, and without a trace."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI
from pydantic import TypeAdapter

from app.core.database import Database
from app.jobs.dry_runs.schemas import DryRun
from app.jobs.quota import Quota
from app.jobs.states import Priority
from app.quotas.service import StorageQuota
from tests.jobs.test_http import assert_problem
from tests.support import jobs, rows
from tests.support.accounts import Account
from tests.support.app_state import replace_state

PREDICT = "/jobs/batch-predict"
TRAINING = {"rows": [{"x": n, "y": n % 2} for n in range(20)], "target": "y"}
TABLES = ("jobs", "job_payloads", "job_events", "job_groups")


async def post(client: httpx.AsyncClient, who: Account, body: Any, path: str = PREDICT) -> httpx.Response:
    return await client.post(f"{path}?dry_run=true", json=body, headers=who.headers)


async def dry_run(client: httpx.AsyncClient, who: Account, body: Any, path: str = PREDICT) -> Any:
    answer = await post(client, who, body, path)
    assert answer.status_code == 200, answer.text
    TypeAdapter(DryRun).validate_json(answer.content)
    return answer.json()


async def stored(store: Database) -> list[int]:
    return [await rows.value(store, f"SELECT count(*) FROM {table}") for table in TABLES]


async def measured(
    store: Database, owner: Account, *, seconds: float, model_version_id: UUID | None = None
) -> None:
    """A job of 25 rows that took so long, and has ended."""
    job_id = await jobs.create(store, owner.id, rows=25)
    await rows.execute(store, "UPDATE jobs SET model_version_id = $2 WHERE id = $1", job_id, model_version_id)
    await jobs.complete(store, await jobs.claim(store))
    await rows.execute(
        store,
        "UPDATE job_attempts SET started_at = ended_at - make_interval(secs => $2) WHERE job_id = $1",
        job_id,
        seconds,
    )


async def test_a_valid_request_is_answered_and_leaves_nothing(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    found = await dry_run(client, alice, {"texts": ["lovely", "awful"], "queue": "gpu"})

    assert found == {
        "kind": "batch_predict",
        "queue": "gpu",
        "jobs": 1,
        "shards": 0,
        "total": 2,
        "position": 1,
        "estimated_start_at": None,
        "estimated_seconds": None,
        "code": "no_worker",
        "sentence": "No worker that is alive serves the queue 'gpu'.",
        "facts": {},
    }
    assert await stored(store) == [0, 0, 0, 0]


async def test_it_tells_what_the_created_job_then_explains(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    await jobs.worker(store)
    for owner in (alice, mallory, mallory):
        await jobs.create(store, owner.id)

    for priority in ("low", "normal", "high"):
        body = {"texts": ["fine"], "priority": priority}
        foreseen = await dry_run(client, alice, body)
        created = await client.post(PREDICT, json=body, headers=alice.headers)
        path = f"{created.json()['poll_url']}/explain"
        told = (await client.get(path, headers=alice.headers)).json()
        await client.post(f"{created.json()['poll_url']}/cancel", headers=alice.headers)

        assert [foreseen[name] for name in ("code", "queue", "sentence")] == [
            told[name] for name in ("code", "queue", "sentence")
        ], priority
        assert foreseen["position"] == told["position"], priority


async def test_the_place_and_the_start_follow_from_what_waits(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    await jobs.worker(store)
    now = await rows.value(store, "SELECT now()")
    free = await dry_run(client, alice, {"texts": ["fine"]})
    for _ in range(3):
        await jobs.create(store, alice.id)

    waiting = await dry_run(client, alice, {"texts": ["fine"]})
    urgent = await dry_run(client, alice, {"texts": ["fine"], "priority": Priority.HIGH})

    assert (free["code"], free["position"]) == ("next", 1)
    assert now <= datetime.fromisoformat(free["estimated_start_at"]) <= now + timedelta(minutes=1)
    assert (waiting["code"], waiting["position"]) == ("waiting_its_turn", 4)
    assert urgent["position"] == 1


async def test_a_delayed_start_is_foreseen(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    await jobs.worker(store)
    now = await rows.value(store, "SELECT now()")

    found = await dry_run(client, alice, {"texts": ["fine"], "delay_seconds": 3600})

    assert found["code"] == "delayed"
    assert datetime.fromisoformat(found["estimated_start_at"]) >= now + timedelta(hours=1)


async def test_how_long_it_takes_follows_from_recent_jobs_of_the_kind(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    before = await dry_run(client, alice, {"texts": ["fine"] * 100})
    await measured(store, alice, seconds=5.0)

    after = await dry_run(client, alice, {"texts": ["fine"] * 100})
    other = await dry_run(client, alice, TRAINING, "/jobs/train-model")

    assert before["estimated_seconds"] is None
    assert after["estimated_seconds"] == pytest.approx(20.0, rel=0.01)
    assert other["estimated_seconds"] is None


async def test_the_pace_of_the_same_model_counts_more(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    await measured(store, alice, seconds=5.0, model_version_id=uuid4())
    of_another = (await dry_run(client, alice, {"texts": ["fine"] * 100}))["estimated_seconds"]

    await measured(store, alice, seconds=50.0)

    assert of_another == pytest.approx(20.0, rel=0.01)
    assert (await dry_run(client, alice, {"texts": ["fine"] * 100}))["estimated_seconds"] == pytest.approx(
        200
    )


async def test_a_request_that_fans_out_is_foreseen_as_a_whole(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    search = {"algorithm": "random_forest", "search": {"params": {"min_samples_leaf": [1, 2, 5]}}}

    found = await dry_run(client, alice, {**TRAINING, **search, "epochs": 4}, "/jobs/train-model")

    assert (found["jobs"], found["total"]) == (3, 12)
    assert await stored(store) == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"texts": []}, 422, "validation_error"),
        ({"texts": ["x"] * 1001}, 400, "too_many_rows"),
        ({"texts": ["x"], "model": "nope"}, 404, "model_not_found"),
        ({"dataset": "nope"}, 404, "dataset_not_found"),
        ({"texts": ["x" * 100_001]}, 413, "text_too_long"),
        ({"texts": ["x"], "time_limit_seconds": 86_400}, 422, "job_limit_exceeded"),
    ],
)
async def test_what_a_creation_refuses_a_dry_run_refuses_too(
    client: httpx.AsyncClient, alice: Account, body: Any, status: int, code: str
) -> None:
    created = await client.post(PREDICT, json=body, headers=alice.headers)

    assert_problem(created, status, code)
    refused = (await post(client, alice, body)).json()
    assert {**refused, "request_id": None} == {**created.json(), "request_id": None}


async def test_without_room_for_a_job_it_is_refused(
    app: FastAPI, client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    replace_state(app, quota=Quota(store, 2))
    body = {"texts": ["fine"]}
    await jobs.create(store, alice.id)
    assert (await post(client, alice, body)).status_code == 200
    search = {"algorithm": "random_forest", "search": {"params": {"min_samples_leaf": [1, 2, 5]}}}
    assert_problem(
        await post(client, alice, {**TRAINING, **search}, "/jobs/train-model"), 429, "too_many_active_jobs"
    )
    await jobs.create(store, alice.id)

    assert_problem(await post(client, alice, body), 429, "too_many_active_jobs")


async def test_without_room_for_its_rows_it_is_refused(
    app: FastAPI, client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    replace_state(app, quota=Quota(store, 10, StorageQuota(100)))

    assert (await post(client, alice, {"texts": ["fine"]})).status_code == 200
    assert_problem(await post(client, alice, {"texts": ["fine" * 100]}), 413, "quota_exceeded")


async def test_a_dry_run_does_not_use_the_idempotency_key(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    headers = {**alice.headers, "Idempotency-Key": "one"}

    first = await client.post(f"{PREDICT}?dry_run=true", json={"texts": ["fine"]}, headers=headers)
    created = await client.post(PREDICT, json={"texts": ["bad"]}, headers=headers)
    again = await client.post(f"{PREDICT}?dry_run=true", json={"texts": ["fine"]}, headers=headers)

    assert [one.status_code for one in (first, created, again)] == [200, 202, 200]
    assert (await stored(store))[0] == 1


async def test_a_dry_run_needs_the_right_to_create(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    await rows.execute(store, "UPDATE users SET role = 'viewer' WHERE id = $1", alice.id)

    assert_problem(await post(client, alice, {"texts": ["fine"]}), 403, "forbidden")
