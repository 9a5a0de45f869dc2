"""A job that is divided into shards, over HTTP and by worker processes: the same results as in one piece."""

from uuid import UUID

import httpx

from app.core.database import Database
from app.core.resources import Resources
from tests.conftest import StartWorker
from tests.e2e.support import short_texts, wait_for_end
from tests.support import invariants, rows
from tests.support.waiting import until

ROWS = 430


async def upload(client: httpx.AsyncClient, texts: list[str]) -> str:
    """Upload texts, with ids, and return the id of the dataset."""
    content = "id,text\n" + "".join(f"{number},{text}\n" for number, text in enumerate(texts))
    answer = await client.post(
        "/datasets?name=texts.csv", content=content.encode(), headers={"Content-Type": "text/csv"}
    )
    assert answer.status_code == 201, answer.text
    dataset_id: str = answer.json()["dataset_id"]
    return dataset_id


async def predict(client: httpx.AsyncClient, dataset_id: str, **more: object) -> str:
    body = {"dataset_id": dataset_id, "column": "text", "batch_size": 10, **more}
    answer = await client.post("/jobs/batch-predict", json=body)
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["job_id"]
    return job_id


async def stored_output(database: Database, job_ids: list[UUID]) -> bytes:
    """The stored lines of jobs, one after the other."""
    found = [batch["output"] for job_id in job_ids for batch in await rows.batches(database, job_id)]
    return b"".join(found)


async def test_two_workers_compute_the_same_results_as_one(
    ada: httpx.AsyncClient, start_worker: StartWorker, resources: Resources
) -> None:
    database = resources.database
    dataset_id = await upload(ada, short_texts(ROWS))
    async with start_worker("one"), start_worker("two"):
        whole = await wait_for_end(ada, await predict(ada, dataset_id, shards=1))
        divided = await wait_for_end(ada, await predict(ada, dataset_id, shards=7))

    assert (whole["status"], divided["status"]) == ("completed", "completed")
    assert (divided["done"], divided["progress"]) == (ROWS, 100.0)
    shards = await rows.shards(database, UUID(divided["job_id"]))
    assert [shard["total"] for shard in shards] == [70] * 6 + [10]
    output = await stored_output(database, [shard["id"] for shard in shards])
    assert output == await stored_output(database, [UUID(whole["job_id"])])
    assert output.count(b"\n") == ROWS
    result = (await rows.job(database, UUID(divided["job_id"])))["result"]
    assert result == {"total": ROWS, "errors": 0}
    await invariants.all_hold(database)


async def test_a_killed_worker_costs_its_shards_an_attempt_and_the_job_nothing(
    ada: httpx.AsyncClient, start_worker: StartWorker, resources: Resources
) -> None:
    database = resources.database
    dataset_id = await upload(ada, [f"{text} table and chair" * 60 for text in short_texts(ROWS)])
    async with start_worker("first") as first, start_worker("second"):
        job_id = await predict(ada, dataset_id, shards=4)
        running = """SELECT j.done > 0 FROM jobs j JOIN workers w ON w.id = j.worker_id
            WHERE j.parent_id = $1 AND w.pid = $2"""
        await _until(database, running, UUID(job_id), first.pid)
        await first.kill()
        job = await wait_for_end(ada, job_id)

    assert (job["status"], job["attempt"], job["done"]) == ("completed", 1, ROWS)
    events = [event["type"] for event in (await ada.get(f"/jobs/{job_id}/events")).json()["items"]]
    assert (events[0], events[1], events[-1]) == ("created", "started", "completed")
    assert set(events[2:-1]) <= {"progress"}
    await invariants.all_hold(database)


async def test_a_cancel_kills_the_children_of_running_shards(
    ada: httpx.AsyncClient, start_worker: StartWorker, resources: Resources
) -> None:
    database = resources.database
    dataset_id = await upload(ada, [f"{text} table and chair" * 400 for text in short_texts(ROWS)])
    async with start_worker("one") as worker:
        job_id = await predict(ada, dataset_id, shards=4)
        started = "SELECT done > 0 FROM jobs WHERE parent_id = $1 AND status = 'running'"
        await _until(database, started, UUID(job_id))
        answer = await ada.delete(f"/jobs/{job_id}")
        assert answer.status_code in (200, 202), answer.text
        job = await wait_for_end(ada, job_id)
        stored = await stored_output(
            database, [shard["id"] for shard in await rows.shards(database, UUID(job_id))]
        )
        await worker.wait_for_log("attempt_fenced")
        # Its slots are free for other jobs.
        other = await wait_for_end(ada, await predict(ada, await upload(ada, short_texts(20))))

    assert (job["status"], other["status"]) == ("cancelled", "completed")
    again = await stored_output(
        database, [shard["id"] for shard in await rows.shards(database, UUID(job_id))]
    )
    assert again == stored
    await invariants.all_hold(database)


async def _until(database: Database, query: str, *arguments: object) -> None:
    async def holds() -> bool:
        return any(row[0] for row in await rows.fetch(database, query, *arguments))

    await until(holds)
