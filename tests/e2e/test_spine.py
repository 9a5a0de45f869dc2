"""A batch prediction, end to end: over HTTP, through Postgres and Redis, by a worker process."""

import asyncio
import signal

import httpx
import pytest

from app.core.resources import Resources
from tests.conftest import StartWorker
from tests.e2e.support import (
    compounds,
    follow,
    short_texts,
    slow_texts,
    stored_compounds,
    submit,
    until_done,
    wait_for_end,
)
from tests.support import invariants, waiting


async def test_texts_become_predictions_in_input_order_with_progress_for_each_batch(
    ada: httpx.AsyncClient, start_worker: StartWorker, resources: Resources
) -> None:
    texts = short_texts(25)
    async with start_worker("one"):
        job_id = await submit(ada, texts, batch_size=10)
        job = await wait_for_end(ada, job_id)

    assert job["status"] == "completed"
    assert job["result"]["total"] == 25
    predicted = [prediction["scores"]["compound"] for prediction in job["result"]["predictions"]]
    assert predicted == compounds(texts)
    events = (await ada.get(f"/jobs/{job_id}/events")).json()["items"]
    assert [event["type"] for event in events] == ["created", "started", *["progress"] * 3, "completed"]
    assert [event["progress"] for event in events if event["type"] == "progress"] == [40, 80, 100]
    assert [event["step"] for event in events if event["type"] == "progress"] == [
        "Batch 1/3",
        "Batch 2/3",
        "Batch 3/3",
    ]
    await invariants.all_hold(resources.database)


async def test_the_stream_shows_a_job_as_it_happens_and_ends_with_it(
    ada: httpx.AsyncClient, start_worker: StartWorker
) -> None:
    async with start_worker("one"):
        job_id = await submit(ada, short_texts(100), batch_size=10)
        events = [event async for event in follow(ada, job_id)]

    assert [event["seq"] for event in events] == list(range(1, 14))
    assert events[-1]["status"] == "completed"


async def test_unusual_texts_are_predicted_and_harm_no_other_row(
    ada: httpx.AsyncClient, start_worker: StartWorker
) -> None:
    texts = [
        "",
        " ",
        "😀😀👍",
        "هذا رائع",
        "שלום עולם",
        "a good day " * 9000,
        "\u202egood\u202c",
        "good",
        "<b>",
    ]
    async with start_worker("one"):
        job = await wait_for_end(ada, await submit(ada, texts))

    assert job["status"] == "completed"
    assert len(job["result"]["predictions"]) == len(texts)
    assert job["result"]["predictions"][7]["label"] == "positive"


async def test_a_killed_worker_loses_nothing_and_another_goes_on_from_the_next_batch(
    ada: httpx.AsyncClient, start_worker: StartWorker, resources: Resources
) -> None:
    texts = slow_texts(60)
    async with start_worker("first") as first, start_worker("second") as second:
        job_id = await submit(ada, texts, batch_size=1)
        await until_done(ada, job_id, 5)
        async with resources.database.connection() as connection:
            pid = await connection.fetchval(
                "SELECT pid FROM workers w JOIN jobs j ON j.worker_id = w.id WHERE j.id = $1::uuid", job_id
            )
        holder = first if first.pid == pid else second
        await holder.kill()
        done_before = (await until_done(ada, job_id, 5))["done"]
        job = await wait_for_end(ada, job_id)

    assert job["status"] == "completed"
    assert job["attempt"] == 2
    assert await stored_compounds(ada, job_id) == compounds(texts)
    events = [event async for event in follow(ada, job_id)]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    batches = [event["batch"] for event in events if event["type"] == "progress"]
    assert batches == list(range(60))
    restarted = next(event for event in events if event["type"] == "started" and event["attempt"] == 2)
    assert restarted["done"] >= done_before - 1
    await invariants.all_hold(resources.database)


async def test_a_job_whose_worker_and_redis_are_gone_finishes_when_a_worker_comes(
    ada: httpx.AsyncClient, start_worker: StartWorker, resources: Resources
) -> None:
    texts = slow_texts(30)
    async with start_worker("first") as first:
        job_id = await submit(ada, texts, batch_size=1)
        await until_done(ada, job_id, 3)
        await first.kill()
    await resources.hints.flush()
    async with start_worker("second"):
        job = await wait_for_end(ada, job_id)

    assert job["status"] == "completed"
    assert await stored_compounds(ada, job_id) == compounds(texts)
    await invariants.all_hold(resources.database)


async def test_a_cancelled_job_stops_keeps_its_batches_and_never_completes(
    ada: httpx.AsyncClient, start_worker: StartWorker, resources: Resources
) -> None:
    texts = slow_texts(300)
    async with start_worker("one") as worker:
        job_id = await submit(ada, texts, batch_size=1)
        await until_done(ada, job_id, 3)
        answer = await ada.delete(f"/jobs/{job_id}")
        assert (answer.status_code, answer.json()["message"]) == (200, "Job cancelled")
        # The slot is free at once, and the worker none the worse.
        neighbour = await wait_for_end(ada, await submit(ada, short_texts(5)))
        assert neighbour["status"] == "completed"
        job = (await ada.get(f"/jobs/{job_id}")).json()
        assert worker.is_running

    assert job["status"] == "cancelled"
    assert 3 <= job["done"] < 300
    assert await stored_compounds(ada, job_id) == compounds(texts[: job["done"]])
    await invariants.all_hold(resources.database)


async def test_a_worker_that_is_told_to_stop_gives_its_job_back_and_spends_no_attempt(
    ada: httpx.AsyncClient, start_worker: StartWorker, resources: Resources
) -> None:
    texts = slow_texts(40)
    async with start_worker("first") as first:
        job_id = await submit(ada, texts, batch_size=1)
        await until_done(ada, job_id, 3)
        first.send(signal.SIGTERM)
        assert await first.wait() == 0
    job = (await ada.get(f"/jobs/{job_id}")).json()
    assert job["status"] == "pending"
    assert job["done"] >= 3
    async with start_worker("second"):
        job = await wait_for_end(ada, job_id)

    assert job["status"] == "completed"
    async with resources.database.connection() as connection:
        assert await connection.fetchval("SELECT failures FROM jobs WHERE id = $1::uuid", job_id) == 0
    assert await stored_compounds(ada, job_id) == compounds(texts)
    await invariants.all_hold(resources.database)


async def test_a_frozen_worker_that_wakes_up_writes_nothing_more(
    ada: httpx.AsyncClient, start_worker: StartWorker, resources: Resources
) -> None:
    texts = slow_texts(120)
    async with start_worker("first") as first:
        job_id = await submit(ada, texts, batch_size=1)
        await until_done(ada, job_id, 3)
        first.send(signal.SIGSTOP)
        async with start_worker("second"):

            async def runs_elsewhere() -> bool:
                return bool((await ada.get(f"/jobs/{job_id}")).json()["attempt"] == 2)

            await waiting.until(runs_elsewhere)
            first.send(signal.SIGCONT)
            await first.wait_for_log("fenced")
            job = await wait_for_end(ada, job_id)
            # The slot of the fenced attempt is free again.
            neighbours = [await submit(ada, short_texts(3)) for _ in range(8)]
            for neighbour in neighbours:
                assert (await wait_for_end(ada, neighbour))["status"] == "completed"

    assert job["status"] == "completed"
    assert await stored_compounds(ada, job_id) == compounds(texts)
    await invariants.all_hold(resources.database)


async def test_jobs_run_while_redis_is_emptied_and_is_away(
    ada: httpx.AsyncClient,
    start_worker: StartWorker,
    resources: Resources,
    request: pytest.FixtureRequest,
) -> None:
    valkey = request.getfixturevalue("servers").embedded.valkey
    texts = short_texts(30)
    async with start_worker("one") as worker:
        valkey.kill()
        try:
            away = [await submit(ada, texts, batch_size=10) for _ in range(5)]
            for job_id in away:
                assert (await wait_for_end(ada, job_id))["status"] == "completed"
        finally:
            valkey.start()
        back = await submit(ada, texts, batch_size=10)
        assert (await wait_for_end(ada, back))["status"] == "completed"
        assert worker.is_running
        assert worker.log.count("redis_unavailable") == 1

    for job_id in (*away, back):
        assert await stored_compounds(ada, job_id) == compounds(texts)
    await invariants.all_hold(resources.database)


async def test_many_jobs_at_once_are_each_done_once(
    ada: httpx.AsyncClient, start_worker: StartWorker, resources: Resources
) -> None:
    texts = short_texts(12)
    async with start_worker("first"), start_worker("second"):
        job_ids = [
            job_id
            for _ in range(4)
            for job_id in await asyncio.gather(*(submit(ada, texts, batch_size=5) for _ in range(15)))
        ]
        jobs = await asyncio.gather(*(wait_for_end(ada, job_id) for job_id in job_ids))

    assert {job["status"] for job in jobs} == {"completed"}
    assert {job["attempt"] for job in jobs} == {1}
    await invariants.all_hold(resources.database)
