"""The endpoints of figures: formats, access, and what each one shows."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI

from app.analytics.schemas import (
    ActiveTasks,
    Overview,
    StatsView,
    TaskAnalytics,
    TaskPerformance,
    TaskProgress,
)
from app.auth.roles import Role
from app.core.database import Database
from app.jobs.workers.schemas import WorkerList
from app.maintenance import commands
from tests.support import jobs, rows, statistics
from tests.support.accounts import Account, sign_in
from tests.support.schemas import assert_matches

SECRET = "a_secret_code"
SCOPED = ("/task-analytics", "/stats", "/stats/overview", "/active-tasks")
OPEN = ("/task-performance", "/workers")


@pytest.fixture
async def operator(app: FastAPI) -> Account:
    return await sign_in(app, "olga", Role.OPERATOR)


async def get(client: httpx.AsyncClient, path: str, who: Account, **params: str) -> Any:
    answer = await client.get(path, headers=who.headers, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def end_some(store: Database, owner_id: UUID, queue: str = "own") -> None:
    for _ in range(3):
        await jobs.complete(store, await jobs.running(store, owner_id, queue=queue))
    await jobs.fail(store, await jobs.running(store, owner_id, queue=queue), is_retryable=False)
    await jobs.cancel(store, await jobs.create(store, owner_id, queue=queue))


async def test_task_analytics(client: httpx.AsyncClient, store: Database, alice: Account) -> None:
    await end_some(store, alice.id)
    await jobs.create(store, alice.id, queue="own", delay=timedelta(hours=1))
    await jobs.create(store, alice.id, queue="own")

    body = await get(client, "/task-analytics", alice)

    assert_matches(TaskAnalytics, body)
    assert (body["scope"], body["range"]) == ("own", "24h")
    assert body["total_tasks_executed"] == 4
    assert (body["successful_tasks"], body["failed_tasks"], body["cancelled_tasks"]) == (3, 1, 1)
    assert body["success_rate"] == 0.75
    assert re.fullmatch(r"\d+\.\d\ds", body["average_execution_time"])
    assert body["average_execution_time"] == f"{body['average_execution_seconds']:.2f}s"
    assert re.fullmatch(r"\d+\.\d hours", body["uptime"])
    assert (body["current_queue_size"], body["peak_concurrent_tasks"]) == (2, 1)


async def test_the_figures_of_a_new_user_are_zero(client: httpx.AsyncClient, alice: Account) -> None:
    body = await get(client, "/task-analytics", alice, range="all")

    assert body["average_execution_time"] == "0.00s"
    assert body["success_rate"] is None
    assert body["total_tasks_executed"] == body["peak_concurrent_tasks"] == 0


async def test_the_average_is_of_attempts_that_completed_or_failed_their_job(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    for way in ("complete", "fail", "release", "cancel"):
        job = await jobs.running(store, alice.id, queue="own")
        match way:
            case "complete":
                await jobs.complete(store, job)
            case "fail":
                await jobs.fail(store, job, is_retryable=False)
            case "release":
                await jobs.release(store, job)
                await jobs.cancel(store, job.id)
            case _:
                await jobs.cancel(store, job.id)
                await jobs.stop(store, job)
    await rows.execute(
        store,
        "UPDATE job_attempts SET started_at = ended_at - make_interval(secs =>"
        " CASE outcome WHEN 'completed' THEN 4.2 WHEN 'failed' THEN 5.7 ELSE 100 END)",
    )
    await statistics.forget(store)

    body = await get(client, "/task-analytics", alice)

    assert (body["average_execution_time"], body["average_execution_seconds"]) == ("4.95s", 4.95)
    assert body["total_tasks_executed"] == 3


async def test_task_performance(client: httpx.AsyncClient, store: Database, alice: Account) -> None:
    worker_id = await jobs.worker(store, slots=4)
    await rows.execute(
        store,
        "UPDATE workers SET cpu_percent = 143.21, rss_bytes = 512300000 WHERE id = $1",
        worker_id,
    )
    await end_some(store, alice.id)
    await rows.execute(store, "UPDATE job_attempts SET ended_at = ended_at - interval '2 minutes'")
    await statistics.forget(store)
    await rows.execute(
        store, "UPDATE workers SET seen_at = now() - interval '1 hour' WHERE id <> $1", worker_id
    )
    await jobs.create(store, alice.id)
    await jobs.claim(store, worker_id)
    async with store.transaction() as connection:
        await commands.measure(connection, totals_after=timedelta(0))

    body = await get(client, "/task-performance", alice)

    assert_matches(TaskPerformance, body)
    assert (body["cpu_usage"], body["memory_usage"]) == (143.2, 512.3)
    assert (body["active_workers"], body["slots"], body["slots_busy"]) == (1, 4, 1)
    assert body["utilization"] == 0.25
    assert body["tasks_per_second"] == round(4 / 300, 3)
    assert (body["error_rate"], body["system_error_rate"]) == ("25.00%", "0.00%")
    assert {queue["queue"]: queue["running"] for queue in body["queues"]} == {"default": 1}
    assert len(body["minutes"]) == 60
    assert sum(minute["completed"] for minute in body["minutes"]) == 3
    loops = {loop["loop"]: loop for loop in body["loops"]}
    assert {"rescue", "stats", "clock", "hub", "usage"} <= set(loops)
    assert loops["rescue"]["failures"] == 0
    assert 0 <= body["system"]["cpu_percent"] <= 100


async def test_failures_of_the_system_are_counted_apart(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    await end_some(store, alice.id)
    await rows.execute(
        store,
        """UPDATE job_attempts SET ended_at = ended_at - interval '2 minutes',
            error = jsonb_set(error, '{code}', '"child_died"')""",
    )
    await statistics.forget(store)

    unfolded = await get(client, "/task-performance", alice)
    await statistics.fold(store)
    folded = await get(client, "/task-performance", alice)

    assert unfolded["system_error_rate"] == folded["system_error_rate"] == "25.00%"


async def test_stats_in_groups(client: httpx.AsyncClient, store: Database, alice: Account) -> None:
    await end_some(store, alice.id)

    body = await get(client, "/stats", alice, by="error")

    assert_matches(StatsView, body)
    [group] = body["groups"]
    assert (group["error"], group["fault"], group["failed"], group["jobs"]) == ("boom", "user", 1, 1)
    assert UUID(group["last_job_id"]).version == 7
    assert body["totals"]["jobs"] == 5
    assert body["totals"]["cpu_seconds"] is None
    assert body["totals"]["run_seconds"]["p50"] is not None
    assert group["run_seconds"]["p50"] is None
    by_model = await get(client, "/stats", alice, by="model")
    assert [group["model"] for group in by_model["groups"]] == ["sentiment"]
    by_hour = await get(client, "/stats", alice, by="hour", range="1h")
    assert sum(group["jobs"] for group in by_hour["groups"]) == 5
    assert (await get(client, "/stats", alice))["groups"] == []


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"by": "hour", "range": "all"}, "hours_not_kept"),
        ({"by": "user"}, "users_need_all_scope"),
        ({"by": "colour"}, "validation_error"),
        ({"range": "2h"}, "validation_error"),
    ],
)
async def test_stats_that_there_are_not(
    client: httpx.AsyncClient, alice: Account, params: dict[str, str], code: str
) -> None:
    answer = await client.get("/stats", headers=alice.headers, params=params)

    assert answer.status_code == 422
    assert answer.json()["code"] == code


@pytest.mark.parametrize("path", SCOPED)
async def test_all_users_are_for_operators(
    client: httpx.AsyncClient, store: Database, alice: Account, mallory: Account, operator: Account, path: str
) -> None:
    await end_some(store, alice.id)
    await jobs.running(store, alice.id, queue="own")

    assert (await client.get(path)).status_code == 401
    refused = await client.get(path, headers=mallory.headers, params={"scope": "all"})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    await get(client, path, operator, scope="all")


@pytest.mark.parametrize("path", OPEN)
async def test_the_pool_is_for_every_user(client: httpx.AsyncClient, mallory: Account, path: str) -> None:
    assert (await client.get(path)).status_code == 401
    await get(client, path, mallory)


async def test_nobody_sees_names_ids_or_errors_of_others(
    client: httpx.AsyncClient, store: Database, alice: Account, mallory: Account, operator: Account
) -> None:
    await end_some(store, alice.id)
    await rows.execute(
        store,
        "UPDATE job_attempts SET model = $1, error = jsonb_set(error, '{code}', to_jsonb($1::text))",
        SECRET,
    )
    hers = await jobs.running(store, alice.id, queue="own")
    forbidden = {str(alice.id), str(hers.id), SECRET, "alice"}
    paths = ["/task-analytics", "/task-performance", "/active-tasks", "/workers", "/stats/overview", "/stats"]
    paths += [f"/stats?by={by}" for by in ("kind", "queue", "model", "error", "hour", "day")]

    for folds in (False, True):
        if folds:
            await statistics.fold(store)
        for path in paths:
            answer = await client.get(path, headers=mallory.headers)
            assert answer.status_code == 200, answer.text
            assert not [name for name in forbidden if name in answer.text], path
        users = await get(client, "/stats", operator, scope="all", by="user")
        assert {group["username"] for group in users["groups"]} == {"alice"}


async def test_the_overview(client: httpx.AsyncClient, store: Database, alice: Account) -> None:
    await end_some(store, alice.id)
    lost = await jobs.running(store, alice.id, queue="own")
    await rows.execute(
        store,
        "UPDATE workers SET seen_at = now() - interval '1 minute', name = 'lost-1'"
        " WHERE id = (SELECT worker_id FROM jobs WHERE id = $1)",
        lost.id,
    )
    await jobs.rescue(store)

    for wanted, buckets in (("1h", 60), ("24h", 96), ("7d", 84)):
        answer = await client.get("/stats/overview", headers=alice.headers, params={"range": wanted})
        body = answer.json()
        assert_matches(Overview, body)
        assert answer.headers["cache-control"] == "private, max-age=1"
        assert len(body["buckets"]) == buckets
        assert sum(bucket["completed"] for bucket in body["buckets"]) == 3
        assert body["ended"] == {
            "completed": 3,
            "failed": 1,
            "cancelled": 1,
            "success_rate": 0.75,
            "rescued": 1,
        }
        assert body["pending"]["total"] == sum(body["pending"]["by_priority"].values()) == 1
        assert body["pending"]["oldest_seconds"] >= 0
        assert body["running"]["total"] == 0
        [mark] = body["marks"]
        assert (mark["code"], mark["worker"], mark["jobs"]) == ("worker_lost", "lost-1", 1)
        await statistics.fold(store)


async def test_active_tasks_are_the_latest_start_first_page_by_page(
    client: httpx.AsyncClient, store: Database, alice: Account, mallory: Account
) -> None:
    started = [(await jobs.running(store, alice.id, queue="own")).id for _ in range(5)]
    await jobs.running(store, mallory.id, queue="own")
    await jobs.create(store, alice.id, queue="own")

    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        body = await get(client, "/active-tasks", alice, limit="2", **cursor)
        assert_matches(ActiveTasks, body)
        assert body["total_count"] == 5
        seen += [job["job_id"] for job in body["active_tasks"]]
        if body["next_cursor"] is None:
            break
        cursor = {"cursor": body["next_cursor"]}

    assert seen == [str(job_id) for job_id in reversed(started)]
    [job] = (await get(client, "/active-tasks", alice, limit="1"))["active_tasks"]
    alone = await get(client, f"/jobs/{job['job_id']}", alice)
    assert {**job, "params": alone["params"], "dismissed": None} == alone
    wrong = await client.get("/active-tasks", headers=alice.headers, params={"cursor": "nonsense"})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid_cursor")


async def test_task_progress(
    client: httpx.AsyncClient, store: Database, alice: Account, mallory: Account
) -> None:
    job = await jobs.running(store, alice.id, queue="own")
    await jobs.commit(store, job)

    body = await get(client, f"/task-progress/{job.id}", alice)

    assert_matches(TaskProgress, body)
    assert body["task_id"] == str(job.id)
    assert (body["progress_percent"], body["current_step"], body["status"]) == (40.0, "Batch 1", "running")
    theirs = await client.get(f"/task-progress/{job.id}", headers=mallory.headers)
    assert (theirs.status_code, theirs.json()["code"]) == (403, "not_your_job")
    unknown = await client.get(f"/task-progress/{uuid4()}", headers=alice.headers)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "job_not_found")


async def test_workers(
    client: httpx.AsyncClient, app: FastAPI, store: Database, alice: Account, mallory: Account
) -> None:
    job = await jobs.running(store, alice.id, queue="own")
    draining, lost = await jobs.worker(store), await jobs.worker(store)
    await rows.execute(store, "UPDATE workers SET stopping_at = now() WHERE id = $1", draining)
    await jobs.expire_lease(store, lost)
    await rows.execute(store, "UPDATE workers SET engine_state = 'unavailable' WHERE id = $1", lost)

    def of_job(body: Any) -> Any:
        [worker] = [worker for worker in body["items"] if worker["jobs"]]
        return worker

    hers = await get(client, "/workers", alice)
    theirs = await get(client, "/workers", mallory)
    admin = await get(client, "/workers", await sign_in(app, "root", Role.ADMIN))

    assert_matches(WorkerList, hers)
    assert sorted(worker["state"] for worker in hers["items"]) == ["draining", "live", "lost"]
    assert of_job(hers)["jobs"] == [{"job_id": str(job.id), "shard": None, "progress": 0.0}]
    assert of_job(theirs)["jobs"] == [{"job_id": None, "shard": None, "progress": 0.0}]
    assert sorted(worker["engine_state"] for worker in hers["items"]) == ["ready", "ready", "unavailable"]
    assert of_job(hers)["memory_bytes"] is None
    assert "host" not in of_job(hers)
    assert (of_job(admin)["host"], of_job(admin)["pid"]) == ("here", 1)


async def test_names_from_other_systems(client: httpx.AsyncClient, store: Database, alice: Account) -> None:
    body = {"texts": ["It works."], "queue": "nobody"}
    lengths = {None: "24 hours", 3600: "1 hour", 5400: "90 minutes", 61: "61 seconds"}
    job_id = ""
    for seconds, expected in lengths.items():
        more = {} if seconds is None else {"expires_in_seconds": seconds}
        created = await client.post("/jobs/batch-predict", headers=alice.headers, json={**body, **more})
        assert created.json()["result_available_for"] == expected
        job_id = created.json()["job_id"]

    results = await get(client, f"/jobs/{job_id}/results", alice)
    retrieved_at = datetime.fromisoformat(results["retrieved_at"])
    assert abs(datetime.now(UTC) - retrieved_at) < timedelta(minutes=5)

    status = (await client.get("/shutdown-status")).json()
    assert status["accepting_new_tasks"] is status["accepting_new_jobs"] is True
    assert status["active_tasks"] == status["active_jobs"] == 0

    await rows.execute(store, "UPDATE jobs SET pruned_at = now()")
    expired = await client.get(f"/jobs/{job_id}/results", headers=alice.headers)
    assert (expired.status_code, expired.json()["code"]) == (410, "results_expired")


def test_every_field_has_a_type_and_the_figures_an_example(app: FastAPI) -> None:
    schemas = app.openapi()["components"]["schemas"]
    for name in ("TaskAnalytics", "TaskPerformance", "StatsView", "Overview", "TaskProgress", "WorkerView"):
        for field, schema in schemas[name]["properties"].items():
            assert {"type", "$ref", "anyOf", "allOf"} & set(schema), (name, field)
    for field in ("average_execution_time", "uptime", "success_rate", "total_tasks_executed"):
        assert schemas["TaskAnalytics"]["properties"][field]["examples"]
    for field in ("error_rate", "system_error_rate", "cpu_usage", "utilization"):
        assert schemas["TaskPerformance"]["properties"][field]["examples"]
