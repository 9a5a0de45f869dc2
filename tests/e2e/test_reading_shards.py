"""What readers get of a job that workers compute in shards: the same bytes as of one that is not divided."""

from typing import Any

import httpx

from app.core.resources import Resources
from tests.conftest import StartWorker
from tests.e2e.support import short_texts, wait_for_end
from tests.e2e.test_shards import predict, upload
from tests.support import invariants

ROWS = 430
EMPTY_EACH = 97
"""A text without a word is a row with an error, in several shards."""

FORMATS = ("application/x-ndjson", "text/csv", "application/vnd.apache.parquet")


def texts() -> list[str]:
    found = short_texts(ROWS)
    for row in range(EMPTY_EACH, ROWS, EMPTY_EACH):
        found[row] = ""
    return found


async def read(
    client: httpx.AsyncClient, job_id: str, path: str = "results", **params: Any
) -> httpx.Response:
    answer = await client.get(f"/jobs/{job_id}/{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer


async def pages(client: httpx.AsyncClient, job_id: str, **params: Any) -> list[Any]:
    """All items, page by page."""
    found: list[Any] = []
    query = dict(params)
    while True:
        page = (await read(client, job_id, **query)).json()
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        query = {**params, "cursor": page["next_cursor"]}


async def test_all_ways_to_read_give_the_same_of_a_job_in_shards_and_in_one_piece(
    ada: httpx.AsyncClient, start_worker: StartWorker, resources: Resources
) -> None:
    dataset_id = await upload(ada, texts())
    async with start_worker("one"), start_worker("two"):
        whole = await predict(ada, dataset_id, shards=1, id_column="id")
        divided = await predict(ada, dataset_id, shards=7, id_column="id")
        ends = [await wait_for_end(ada, whole), await wait_for_end(ada, divided)]

    assert [(end["status"], end["shards"]) for end in ends] == [("completed", None), ("completed", 7)]
    assert ends[0]["errors"] == ends[1]["errors"] > 0
    for media_type in FORMATS:
        for include in ({}, {"include": "input"}):
            one, other = [
                await ada.get(f"/jobs/{job_id}/results", params=include, headers={"Accept": media_type})
                for job_id in (whole, divided)
            ]
            assert one.status_code == other.status_code == 200
            assert one.content == other.content, media_type
            assert len(one.content) > ROWS
    selections: list[dict[str, Any]] = [
        {"limit": 1000},
        {"limit": 33},
        {"limit": 33, "include": "input"},
        {"limit": 7, "errors": True},
        {"limit": 50, "label": "positive", "below": 0.6},
    ]
    for params in selections:
        assert await pages(ada, whole, **params) == await pages(ada, divided, **params), params
    for path in ("results/summary", "input"):
        assert (await read(ada, whole, path)).json() == (await read(ada, divided, path)).json()
    for first_row in (0, 69, 70, 71, 200, ROWS - 1, ROWS):
        one, other = [
            (await read(ada, job_id, first_row=first_row, limit=5)).json()["items"]
            for job_id in (whole, divided)
        ]
        assert one == other
    await invariants.all_hold(resources.database)


async def test_a_reader_that_follows_a_running_job_gets_each_row_once_and_in_order(
    ada: httpx.AsyncClient, start_worker: StartWorker, resources: Resources
) -> None:
    slow = [f"{text} table and chair" * 60 for text in short_texts(ROWS)]
    dataset_id = await upload(ada, slow)
    async with start_worker("one"), start_worker("two"):
        job_id = await predict(ada, dataset_id, shards=8)
        followed = await pages(ada, job_id, limit=25)
        job = await wait_for_end(ada, job_id)

    assert job["status"] == "completed"
    assert [item["index"] for item in followed] == list(range(ROWS))
    assert followed == await pages(ada, job_id, limit=1000)
    shards = (await read(ada, job_id, "shards")).json()
    assert shards["counts"] == {
        "all": 8,
        "pending": 0,
        "running": 0,
        "completed": 8,
        "failed": 0,
        "cancelled": 0,
    }
    assert [(one["first_row"], one["rows"]) for one in shards["items"]][-1] == (420, 10)
