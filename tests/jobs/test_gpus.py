"""Jobs that need GPUs run in slots that have them, and wait in a queue of their own."""

from typing import Any

import asyncpg
import httpx
import pytest

from app.core.config import ClaimOrder
from app.core.database import Database
from app.core.resources import Resources
from app.jobs.queues import queries as queues
from tests.support import jobs, rows
from tests.support.accounts import Account
from worker.claimer import Claimer

CREATE = "/jobs/batch-predict"
TEXTS = {"texts": ["What a lovely day"]}


async def submit(client: httpx.AsyncClient, account: Account, **more: Any) -> dict[str, Any]:
    answer = await client.post(CREATE, json={**TEXTS, **more}, headers=account.headers)
    assert answer.status_code == 202, answer.text
    job = await client.get(f"/jobs/{answer.json()['job_id']}", headers=account.headers)
    found: dict[str, Any] = job.json()
    return found


# Requests


@pytest.mark.parametrize(
    ("request_", "queue", "gpus"),
    [
        ({}, "default", 0),
        ({"resources": {}}, "default", 0),
        ({"resources": {"gpus": 0}}, "default", 0),
        ({"resources": {"gpus": 2}}, "gpu", 2),
        ({"resources": {"gpus": 8}, "queue": "large"}, "large", 8),
    ],
)
async def test_a_job_with_gpus_waits_in_their_queue_unless_it_names_another(
    request_: dict[str, Any], queue: str, gpus: int, client: httpx.AsyncClient, alice: Account
) -> None:
    job = await submit(client, alice, **request_)

    assert (job["queue"], job["gpus"]) == (queue, gpus)


@pytest.mark.parametrize("resources", [{"gpus": 9}, {"gpus": -1}, {"gpus": "many"}, {"tpus": 1}])
async def test_resources_that_there_are_not_are_refused(
    resources: dict[str, Any], client: httpx.AsyncClient, alice: Account
) -> None:
    answer = await client.post(CREATE, json={**TEXTS, "resources": resources}, headers=alice.headers)

    assert answer.status_code == 422


async def test_every_kind_and_way_to_create_jobs_has_gpus(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    lines = [{"size": size, "label": "ab"[size > 10]} for size in range(20)]
    training = {"rows": lines, "target": "label", "resources": {"gpus": 1}}
    bulk = [{"kind": "batch_predict", **TEXTS}, {"kind": "train_model", **training}]

    folded = await client.post("/jobs/train-model", json={**training, "folds": 2}, headers=alice.headers)
    mixed = await client.post("/jobs/bulk", json={"jobs": bulk}, headers=alice.headers)

    assert (folded.status_code, mixed.status_code) == (202, 202)
    found = await rows.fetch(store, "SELECT queue, gpus FROM jobs ORDER BY id")
    assert [tuple(job) for job in found] == [("gpu", 1)] * 3 + [("default", 0), ("gpu", 1)]


async def test_a_request_with_gpus_is_restored(client: httpx.AsyncClient, alice: Account) -> None:
    ours, named = [
        await submit(client, alice, resources={"gpus": 2}, **more) for more in ({}, {"queue": "default"})
    ]

    requests = [
        (await client.get(f"/jobs/{job['job_id']}/request", headers=alice.headers)).json()["request"]
        for job in (ours, named)
    ]

    assert [request["resources"] for request in requests] == [{"gpus": 2}] * 2
    assert [request.get("queue") for request in requests] == [None, "default"]


async def test_the_database_refuses_gpus_that_no_request_can_ask_for(store: Database) -> None:
    await jobs.create(store, gpus=8)

    with pytest.raises(asyncpg.CheckViolationError):
        await jobs.create(store, gpus=9)


# Claims


@pytest.mark.parametrize("order", ClaimOrder)
@pytest.mark.parametrize("max_running", [None, 10])
async def test_a_slot_takes_jobs_that_need_no_more_gpus_than_it_has(
    order: ClaimOrder, max_running: int | None, store: Database
) -> None:
    for gpus in (2, 1, 0):
        await jobs.create(store, queue="gpu", gpus=gpus)
    worker_id = await jobs.worker(store, queue="gpu", gpus=1)

    async def claim(slot_gpus: int) -> list[int]:
        """The GPUs of the jobs that are claimed, one by one."""
        claimed: list[int] = []
        while found := await jobs.claim_all(
            store,
            worker_id,
            queue="gpu",
            limit=1,
            order=order,
            max_running=max_running,
            slot_gpus=slot_gpus,
        ):
            [job] = found
            claimed.append(int(await rows.value(store, "SELECT gpus FROM jobs WHERE id = $1", job.id)))
        return claimed

    assert await claim(0) == [0]
    assert await claim(1) == [1]
    assert await claim(8) == [2]


async def test_a_worker_claims_by_the_gpus_of_its_slots(store: Database, resources: Resources) -> None:
    await jobs.create(store, queue="gpu", gpus=1)
    worker_id = await jobs.worker(store, queue="gpu", gpus=1)
    without, with_gpu = (
        Claimer(store, resources.hints, worker_id, (jobs.KIND,), slot_gpus=gpus) for gpus in (0, 1)
    )

    assert (await without.count_due(["gpu"], 5), await with_gpu.count_due(["gpu"], 5)) == (0, 1)
    assert await without.claim("gpu") is None
    assert await with_gpu.claim("gpu") is not None


async def test_the_jobs_that_a_worker_could_claim_are_counted_by_its_gpus(store: Database) -> None:
    for gpus in (0, 1, 1, 4):
        await jobs.create(store, queue="gpu", gpus=gpus)

    async with store.connection() as connection:
        counts = [
            await queues.claimable(connection, ["gpu"], [jobs.KIND], slot_gpus=gpus, limit=10)
            for gpus in (0, 1, 8)
        ]

    assert counts == [1, 3, 4]


# What is shown


async def explain(client: httpx.AsyncClient, account: Account, job: dict[str, Any]) -> dict[str, Any]:
    answer = await client.get(f"/jobs/{job['job_id']}/explain", headers=account.headers)
    found: dict[str, Any] = answer.json()
    return found


async def test_that_no_worker_has_enough_gpus_is_said_until_one_comes(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await submit(client, alice, resources={"gpus": 2})
    nobody = await explain(client, alice, job)
    await jobs.worker(store, queue="gpu")
    none = await explain(client, alice, job)
    await jobs.worker(store, queue="gpu", gpus=1)
    few = await explain(client, alice, job)
    await jobs.worker(store, queue="gpu", gpus=2)
    enough = await explain(client, alice, job)

    assert nobody["code"] == "no_worker"
    assert (none["code"], none["facts"]) == ("no_worker_has_gpus", {"workers": 1, "gpus": 2, "most_gpus": 0})
    assert none["sentence"] == "It needs 2 GPUs; slots of workers of the queue 'gpu' have none."
    assert none["estimated_start_at"] is None
    assert few["sentence"] == "It needs 2 GPUs; slots of workers of the queue 'gpu' have at most 1."
    assert enough["code"] == "next"


async def test_a_dry_run_says_that_no_worker_has_the_gpus(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    await jobs.worker(store, queue="gpu")

    answer = await client.post(
        f"{CREATE}?dry_run=true", json={**TEXTS, "resources": {"gpus": 1}}, headers=alice.headers
    )

    found = answer.json()
    assert (found["queue"], found["code"]) == ("gpu", "no_worker_has_gpus")
    assert found["sentence"].startswith("It needs 1 GPU;")


async def test_a_worker_shows_the_gpus_of_its_slots(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    await jobs.worker(store, queue="gpu", gpus=4)

    [worker] = (await client.get("/workers", headers=alice.headers)).json()["items"]

    assert worker["gpus"] == 4
