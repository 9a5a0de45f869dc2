"""Queues over HTTP: what is in them, and pausing and resuming them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.auth.roles import Role
from app.core.config import ClaimOrder
from app.core.database import Database
from app.jobs import lane
from tests.jobs.test_http import assert_problem
from tests.support import jobs, rows
from tests.support.accounts import Account, sign_in

REASON = "The GPU node is being replaced."


@pytest.fixture
async def operator(app: FastAPI) -> Account:
    """An operator."""
    return await sign_in(app, "olga", Role.OPERATOR)


async def listed(client: httpx.AsyncClient, who: Account) -> dict[str, dict[str, Any]]:
    answer = await client.get("/queues", headers=who.headers)
    assert answer.status_code == 200, answer.text
    return {queue["name"]: queue for queue in answer.json()["items"]}


async def pause(
    client: httpx.AsyncClient, who: Account, queue: str = "default", reason: str = REASON
) -> dict[str, Any]:
    answer = await client.post(f"/queues/{queue}/pause", json={"reason": reason}, headers=who.headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def resume(client: httpx.AsyncClient, who: Account, queue: str = "default") -> dict[str, Any]:
    answer = await client.post(f"/queues/{queue}/resume", headers=who.headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def audited(store: Database) -> list[tuple[Any, ...]]:
    found = await rows.fetch(
        store,
        """SELECT action, actor_name, object_type, object_id, details FROM audit_log
        WHERE action LIKE 'queue.%' ORDER BY id""",
    )
    return [tuple(row.values()) for row in found]


async def test_a_queue_has_the_jobs_of_all_users_and_the_slots_of_workers_that_take_jobs(
    client: httpx.AsyncClient, operator: Account, alice: Account, mallory: Account, store: Database
) -> None:
    worker_id = await jobs.worker(store, slots=4, predict_slots=1)
    await jobs.create(store, alice.id)
    await jobs.claim(store, worker_id)
    await jobs.create(store, alice.id)
    await jobs.create(store, mallory.id)
    await jobs.create(store, mallory.id, delay=timedelta(hours=1))
    await jobs.create(store, mallory.id, queue="gpu", delay=timedelta(hours=1))
    await rows.execute(
        store,
        "UPDATE jobs SET run_at = now() - interval '90 seconds' WHERE status = 'pending' AND run_at <= now()",
    )
    draining = await jobs.worker(store, slots=8)
    await rows.execute(store, "UPDATE workers SET stopping_at = now() WHERE id = $1", draining)
    await jobs.expire_lease(store, await jobs.worker(store, slots=16))

    found = await listed(client, operator)

    assert list(found) == [lane.QUEUE, "default", "gpu"]
    default = found["default"]
    assert (default["pending"], default["running"]) == (3, 1)
    assert (default["workers"], default["slots"]) == (1, 4)
    assert 90 <= default["oldest_seconds"] < 120
    assert (default["is_pausable"], default["paused_at"], default["reason"]) == (True, None, None)
    gpu = found["gpu"]
    assert (gpu["pending"], gpu["oldest_seconds"], gpu["workers"], gpu["slots"]) == (1, None, 0, 0)
    assert (found[lane.QUEUE]["slots"], found[lane.QUEUE]["is_pausable"]) == (5, False)


async def test_of_very_many_queues_without_workers_the_first_are_listed_and_the_others_all(
    client: httpx.AsyncClient, operator: Account, alice: Account, store: Database
) -> None:
    await jobs.create(store, alice.id, queue="a")
    await rows.execute(
        store,
        """INSERT INTO jobs (id, owner_id, kind, queue, priority, run_at, sort_key, params, max_attempts,
            total, soft_limit_seconds, time_limit_seconds, retention_seconds)
        SELECT gen_random_uuid(), owner_id, kind, 'a' || n, priority, run_at, sort_key, params, 3,
            1, 60, 60, 60
        FROM jobs, generate_series(100, 400) n""",
    )
    await jobs.worker(store)
    await pause(client, operator, "z")

    found = await listed(client, operator)

    assert len(found) == 202
    assert list(found)[:2] == ["a", "a100"]
    assert list(found)[-2:] == ["default", "z"]
    await pause(client, operator, "a400")
    assert (await resume(client, operator, "a400"))["pending"] == 1  # though it is not listed any more


@pytest.mark.parametrize("order", ClaimOrder)
async def test_no_job_of_a_paused_queue_is_claimed_until_it_is_resumed(
    client: httpx.AsyncClient, operator: Account, store: Database, order: ClaimOrder
) -> None:
    first = await jobs.create(store)
    worker_id = await jobs.worker(store, slots=8)
    await pause(client, operator)
    second = await jobs.create(store)
    other = await jobs.create(store, queue="gpu")

    for max_running in (None, 5):
        assert await jobs.claim_all(store, worker_id, order=order, max_running=max_running) == []
    [claimed] = await jobs.claim_all(store, worker_id, queue="gpu", order=order)
    assert claimed.id == other
    await resume(client, operator)

    found = await jobs.claim_all(store, worker_id, order=order)
    assert [job.id for job in found] == [first, second]


async def test_running_jobs_of_a_paused_queue_go_on_and_those_that_fail_wait(
    client: httpx.AsyncClient, operator: Account, alice: Account, store: Database
) -> None:
    lasting = await jobs.running(store, alice.id)
    failing = await jobs.running(store, alice.id)
    await pause(client, operator)

    await jobs.complete(store, lasting)
    await jobs.fail(store, failing)

    assert (await jobs.read(store, lasting.id)).status == "completed"
    assert (await jobs.read(store, failing.id)).status == "pending"
    assert await jobs.claim_all(store, await jobs.worker(store)) == []
    assert (await client.post(f"/jobs/{failing.id}/cancel", headers=alice.headers)).status_code == 200
    assert (await jobs.read(store, failing.id)).status == "cancelled"


async def test_the_owner_is_told_who_paused_the_queue_and_why(
    client: httpx.AsyncClient, operator: Account, alice: Account, store: Database
) -> None:
    await jobs.worker(store)
    job_id = await jobs.create(store, alice.id)
    delayed = await jobs.create(store, alice.id, delay=timedelta(hours=1))
    paused = await pause(client, operator)

    explained = (await client.get(f"/jobs/{job_id}/explain", headers=alice.headers)).json()

    assert explained["code"] == "queue_paused"
    assert explained["sentence"] == f"olga paused the queue 'default': {REASON}"
    assert explained["facts"] == {"name": "olga", "paused_at": paused["paused_at"], "reason": REASON}
    assert (explained["position"], explained["estimated_start_at"]) == (1, None)
    later = (await client.get(f"/jobs/{delayed}/explain", headers=alice.headers)).json()
    assert later["code"] == "delayed"
    await rows.execute(store, "DELETE FROM users WHERE id = $1", operator.id)
    explained = (await client.get(f"/jobs/{job_id}/explain", headers=alice.headers)).json()
    assert explained["sentence"] == f"The queue 'default' is paused: {REASON}"
    assert explained["facts"]["name"] is None


async def test_pausing_and_resuming_are_recorded_once_with_their_reason(
    client: httpx.AsyncClient, operator: Account, app: FastAPI, store: Database
) -> None:
    before = datetime.now(UTC)
    paused = await pause(client, operator)
    assert (paused["name"], paused["paused_by"], paused["reason"]) == ("default", "olga", REASON)
    assert abs(datetime.fromisoformat(paused["paused_at"]) - before) < timedelta(minutes=1)
    assert await pause(client, operator) == paused
    admin = await sign_in(app, "root", Role.ADMIN)
    changed = await pause(client, admin, reason="It takes longer.")
    assert (changed["paused_at"], changed["paused_by"]) == (paused["paused_at"], "root")
    resumed = await resume(client, operator)
    assert (resumed["paused_at"], resumed["paused_by"], resumed["reason"]) == (None, None, None)
    await resume(client, operator)

    assert await audited(store) == [
        ("queue.paused", "olga", "queue", "default", {"reason": REASON}),
        ("queue.paused", "root", "queue", "default", {"reason": "It takes longer."}),
        ("queue.resumed", "olga", "queue", "default", {}),
    ]


@pytest.mark.parametrize(
    ("queue", "body"),
    [
        ("default", {}),
        ("default", {"reason": ""}),
        ("default", {"reason": "  \t "}),
        ("default", {"reason": "x" * 201}),
        ("default", {"reason": "nul \0"}),
        ("default", {"reason": REASON, "until": "tomorrow"}),
        ("Not%20a%20queue", {"reason": REASON}),
        ("x" * 65, {"reason": REASON}),
    ],
)
async def test_a_queue_is_paused_by_its_name_and_with_a_reason(
    client: httpx.AsyncClient, operator: Account, store: Database, queue: str, body: dict[str, Any]
) -> None:
    answer = await client.post(f"/queues/{queue}/pause", json=body, headers=operator.headers)

    assert_problem(answer, 422, "validation_error")
    assert await rows.value(store, "SELECT count(*) FROM paused_queues") == 0


async def test_the_lane_of_predictions_cannot_be_paused(client: httpx.AsyncClient, operator: Account) -> None:
    for name in (lane.QUEUE, "%2Fpredict"):
        answer = await client.post(f"/queues/{name}/pause", json={"reason": REASON}, headers=operator.headers)
        assert answer.status_code in (404, 422)


async def test_a_user_neither_lists_nor_pauses_queues(
    client: httpx.AsyncClient, operator: Account, alice: Account, store: Database
) -> None:
    await pause(client, operator)

    asked = (
        await client.get("/queues", headers=alice.headers),
        await client.post("/queues/gpu/pause", json={"reason": REASON}, headers=alice.headers),
        await client.post("/queues/default/resume", headers=alice.headers),
    )
    for answer in asked:
        assert_problem(answer, 403, "forbidden")

    assert await rows.value(store, "SELECT string_agg(name, ' ') FROM paused_queues") == "default"
