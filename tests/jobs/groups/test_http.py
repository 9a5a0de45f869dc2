"""Many jobs at once over HTTP: created whole or not at all, watched and cancelled together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest
from fastapi import FastAPI
from pydantic import TypeAdapter
from redis.asyncio import Redis

from app.core import ids, keys
from app.core.config import Settings
from app.core.database import Database
from app.jobs.groups.schemas import GroupCancelled, GroupCreated, GroupView
from app.jobs.quota import Quota
from app.jobs.transition_types import ClaimedJob
from tests.support import invariants, jobs, rows
from tests.support.accounts import Account
from tests.support.app_state import replace_state
from tests.support.waiting import until

BULK = "/jobs/bulk"
ROWS = 25


def job(*texts: str, **more: Any) -> dict[str, Any]:
    return {"kind": "batch_predict", "texts": list(texts) or ["x"], **more}


def numbered(count: int) -> list[dict[str, Any]]:
    return [job(f"text of {number}") for number in range(count)]


async def bulk(
    client: httpx.AsyncClient, who: Account, requests: list[Any], **headers: str
) -> httpx.Response:
    return await client.post(BULK, json={"jobs": requests}, headers={**who.headers, **headers})


async def created(client: httpx.AsyncClient, who: Account, requests: list[Any]) -> tuple[UUID, list[UUID]]:
    """The ids of a new group and of its jobs."""
    answer = await bulk(client, who, requests)
    assert answer.status_code == 202, answer.text
    body = answer.json()
    return UUID(body["group_id"]), [UUID(job_id) for job_id in body["job_ids"]]


async def group(client: httpx.AsyncClient, who: Account, group_id: UUID) -> dict[str, Any]:
    answer = await client.get(f"/groups/{group_id}", headers=who.headers)
    assert answer.status_code == 200, answer.text
    TypeAdapter(GroupView).validate_json(answer.content)
    found: dict[str, Any] = answer.json()
    return found


@pytest.fixture
async def far_below_the_quota(
    app: FastAPI, client: httpx.AsyncClient, alice: Account, store: Database, settings: Settings
) -> None:
    """Alice's jobs were counted a moment ago: a single one more is let in without a transaction."""
    replace_state(app, quota=Quota(store, settings.max_active_jobs, count_lifetime_seconds=3600.0))
    counted = await client.post("/jobs/batch-predict", json=["x"], headers=alice.headers)
    assert counted.status_code == 202
    await rows.execute(store, "DELETE FROM jobs")


async def assert_nothing_is_stored(store: Database) -> None:
    for table in ("jobs", "job_groups", "job_payloads", "job_events"):
        assert await rows.value(store, f"SELECT count(*) FROM {table}") == 0, table


# Creating


async def test_many_requests_become_jobs_in_their_order(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    answer = await bulk(client, alice, numbered(7))

    body = answer.json()
    assert answer.status_code == 202
    TypeAdapter(GroupCreated).validate_json(answer.content)
    assert body["message"] == "7 jobs created successfully"
    assert answer.headers["location"] == body["poll_url"] == f"/groups/{body['group_id']}"
    job_ids = [UUID(job_id) for job_id in body["job_ids"]]
    for number, job_id in enumerate(job_ids):
        payload = await rows.value(store, "SELECT rows FROM job_payloads WHERE job_id = $1", job_id)
        assert msgspec.json.decode(payload) == [f"text of {number}"]
        view = (await client.get(f"/jobs/{job_id}", headers=alice.headers)).json()
        assert (view["status"], view["group_id"]) == ("pending", body["group_id"])
    started = await jobs.claim_all(store, await jobs.worker(store))
    assert [claimed.id for claimed in started] == job_ids
    await invariants.all_hold(store)


async def test_each_request_of_many_says_what_it_wants(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    wanted: list[dict[str, Any]] = [
        {"priority": "low", "metadata": {"team": "blue"}},
        {"priority": "normal", "queue": "gpu", "max_attempts": 7, "time_limit_seconds": 30},
        {"delay_seconds": 3600, "expires_in_seconds": 60, "batch_size": 3},
        {"priority": "high"},
    ]

    _, job_ids = await created(client, alice, [job(**options) for options in wanted])

    found = [await rows.job(store, job_id) for job_id in job_ids]
    assert [row["priority"] for row in found] == ["low", "normal", "normal", "high"]
    assert [row["queue"] for row in found] == ["default", "gpu", "default", "default"]
    assert [row["max_attempts"] for row in found] == [3, 7, 3, 3]
    assert (found[1]["time_limit_seconds"], found[1]["soft_limit_seconds"]) == (30, 30)
    assert found[0]["metadata"] == {"team": "blue"}
    assert found[2]["run_at"] - found[2]["created_at"] == timedelta(hours=1)
    assert (found[2]["retention_seconds"], found[2]["params"]["batch_size"]) == (60, 3)
    # The delayed one is not due, the gpu's elsewhere; of the others the most urgent starts first.
    started = await jobs.claim_all(store, await jobs.worker(store))
    assert [claimed.id for claimed in started] == [job_ids[3], job_ids[0]]


async def test_a_thousand_jobs_are_taken_and_one_more_is_too_many(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    refused = await bulk(client, alice, numbered(1001))
    await assert_nothing_is_stored(store)
    _, job_ids = await created(client, alice, numbered(1000))

    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (400, "too_many_jobs")
    assert problem["detail"] == "Maximum 1000 jobs allowed at once"
    assert (problem["limit"], problem["got"]) == (1000, 1001)
    assert len(set(job_ids)) == 1000
    stored = await rows.fetch(store, "SELECT id FROM jobs ORDER BY sort_key, id")
    assert [row["id"] for row in stored] == job_ids


# All or nothing


@pytest.mark.parametrize(
    ("bad", "place"),
    [
        ({"kind": "batch_predict"}, ["batch_predict"]),
        (job(priority="urgent"), ["batch_predict", "priority"]),
        (job(owner_id="me"), ["batch_predict", "owner_id"]),
        (job(status="completed"), ["batch_predict", "status"]),
        (job("a\0b"), ["batch_predict", "texts", 0]),
        (job(metadata={"k": 1}), ["batch_predict", "metadata", "k"]),
        (job(run_at="2030-01-01T00:00:00Z", delay_seconds=1), ["batch_predict"]),
        ({"kind": "paint_picture", "texts": ["x"]}, []),
        ({"texts": ["x"]}, []),
        (["x"], []),
        ("x", []),
        (None, []),
    ],
    ids=str,
)
async def test_one_request_that_makes_no_sense_refuses_all_and_is_named(
    client: httpx.AsyncClient, alice: Account, store: Database, bad: Any, place: list[Any]
) -> None:
    answer = await bulk(client, alice, [*numbered(2), bad, *numbered(2)])

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "validation_error")
    assert [fault["loc"] for fault in problem["errors"]] == [["body", "jobs", 2, *place]]
    await assert_nothing_is_stored(store)


@pytest.mark.parametrize(
    ("bad", "status", "code"),
    [
        (job(model="no-such-model"), 404, "model_not_found"),
        (job(*["x"] * 1001), 400, "too_many_rows"),
        (job("x" * 100_001), 413, "text_too_long"),
    ],
    ids=["model", "rows", "text"],
)
async def test_one_request_that_cannot_be_served_refuses_all_and_is_named(
    client: httpx.AsyncClient, alice: Account, store: Database, bad: Any, status: int, code: str
) -> None:
    answer = await bulk(client, alice, [*numbered(3), bad, *numbered(1)])

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code)
    [fault] = problem["errors"]
    assert (fault["loc"], fault["type"], fault["msg"]) == (["body", "jobs", 3], code, problem["detail"])
    await assert_nothing_is_stored(store)


@pytest.mark.usefixtures("far_below_the_quota")
async def test_a_group_of_one_that_cannot_be_served_leaves_nothing_behind(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    """Below the quota a single job needs no transaction; a group with nothing in it must not come of that."""
    key = {"Idempotency-Key": "order-7"}

    refused = await bulk(client, alice, [job(model="no-such-model")], **key)

    assert refused.status_code == 404
    await assert_nothing_is_stored(store)
    assert (await bulk(client, alice, [job()], **key)).status_code == 202


@pytest.mark.parametrize(
    "body",
    [{}, {"jobs": []}, {"jobs": None}, {"jobs": {}}, {"jobs": [job()], "owner_id": "me"}, [job()]],
    ids=str,
)
async def test_a_body_that_makes_no_sense_is_refused(
    client: httpx.AsyncClient, alice: Account, store: Database, body: Any
) -> None:
    answer = await client.post(BULK, json=body, headers=alice.headers)

    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    await assert_nothing_is_stored(store)


# Idempotency


async def test_the_same_key_and_body_give_the_same_group(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    key = {"Idempotency-Key": "order-7"}

    first = await bulk(client, alice, numbered(5), **key)
    await jobs.complete(store, await jobs.claim(store))
    again = await bulk(client, alice, numbered(5), **key)

    assert (first.status_code, again.status_code) == (202, 200)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert await rows.value(store, "SELECT count(*) FROM jobs") == 5


async def test_the_same_key_with_other_requests_is_refused(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    key = {"Idempotency-Key": "order-7"}
    await bulk(client, alice, numbered(3), **key)

    for other in (numbered(2), numbered(4), numbered(3)[::-1], [job(), *numbered(3)[1:]]):
        answer = await bulk(client, alice, other, **key)

        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert await rows.value(store, "SELECT count(*) FROM jobs") == 3


@pytest.mark.usefixtures("far_below_the_quota")
@pytest.mark.parametrize("size", [1, 4])
async def test_the_same_key_at_the_same_moment_gives_one_group(
    client: httpx.AsyncClient, alice: Account, store: Database, size: int
) -> None:
    answers = await asyncio.gather(
        *(bulk(client, alice, numbered(size), **{"Idempotency-Key": "order-7"}) for _ in range(12))
    )

    assert sorted(answer.status_code for answer in answers) == [200] * 11 + [202]
    [body] = {answer.text for answer in answers}
    assert len(msgspec.json.decode(body)["job_ids"]) == size
    assert await rows.value(store, "SELECT count(*) FROM jobs") == size


async def test_another_users_key_is_another_key(
    client: httpx.AsyncClient, alice: Account, mallory: Account
) -> None:
    answers = [
        await bulk(client, who, numbered(2), **{"Idempotency-Key": "order-7"}) for who in (alice, mallory)
    ]

    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json()["group_id"] != answers[1].json()["group_id"]


# Hints


@asynccontextmanager
async def nobody_else_wakes_workers(store: Database) -> AsyncIterator[None]:
    """The maintenance loop that restores lost tokens finds its lock taken."""
    async with store.connection() as connection:
        await connection.execute("SELECT pg_advisory_lock(hashtext('maintenance:wake'))")
        yield
        await connection.execute("SELECT pg_advisory_unlock(hashtext('maintenance:wake'))")


async def test_there_is_a_token_for_each_job_that_is_due(
    client: httpx.AsyncClient, alice: Account, store: Database, redis_url: str
) -> None:
    requests = [
        *numbered(300),
        *(job(queue="gpu") for _ in range(20)),
        *(job(delay_seconds=60) for _ in range(9)),
    ]

    async with Redis.from_url(redis_url) as redis, nobody_else_wakes_workers(store):

        async def tokens() -> list[int]:
            return [await redis.zcard(keys.queue(queue)) for queue in ("default", "gpu")]

        async def all_queues_have_some() -> bool:
            return all(await tokens())

        await created(client, alice, requests)
        await until(all_queues_have_some)
        assert await tokens() == [300, 20]


async def test_a_replay_wakes_nobody(
    client: httpx.AsyncClient, alice: Account, store: Database, redis_url: str
) -> None:
    key = {"Idempotency-Key": "order-7"}

    async with Redis.from_url(redis_url) as redis, nobody_else_wakes_workers(store):

        async def tokens() -> int:
            return int(await redis.zcard(keys.queue("default")))

        await bulk(client, alice, numbered(3), **key)
        await until(tokens)
        assert (await bulk(client, alice, numbered(3), **key)).status_code == 200
        await created(client, alice, [job(queue="gpu")])  # its token comes after any of the replay
        await until(lambda: redis.zcard(keys.queue("gpu")))
        assert await tokens() == 3


# Watching


async def test_a_group_tells_how_far_its_jobs_are_together(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    group_id, _ = await created(client, alice, [job(*["x"] * ROWS) for _ in range(4)])
    worker = await jobs.worker(store)

    async def stands() -> tuple[float, bool, dict[str, int]]:
        found = await group(client, alice, group_id)
        assert (found["group_id"], found["jobs"]) == (str(group_id), 4)
        return found["progress"], found["is_finished"], found["statuses"]

    async def claim() -> ClaimedJob:
        return await jobs.claim(store, worker)

    assert await stands() == (0.0, False, {"pending": 4})
    first = await claim()
    await jobs.commit(store, first)  # 10 of 25 rows
    assert await stands() == (10.0, False, {"pending": 3, "running": 1})
    await jobs.advance(store, jobs.report(first, first=1, count=2, is_final=True))
    assert await stands() == (25.0, False, {"pending": 3, "completed": 1})
    second, third = await claim(), await claim()
    await jobs.commit(store, second, count=2)  # 20 of 25 rows
    await jobs.fail(store, second, is_retryable=False)
    assert await stands() == (45.0, False, {"pending": 1, "running": 1, "completed": 1, "failed": 1})
    await jobs.complete(store, third)
    fourth = await claim()
    await jobs.stop(store, fourth)
    assert await stands() == (70.0, True, {"completed": 2, "failed": 1, "cancelled": 1})
    await client.post(f"/jobs/{second.id}/retry", headers=alice.headers)
    assert await stands() == (70.0, False, {"completed": 2, "pending": 1, "cancelled": 1})
    await invariants.all_hold(store)


async def test_a_group_that_is_whole_is_at_a_hundred(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    group_id, _ = await created(client, alice, [job(*["x"] * size) for size in (1, 3, 7)])
    for claimed in await jobs.claim_all(store, await jobs.worker(store)):
        await jobs.complete(store, claimed)

    found = await group(client, alice, group_id)

    assert (found["progress"], found["is_finished"], found["statuses"]) == (100.0, True, {"completed": 3})
    assert datetime.fromisoformat(found["created_at"]) <= await rows.value(store, "SELECT now()")


async def test_a_group_says_nothing_of_the_jobs_of_another(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    first, _ = await created(client, alice, numbered(2))
    second, _ = await created(client, alice, numbered(3))
    await jobs.complete(store, await jobs.claim(store))

    assert (await group(client, alice, first))["statuses"] == {"pending": 1, "completed": 1}
    assert (await group(client, alice, second))["statuses"] == {"pending": 3}


async def test_a_group_whose_jobs_were_removed_is_empty(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    group_id, _ = await created(client, alice, numbered(2))
    await rows.execute(store, "DELETE FROM jobs")

    found = await group(client, alice, group_id)

    assert (found["jobs"], found["progress"], found["statuses"]) == (0, 0.0, {})


# Cancelling


async def test_the_cancel_of_a_group_stops_all_that_has_not_ended(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    group_id, job_ids = await created(client, alice, numbered(5))
    beside = await jobs.create(store, alice.id)
    worker = await jobs.worker(store)
    done, runs = await jobs.claim(store, worker), await jobs.claim(store, worker)
    await jobs.complete(store, done)

    answer = await client.delete(f"/groups/{group_id}", headers=alice.headers)
    again = await client.delete(f"/groups/{group_id}", headers=alice.headers)

    assert answer.status_code == again.status_code == 200
    TypeAdapter(GroupCancelled).validate_json(answer.content)
    assert (answer.json()["cancelled"], answer.json()["cancel_requested"]) == (3, 1)
    assert (again.json()["cancelled"], again.json()["cancel_requested"]) == (0, 0)
    statuses = [(await rows.job(store, job_id))["status"] for job_id in job_ids]
    assert statuses == ["completed", "running", "cancelled", "cancelled", "cancelled"]
    await jobs.stop(store, runs)
    found = await group(client, alice, group_id)
    assert (found["is_finished"], found["statuses"]) == (True, {"completed": 1, "cancelled": 4})
    assert (await rows.job(store, beside))["status"] == "pending"
    await invariants.all_hold(store)


# Whose is it


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_foreign_group_is_unknown(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database, method: str
) -> None:
    group_id, job_ids = await created(client, alice, numbered(2))

    foreign = await client.request(method, f"/groups/{group_id}", headers=mallory.headers)
    unknown = await client.request(method, f"/groups/{ids.new_id()}", headers=mallory.headers)
    garbage = await client.request(method, "/groups/garbage", headers=mallory.headers)
    nobody = await client.request(method, f"/groups/{group_id}")

    for answer in (foreign, unknown):
        assert (answer.status_code, answer.json()["code"]) == (404, "group_not_found")
    assert (garbage.status_code, garbage.json()["code"]) == (422, "validation_error")
    assert (nobody.status_code, nobody.json()["code"]) == (401, "invalid_token")
    assert [(await rows.job(store, job_id))["status"] for job_id in job_ids] == ["pending"] * 2


async def test_strangers_create_nothing(client: httpx.AsyncClient, store: Database) -> None:
    answer = await client.post(BULK, json={"jobs": numbered(2)})

    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    await assert_nothing_is_stored(store)


# The document


async def test_the_document_describes_the_requests_of_a_bulk(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()

    schemas = document["components"]["schemas"]
    operation = document["paths"][BULK]["post"]
    assert operation["operationId"] == "createJobs"
    assert {"202", "400", "404", "413", "422", "429"} <= set(operation["responses"])
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/BulkRequest"}
    items = schemas["BulkRequest"]["properties"]["jobs"]["items"]
    item = schemas[items["discriminator"]["mapping"]["batch_predict"].rpartition("/")[2]]
    assert item["properties"]["kind"]["const"] == "batch_predict"
    assert "kind" in item["required"]
    assert {"priority", "queue", "run_at", "batch_size"} <= set(item["properties"])
    assert item["additionalProperties"] is False
