"""Predictions over datasets, end to end: uploaded, predicted by a worker process, read in every format."""

import csv
import io
import json
from typing import Any

import httpx
import pyarrow.parquet as pq
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from app.core.resources import Resources
from tests.conftest import StartWorker
from tests.e2e.support import short_texts, until_done, wait_for_end
from tests.support import invariants

ROWS = 20_000
EMPTY_EACH = 4999


def table() -> list[dict[str, Any]]:
    """Rows with a key, and texts that take VADER a while; a few have none."""
    texts = [f"{text} table and chair" * 4 for text in short_texts(ROWS)]
    for row in range(EMPTY_EACH, ROWS, EMPTY_EACH):
        texts[row] = ""
    return [{"key": f"r{row}", "review": text, "stars": row % 5} for row, text in enumerate(texts)]


async def upload(client: httpx.AsyncClient, rows: list[dict[str, Any]]) -> str:
    """The id of a new dataset, sent as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    answer = await client.post(
        "/datasets?name=reviews", content=text.getvalue().encode(), headers={"Content-Type": "text/csv"}
    )
    assert answer.status_code == 201, answer.text
    dataset_id: str = answer.json()["dataset_id"]
    return dataset_id


async def predict(client: httpx.AsyncClient, dataset_id: str, **more: Any) -> str:
    """The id of a job over a dataset."""
    body = {"dataset_id": dataset_id, **more}
    answer = await client.post("/jobs/batch-predict", json=body)
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["job_id"]
    return job_id


async def fetch(client: httpx.AsyncClient, job_id: str, media_type: str) -> bytes:
    """All results in a format."""
    answer = await client.get(f"/jobs/{job_id}/results", headers={"Accept": media_type})
    assert answer.status_code == 200, answer.text
    return answer.content


async def test_a_dataset_is_predicted_exactly_though_the_worker_is_killed_in_the_middle(
    ada: httpx.AsyncClient, start_worker: StartWorker, resources: Resources
) -> None:
    rows = table()
    dataset_id = await upload(ada, rows)
    async with start_worker("first") as first:
        job_id = await predict(ada, dataset_id, column="review", id_column="key")
        await until_done(ada, job_id, 3000)
        await first.kill()
    async with start_worker("second"):
        job = await wait_for_end(ada, job_id)

    empty = set(range(EMPTY_EACH, ROWS, EMPTY_EACH))
    assert (job["status"], job["attempt"], job["done"]) == ("completed", 2, ROWS)
    assert (job["result"]["total"], job["result"]["errors"], job["errors"]) == (ROWS, len(empty), len(empty))
    assert "predictions" not in job["result"]
    await invariants.all_hold(resources.database, storage=resources.storage)
    assert [stored async for stored in resources.storage.list(f"jobs/{job_id}")]

    analyzer = SentimentIntensityAnalyzer()
    said = [
        None if row in empty else analyzer.polarity_scores(content["review"])["compound"]
        for row, content in enumerate(rows)
    ]
    lines = [json.loads(line) for line in (await fetch(ada, job_id, "application/x-ndjson")).splitlines()]
    assert [line["index"] for line in lines] == list(range(ROWS))
    assert [line["id"] for line in lines] == [row["key"] for row in rows]
    assert [line.get("prediction", {}).get("scores", {}).get("compound") for line in lines] == said
    assert {line["index"] for line in lines if "error" in line} == empty

    cells = list(csv.DictReader(io.StringIO((await fetch(ada, job_id, "text/csv")).decode())))
    assert [cell["id"] for cell in cells] == [row["key"] for row in rows]
    assert [float(cell["scores.compound"]) if cell["label"] else None for cell in cells] == said
    assert {int(cell["index"]) for cell in cells if cell["error.code"]} == empty

    file = io.BytesIO(await fetch(ada, job_id, "application/vnd.apache.parquet"))
    columns = pq.read_table(file).to_pydict()
    assert columns["index"] == list(range(ROWS))
    assert columns["id"] == [row["key"] for row in rows]
    assert columns["scores.compound"] == said
    assert columns["label"] == [line.get("prediction", {}).get("label") for line in lines]

    assert await pages(ada, job_id) == lines


async def pages(client: httpx.AsyncClient, job_id: str) -> list[Any]:
    """All results, page by page."""
    found: list[Any] = []
    query: dict[str, Any] = {"limit": 999}
    while True:
        page = (await client.get(f"/jobs/{job_id}/results", params=query)).json()
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        query["cursor"] = page["next_cursor"]


async def test_too_many_rows_in_error_fail_the_job_for_good_and_what_was_predicted_stays(
    ada: httpx.AsyncClient, start_worker: StartWorker, resources: Resources
) -> None:
    rows = [{"text": "good" if row % 2 else "", "id": row} for row in range(100)]
    dataset_id = await upload(ada, rows)
    async with start_worker("one"):
        job = await wait_for_end(ada, await predict(ada, dataset_id, batch_size=10, max_row_errors=12))

    assert (job["status"], job["attempt"], job["done"]) == ("failed", 1, 30)
    assert (job["error"]["code"], job["error"]["retryable"]) == ("too_many_row_errors", False)
    assert "15 of the first 30 rows" in job["error"]["message"]
    lines = (await fetch(ada, job["job_id"], "application/x-ndjson")).splitlines()
    assert [json.loads(line)["id"] for line in lines] == list(range(30))
    await invariants.all_hold(resources.database, storage=resources.storage)


async def test_a_model_is_evaluated_on_a_dataset(
    ada: httpx.AsyncClient, start_worker: StartWorker, resources: Resources
) -> None:
    texts = short_texts(300)
    analyzer = SentimentIntensityAnalyzer()
    moods = ["positive" if row % 3 else "negative" for row in range(300)]
    dataset_id = await upload(
        ada, [{"text": text, "mood": mood} for text, mood in zip(texts, moods, strict=True)]
    )
    body = {"model": "sentiment", "dataset_id": dataset_id, "target": "mood", "column": "text"}
    async with start_worker("one"):
        created = await ada.post("/jobs/evaluate-model", json=body)
        assert created.status_code == 202, created.text
        assert created.json()["message"] == "Evaluation job created"
        job = await wait_for_end(ada, created.json()["job_id"])

    said = [analyzer.polarity_scores(text)["compound"] for text in texts]
    hits = sum(
        (mood == "positive" and compound >= 0.05) or (mood == "negative" and compound <= -0.05)
        for mood, compound in zip(moods, said, strict=True)
    )
    assert job["status"] == "completed", job["error"]
    assert job["result"]["metrics"]["accuracy"] == hits / 300
    assert (job["result"]["total"], job["result"]["errors"]) == (300, 0)
    assert sum(map(sum, job["result"]["confusion_matrix"]["matrix"])) == 300
    await invariants.all_hold(resources.database, storage=resources.storage)


async def test_a_dataset_without_the_column_that_a_model_needs_is_refused_before_there_is_a_job(
    ada: httpx.AsyncClient,
) -> None:
    dataset_id = await upload(ada, [{"title": "a", "review": "b", "stars": 1}])

    refused = await ada.post("/jobs/batch-predict", json={"dataset_id": dataset_id})
    unknown = await ada.post(
        "/jobs/batch-predict", json={"dataset_id": "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"}
    )

    assert (refused.status_code, refused.json()["code"]) == (422, "ambiguous_column")
    assert refused.json()["candidates"] == ["title", "review"]
    assert (unknown.status_code, unknown.json()["code"]) == (404, "dataset_not_found")
    assert (await ada.get("/jobs")).json()["items"] == []
