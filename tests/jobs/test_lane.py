"""The lane of `POST /predict`: which jobs enter it, and what is said about its slots."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from app.core.database import Database
from app.jobs import lane
from app.jobs.predictions import service
from app.jobs.times import JobTimes
from app.operations import queries as operations
from tests.support import jobs, rows
from tests.support.accounts import Account


@pytest.fixture
def job_times() -> JobTimes:
    """No worker answers a prediction here."""
    return JobTimes(prediction_seconds=0.05)


async def queue_of_prediction(client: httpx.AsyncClient, who: Account) -> str:
    answer = await client.post("/predict", json={"texts": ["x"]}, headers=who.headers)
    assert answer.status_code == 504, answer.text
    job = (await client.get(answer.json()["poll_url"], headers=who.headers)).json()
    queue: str = job["queue"]
    return queue


async def test_a_prediction_enters_the_lane_if_a_worker_serves_it(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    await jobs.worker(store, predict_slots=0)

    assert await queue_of_prediction(client, alice) == lane.QUEUE
    found = await rows.value(store, "SELECT (time_limit_seconds, soft_limit_seconds)::text FROM jobs")
    assert found == f"({service.TIME_LIMIT_SECONDS},{service.TIME_LIMIT_SECONDS})"


async def test_without_such_a_worker_it_waits_with_the_others(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    await jobs.worker(store)  # of a version without a lane
    await jobs.expire_lease(store, await jobs.worker(store, predict_slots=1))

    assert await queue_of_prediction(client, alice) == "default"


@pytest.mark.parametrize("kind", ["batch-predict", "train-model"])
async def test_no_request_can_name_the_lane(client: httpx.AsyncClient, alice: Account, kind: str) -> None:
    body = {"texts": ["x"], "queue": lane.QUEUE}
    answer = await client.post(f"/jobs/{kind}", json=body, headers=alice.headers)

    assert answer.status_code == 422
    assert ["body", "queue"] in [error["loc"] for error in answer.json()["errors"]]


@pytest.mark.parametrize(
    ("queues", "served"),
    [(("default", "emails"), ("default", "emails", lane.QUEUE)), (("gpu",), ("gpu",))],
    ids=str,
)
def test_workers_that_predict_without_the_lane_serve_it(
    queues: tuple[str, ...], served: tuple[str, ...]
) -> None:
    assert lane.queues_of_worker(queues) == served


async def test_a_prediction_in_the_lane_takes_no_slot_from_other_jobs(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    worker = await jobs.worker(store, slots=1, predict_slots=1)
    waiting = await jobs.create(store, alice.id)
    await run_prediction(store, worker)
    with_one = await explain(client, alice, waiting)
    await run_prediction(store, worker)
    with_two = await explain(client, alice, waiting)

    assert (with_one["facts"]["slots"], with_one["facts"]["busy"]) == (1, 0)
    assert with_one["estimated_start_at"] is not None
    assert (with_two["facts"]["slots"], with_two["facts"]["busy"]) == (1, 1)


async def test_a_prediction_that_waits_is_told_of_all_slots(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    worker = await jobs.worker(store, slots=1, predict_slots=1)
    await jobs.create(store, alice.id)
    await jobs.claim(store, worker)
    await run_prediction(store, worker, alice.id)
    waiting = await jobs.create(store, alice.id, queue=lane.QUEUE)

    facts = (await explain(client, alice, waiting))["facts"]

    assert (facts["slots"], facts["busy"], facts["mine_running"]) == (2, 2, 2)


async def test_the_slots_of_a_queue_are_those_that_it_can_have(store: Database) -> None:
    worker = await jobs.worker(store, slots=2, predict_slots=1)
    await jobs.create(store)
    await jobs.claim(store, worker)
    with_none = await slots_of_queues(store)
    await run_prediction(store, worker)
    with_one = await slots_of_queues(store)
    await run_prediction(store, worker)
    with_two = await slots_of_queues(store)

    assert with_none == {"default": (1, 1), lane.QUEUE: (1, 2)}
    assert with_one == {"default": (1, 1), lane.QUEUE: (2, 1)}
    assert with_two == {"default": (2, 0), lane.QUEUE: (3, 0)}


async def run_prediction(store: Database, worker: UUID, owner_id: UUID | None = None) -> None:
    await jobs.create(store, owner_id, queue=lane.QUEUE)
    await jobs.claim(store, worker, queue=lane.QUEUE)


async def explain(client: httpx.AsyncClient, who: Account, job_id: UUID) -> dict[str, Any]:
    answer = await client.get(f"/jobs/{job_id}/explain", headers=who.headers)
    explained: dict[str, Any] = answer.json()
    return explained


async def slots_of_queues(store: Database) -> dict[str, tuple[float, float]]:
    """The busy and the idle slots of each queue."""
    async with store.connection() as connection:
        samples = await operations.samples(connection, queues=("default", lane.QUEUE), lease=jobs.LEASE)
    found = {sample.labels: sample.value for sample in samples if sample.gauge == "queue_slots"}
    return {queue: (found[queue, "busy"], found[queue, "idle"]) for queue, _ in found}
