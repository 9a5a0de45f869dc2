"""A dataset is preprocessed by a real worker: exact though it is killed, and with its lineage."""

import csv
import io
from typing import Any

import httpx
import pyarrow.parquet as pq

from app.core.resources import Resources
from tests.conftest import StartWorker
from tests.e2e.support import until_done, wait_for_end
from tests.support import invariants

ROWS = 60_000
LABELS = ("good", "bad", "so-so")
STEPS: list[dict[str, Any]] = [
    {"step": "deduplicate", "columns": ["text", "stars"]},
    {"step": "fill", "columns": ["stars"], "statistic": "median"},
    {"step": "join", "dataset": "labels", "on": {"label": "name"}, "suffix": "_right"},
    {
        "step": "split",
        "by": "stratified",
        "column": "label",
        "parts": [{"name": "train", "fraction": 0.8}, {"name": "test", "fraction": 0.2}],
    },
]


def table() -> list[dict[str, Any]]:
    """Rows of which a fifth are there twice, and a tenth have no stars."""
    return [
        {
            "text": f"Review {n % (ROWS * 4 // 5)}",
            "stars": "" if n % 10 == 0 else n % (ROWS * 4 // 5) % 5,
            "label": LABELS[n % 3],
        }
        for n in range(ROWS)
    ]


async def upload(client: httpx.AsyncClient, name: str, rows: list[dict[str, Any]]) -> str:
    """The id of a new dataset, sent as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    answer = await client.post(
        f"/datasets?name={name}", content=text.getvalue().encode(), headers={"Content-Type": "text/csv"}
    )
    assert answer.status_code == 201, answer.text
    dataset_id: str = answer.json()["dataset_id"]
    return dataset_id


async def preprocess(client: httpx.AsyncClient, dataset_id: str, name: str, **more: Any) -> str:
    """The id of a job."""
    body = {"dataset_id": dataset_id, "name": name, "steps": STEPS, **more}
    answer = await client.post("/jobs/preprocess-dataset", json=body)
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["job_id"]
    return job_id


async def test_parts_become_datasets_exactly_though_the_worker_is_killed_in_the_middle(
    ada: httpx.AsyncClient, start_worker: StartWorker, resources: Resources
) -> None:
    source = await upload(ada, "reviews", table())
    labels = await upload(ada, "labels", [{"name": name, "rank": n} for n, name in enumerate(LABELS)])
    async with start_worker("first") as first:
        job_id = await preprocess(ada, source, "disturbed")
        refused = [await ada.delete(f"/datasets/{dataset_id}") for dataset_id in (source, labels)]
        await until_done(ada, job_id, 8)
        await first.kill()
    async with start_worker("second"):
        disturbed = await wait_for_end(ada, job_id)
        undisturbed = await wait_for_end(ada, await preprocess(ada, source, "undisturbed"))

    assert [answer.json()["code"] for answer in refused] == ["dataset_in_use", "dataset_in_use"]
    assert (disturbed["status"], disturbed["attempt"]) == ("completed", 2), disturbed["error"]
    assert disturbed["done"] == disturbed["total"] == 3 * 6
    made = [
        [(await ada.get(f"/datasets/{one['dataset_id']}")).json() for one in job["result"]["datasets"]]
        for job in (disturbed, undisturbed)
    ]
    assert [one["sha256"] for one in made[0]] == [one["sha256"] for one in made[1]]
    assert [one["name"] for one in made[0]] == ["disturbed-train", "disturbed-test"]
    train, test = made[0]
    assert train["lineage"]["dataset_id"] == source
    assert train["lineage"]["job_id"] == job_id
    assert [one["dataset_id"] for one in train["lineage"]["joined"]] == [labels]
    assert (train["lineage"]["output"], test["lineage"]["output"]) == ("train", "test")
    assert train["lineage"]["steps"][1]["statistic"] == "median"
    distinct = len({(row["text"], row["stars"]) for row in table()})
    assert train["rows"] + test["rows"] == distinct
    assert abs(test["rows"] - 0.2 * distinct) <= len(LABELS)
    content = (await ada.get(train["links"]["content"])).content
    found = pq.read_table(io.BytesIO(content))
    assert found.column_names == ["text", "stars", "label", "rank"]
    assert found.column("stars").null_count == 0
    assert found.num_rows == train["rows"]
    preview = (await ada.get(train["links"]["preview"])).json()
    assert preview["rows"][0].keys() == {"text", "stars", "label", "rank"}
    await invariants.all_hold(resources.database)

    assert (await ada.delete(f"/datasets/{source}")).status_code == 204
    assert (await ada.get(train["links"]["self"])).json()["lineage"]["dataset_id"] == source
