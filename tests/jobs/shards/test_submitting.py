"""Jobs that are divided when they are submitted: alone, in bulk, by schedules, within the quota."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from app.core import keys
from app.core.config import Settings
from app.core.database import Database
from app.core.resources import Resources
from app.jobs.quota import Quota
from app.jobs.schemas import JobDetails
from app.jobs.unit_of_work import unit_of_work
from app.maintenance.roll_up import RollUp
from app.schedules.firing import Dispatcher
from tests.jobs.test_http import assert_problem
from tests.support import invariants, jobs, rows
from tests.support.accounts import Account
from tests.support.app_state import replace_state, state_of
from tests.support.schemas import assert_matches

PREDICT = "/jobs/batch-predict"
ROWS = 60

Upload = Callable[..., Awaitable[str]]


@pytest.fixture
def upload(client: httpx.AsyncClient, alice: Account, store: Database) -> Upload:
    """Uploads a dataset of 60 rows; with `rows`, one that is said to have more."""

    async def uploaded(*, rows_said: int | None = None) -> str:
        answer = await client.post(
            "/datasets?name=texts.csv",
            content=b"text\n" + b"fine\n" * ROWS,
            headers={**alice.headers, "Content-Type": "text/csv"},
        )
        dataset_id: str = answer.json()["dataset_id"]
        if rows_said is not None:
            statement = "UPDATE datasets SET rows = $2 WHERE id = $1"
            await rows.execute(store, statement, UUID(dataset_id), rows_said)
        return dataset_id

    return uploaded


async def submit(client: httpx.AsyncClient, who: Account, **body: Any) -> UUID:
    answer = await client.post(PREDICT, json=body, headers=who.headers)
    assert answer.status_code == 202, answer.text
    return UUID(answer.json()["job_id"])


async def tokens(resources: Resources) -> int:
    await resources.hints.flush()
    async with Redis(connection_pool=resources.redis_pool) as redis:
        return int(await redis.zcard(keys.queue("default")))


async def test_a_request_says_how_many_shards(
    client: httpx.AsyncClient, alice: Account, store: Database, upload: Upload
) -> None:
    dataset_id = await upload()

    job_id = await submit(client, alice, dataset_id=dataset_id, batch_size=10, shards=3, max_failed_shards=1)

    parent = await rows.job(store, job_id)
    assert (parent["shards"], parent["max_failed_shards"]) == (3, 1)
    assert str(parent["dataset_id"]) == dataset_id
    found = await rows.shards(store, job_id)
    assert [(shard["first_row"], shard["total"]) for shard in found] == [(0, 20), (20, 20), (40, 20)]
    assert {shard["dataset_id"] for shard in found} == {None}
    assert all(shard["files"] == parent["files"] for shard in found)
    details = await client.get(f"/jobs/{job_id}", headers=alice.headers)
    assert_matches(JobDetails, details.json())
    await invariants.all_hold(store)


async def test_one_shard_and_few_rows_make_an_ordinary_job(
    client: httpx.AsyncClient, alice: Account, store: Database, upload: Upload
) -> None:
    dataset_id = await upload()
    for more in ({}, {"shards": 1}, {"shards": "auto"}, {"shards": 10}):
        await submit(client, alice, dataset_id=dataset_id, **more)

    assert await rows.value(store, "SELECT count(*) FROM jobs") == 4
    assert await rows.value(store, "SELECT count(*) FROM jobs WHERE shards IS NULL") == 4


async def test_a_large_job_is_divided_for_the_slots_that_serve_its_queue(
    client: httpx.AsyncClient, alice: Account, store: Database, upload: Upload
) -> None:
    dataset_id = await upload(rows_said=400_000)
    before = await submit(client, alice, dataset_id=dataset_id)
    await jobs.worker(store, slots=3)
    await jobs.worker(store, slots=2)
    there = await submit(client, alice, dataset_id=dataset_id)
    elsewhere = await submit(client, alice, dataset_id=dataset_id, queue="gpu")

    assert [(await rows.job(store, job_id))["shards"] for job_id in (before, there, elsewhere)] == [8, 20, 8]


async def test_shards_have_the_gpus_of_their_job_and_are_for_slots_that_have_them(
    client: httpx.AsyncClient, alice: Account, store: Database, upload: Upload
) -> None:
    dataset_id = await upload(rows_said=400_000)
    await jobs.worker(store, slots=5, queue="gpu")
    await jobs.worker(store, slots=3, queue="gpu", gpus=2)

    job_id = await submit(client, alice, dataset_id=dataset_id, resources={"gpus": 2})

    shards = await rows.shards(store, job_id)
    assert len(shards) == 12
    assert {(shard["queue"], shard["gpus"]) for shard in shards} == {("gpu", 2)}


async def test_no_job_is_divided_while_a_worker_serves_its_queue_that_does_not_know_shards(
    client: httpx.AsyncClient, alice: Account, store: Database, upload: Upload
) -> None:
    dataset_id = await upload(rows_said=400_000)
    old = await jobs.worker(store)
    await rows.execute(store, "UPDATE workers SET runs_shards = false")
    alone = [await submit(client, alice, dataset_id=dataset_id, shards=shards) for shards in ("auto", 4)]
    await jobs.expire_lease(store, old)
    after = await submit(client, alice, dataset_id=dataset_id)

    found = [(await rows.job(store, job_id))["shards"] for job_id in (*alone, after)]
    assert found == [None, None, 8]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"texts": ["x"], "shards": 2}, "cannot_shard"),
        ({"instances": [{"text": "x"}], "shards": 2}, "cannot_shard"),
        ({"texts": ["x"], "shards": 0}, "validation_error"),
        ({"texts": ["x"], "shards": 1001}, "validation_error"),
        ({"texts": ["x"], "shards": "many"}, "validation_error"),
        ({"texts": ["x"], "max_failed_shards": -1}, "validation_error"),
    ],
    ids=str,
)
async def test_what_cannot_be_divided_is_refused(
    client: httpx.AsyncClient, alice: Account, store: Database, body: dict[str, Any], code: str
) -> None:
    assert_problem(await client.post(PREDICT, json=body, headers=alice.headers), 422, code)
    assert await rows.value(store, "SELECT count(*) FROM jobs") == 0


@pytest.mark.parametrize("shards", [0, 1001, -1, 10**30, 1.5, "many", False, None, [2]])
async def test_a_number_of_shards_that_is_none_has_one_error_at_its_field(
    client: httpx.AsyncClient, alice: Account, upload: Upload, shards: object
) -> None:
    body = {"dataset_id": await upload(), "shards": shards}

    refused = await client.post(PREDICT, json=body, headers=alice.headers)

    [error] = assert_problem(refused, 422, "validation_error")["errors"]
    assert error["loc"] == ["body", "shards"]
    assert error["msg"] == "shards: give a number from 1 to 1000, or auto"


async def test_a_dry_run_says_the_shards(
    client: httpx.AsyncClient, alice: Account, store: Database, upload: Upload
) -> None:
    body = {"dataset_id": await upload(), "batch_size": 10, "shards": 3}

    found = await client.post(f"{PREDICT}?dry_run=true", json=body, headers=alice.headers)

    assert (found.json()["jobs"], found.json()["shards"], found.json()["total"]) == (1, 3, ROWS)
    assert await rows.value(store, "SELECT count(*) FROM jobs") == 0


async def test_a_key_returns_the_job_with_its_shards_again(
    client: httpx.AsyncClient, alice: Account, store: Database, upload: Upload
) -> None:
    body = {"dataset_id": await upload(), "batch_size": 10, "shards": 3}
    headers = {**alice.headers, "Idempotency-Key": "once"}

    first, again = [await client.post(PREDICT, json=body, headers=headers) for _ in range(2)]

    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["job_id"] == again.json()["job_id"]
    assert await rows.value(store, "SELECT count(*) FROM jobs") == 4


async def test_the_request_of_a_job_keeps_its_shards(
    client: httpx.AsyncClient, alice: Account, store: Database, upload: Upload
) -> None:
    dataset_id = await upload(rows_said=400_000)
    divided = await submit(client, alice, dataset_id=dataset_id, max_failed_shards=2)
    whole = await submit(client, alice, dataset_id=dataset_id, shards=1)

    async def request_of(job_id: UUID) -> Any:
        answer = await client.get(f"/jobs/{job_id}/request", headers=alice.headers)
        return answer.json()["request"]

    assert await request_of(divided) == {
        "dataset_id": dataset_id,
        "column": "text",
        "shards": 8,
        "max_failed_shards": 2,
    }
    assert (await request_of(whole))["shards"] == 1
    await jobs.worker(store, slots=30)
    again = await submit(client, alice, **await request_of(divided))
    assert [shard["total"] for shard in await rows.shards(store, again)] == [
        shard["total"] for shard in await rows.shards(store, divided)
    ]


# Tokens


async def test_each_shard_gets_a_token_and_the_parent_none(
    client: httpx.AsyncClient, alice: Account, resources: Resources, upload: Upload
) -> None:
    job_id = await submit(client, alice, dataset_id=await upload(), batch_size=10, shards=3)
    assert await tokens(resources) == 3

    await client.delete(f"/jobs/{job_id}", headers=alice.headers)

    assert await tokens(resources) == 3


# Quota


@pytest.fixture
def small(app: FastAPI, store: Database) -> None:
    replace_state(app, quota=Quota(store, 10))


@pytest.mark.usefixtures("small")
async def test_a_job_counts_as_itself_and_its_unfinished_shards(
    client: httpx.AsyncClient, alice: Account, store: Database, upload: Upload
) -> None:
    dataset_id = await upload()
    body = {"dataset_id": dataset_id, "batch_size": 10}
    job_id = await submit(client, alice, **body, shards=6)

    refused = await client.post(PREDICT, json={**body, "shards": 3}, headers=alice.headers)
    dry = await client.post(f"{PREDICT}?dry_run=true", json={**body, "shards": 3}, headers=alice.headers)
    bulk = {"jobs": [{"kind": "batch_predict", **body, "shards": 3}]}
    in_bulk = await client.post("/jobs/bulk", json=bulk, headers=alice.headers)
    for job in await jobs.claim_all(store, await jobs.worker(store), limit=1):
        await jobs.complete(store, job)
    await submit(client, alice, **body, shards=3)

    for answer in (refused, dry, in_bulk):
        problem = assert_problem(answer, 429, "too_many_active_jobs")
        assert (problem["active"], problem["limit"]) == (7, 10)
        assert problem["detail"] == "You have 7 unfinished jobs, shards included; the limit is 10."
    usage = (await client.get("/users/me/quotas", headers=alice.headers)).json()
    assert usage["active_jobs"]["used"] == 10
    assert (await rows.job(store, job_id))["status"] in ("pending", "running")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("way", ["single", "bulk", "dead_letter", "dead_letters"])
async def test_a_retry_counts_with_the_shards_that_it_makes_pending(
    client: httpx.AsyncClient, alice: Account, store: Database, upload: Upload, way: str
) -> None:
    body = {"dataset_id": await upload(), "batch_size": 10}
    job_id = await submit(client, alice, **body, shards=6)
    shard, *_ = await jobs.claim_all(store, await jobs.worker(store), limit=1)
    await jobs.fail(store, shard, is_retryable=False)
    await jobs.roll_up(store, job_id)
    other_id = await submit(client, alice, **body, shards=3)
    path, wanted = {
        "single": (f"/jobs/{job_id}/retry", None),
        "bulk": ("/jobs/bulk-actions", {"action": "retry", "job_ids": [str(job_id)]}),
        "dead_letter": (f"/dead-letters/{job_id}/retry", None),
        "dead_letters": ("/dead-letters/retry", {"job_ids": [str(job_id)]}),
    }[way]

    refused = await client.post(path, json=wanted, headers=alice.headers)
    await client.delete(f"/jobs/{other_id}", headers=alice.headers)
    retried = await client.post(path, json=wanted, headers=alice.headers)

    problem = assert_problem(refused, 429, "too_many_active_jobs")
    assert (problem["active"], problem["limit"]) == (4, 10)
    assert retried.is_success
    usage = (await client.get("/users/me/quotas", headers=alice.headers)).json()
    assert usage["active_jobs"]["used"] == 7


@pytest.mark.usefixtures("small")
async def test_a_retry_from_the_start_counts_with_all_shards(
    client: httpx.AsyncClient, alice: Account, store: Database, upload: Upload
) -> None:
    body = {"dataset_id": await upload(), "batch_size": 10}
    job_id = await submit(client, alice, **body, shards=6)
    for job in await jobs.claim_all(store, await jobs.worker(store), limit=5):
        await jobs.complete(store, job)
    await client.delete(f"/jobs/{job_id}", headers=alice.headers)
    await submit(client, alice, **body, shards=3)

    path = f"/jobs/{job_id}/retry"
    refused = await client.post(path, json={"from_start": True}, headers=alice.headers)
    resumed = await client.post(path, headers=alice.headers)

    assert_problem(refused, 429, "too_many_active_jobs")
    assert resumed.status_code == 202
    usage = (await client.get("/users/me/quotas", headers=alice.headers)).json()
    assert usage["active_jobs"]["used"] == (1 + 1) + (1 + 3), "a retry counts as it was admitted"


# A dataset in use


async def test_a_job_with_shards_is_one_that_needs_its_dataset(
    client: httpx.AsyncClient, alice: Account, upload: Upload
) -> None:
    dataset_id = await upload()
    await submit(client, alice, dataset_id=dataset_id, batch_size=10, shards=6)

    refused = await client.delete(f"/datasets/{dataset_id}", headers=alice.headers)

    assert assert_problem(refused, 409, "dataset_in_use")["jobs"] == 1


# Bulk


async def test_a_bulk_request_has_a_thousand_shards_at_most(
    client: httpx.AsyncClient, alice: Account, store: Database, upload: Upload
) -> None:
    dataset_id = await upload(rows_said=10_000_000)
    job = {"kind": "batch_predict", "dataset_id": dataset_id, "batch_size": 1}
    wanted = [{**job, "shards": shards} for shards in (600, 401)]
    left = [{**job, "shards": shards} for shards in (900, "auto")]

    too_many = await client.post("/jobs/bulk", json={"jobs": wanted}, headers=alice.headers)
    enough = await client.post("/jobs/bulk", json={"jobs": left}, headers=alice.headers)

    problem = assert_problem(too_many, 422, "cannot_shard")
    assert problem["errors"][0]["loc"] == ["body", "jobs", 1]
    assert enough.status_code == 202, enough.text
    found = [(await rows.job(store, UUID(job_id)))["shards"] for job_id in enough.json()["job_ids"]]
    assert found == [900, None]


# Schedules


async def test_a_schedule_creates_jobs_with_shards(
    client: httpx.AsyncClient,
    alice: Account,
    store: Database,
    settings: Settings,
    app: FastAPI,
    upload: Upload,
) -> None:
    job = {"kind": "batch_predict", "dataset_id": await upload(), "batch_size": 10, "shards": 3}
    body = {"name": "often", "trigger": {"every": {"hours": 1}}, "job": job}
    created = await client.post("/schedules", json=body, headers=alice.headers)
    assert created.status_code == 201, created.text
    await rows.execute(store, "UPDATE schedules SET next_fire_at = now()")
    state = state_of(app)

    dispatcher = Dispatcher(settings, state.kinds, state.quota)
    async with unit_of_work(state.resources.hints, store.transaction()) as unit:
        await dispatcher.fire(unit)

    [parent] = await rows.fetch(store, "SELECT * FROM jobs WHERE parent_id IS NULL")
    assert parent["schedule_id"] is not None
    assert len(await rows.shards(store, parent["id"])) == 3
    await invariants.all_hold(store)


# Cancelling


async def test_a_cancel_ends_the_job_and_its_running_shards_at_once(
    client: httpx.AsyncClient, alice: Account, store: Database, upload: Upload
) -> None:
    job_id = await submit(client, alice, dataset_id=await upload(), batch_size=10, shards=3)
    running = await jobs.claim(store)
    await jobs.commit(store, running)

    answer = await client.delete(f"/jobs/{job_id}", headers=alice.headers)

    assert answer.status_code == 200, answer.text
    assert (await rows.job(store, job_id))["status"] == "cancelled"
    assert {shard["status"] for shard in await rows.shards(store, job_id)} == {"cancelled"}
    assert await jobs.advance(store, jobs.report(running, first=1)) == {}
    again = await client.delete(f"/jobs/{job_id}", headers=alice.headers)
    assert_problem(again, 400, "job_already_finished")
    await invariants.all_hold(store)


async def test_a_group_and_a_bulk_action_cancel_jobs_with_their_shards(
    client: httpx.AsyncClient, alice: Account, store: Database, upload: Upload
) -> None:
    job = {"kind": "batch_predict", "dataset_id": await upload(), "batch_size": 10, "shards": 3}
    group = (await client.post("/jobs/bulk", json={"jobs": [job]}, headers=alice.headers)).json()
    single = await submit(client, alice, **{name: job[name] for name in job if name != "kind"})

    of_group = await client.delete(f"/groups/{group['group_id']}", headers=alice.headers)
    action = {"action": "cancel", "job_ids": [str(single)]}
    of_many = await client.post("/jobs/bulk-actions", json=action, headers=alice.headers)

    assert of_group.status_code == 200, of_group.text
    assert of_many.json()["changed"] == 1
    assert await rows.fetch(store, "SELECT FROM jobs WHERE status <> 'cancelled'") == []
    await invariants.all_hold(store)


@pytest.mark.usefixtures("without_roll_up")
async def test_a_cancel_that_cannot_end_every_shard_leaves_the_rest_to_the_loop(
    client: httpx.AsyncClient, alice: Account, store: Database, resources: Resources, upload: Upload
) -> None:
    job_id = await submit(client, alice, dataset_id=await upload(), batch_size=10, shards=3)
    running = await jobs.claim(store)
    async with rows.transaction(store) as connection:
        await connection.execute("SELECT FROM jobs WHERE id = $1 FOR UPDATE", running.id)
        answer = await client.delete(f"/jobs/{job_id}", headers=alice.headers)
        assert (answer.status_code, answer.json()["job"]["cancel_requested"]) == (202, True)
        assert (await rows.job(store, job_id))["status"] == "pending"

    async with store.transaction() as connection:
        await RollUp(resources.hints)(connection)

    assert (await rows.job(store, job_id))["status"] == "cancelled"
    await invariants.all_hold(store)
