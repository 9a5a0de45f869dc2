"""Conversions over HTTP: refused before the job if that is known, else registered when the job completes."""

from typing import Any

import httpx
import pytest

from app.core.database import Database
from app.core.storage import Storage
from app.models.versions import InputColumn, Task
from tests.conftest import StartWorker
from tests.models import files, versions
from tests.support.accounts import Account

NUMBERS = [InputColumn(f"x{index}", "number") for index in range(4)]


async def convert(client: httpx.AsyncClient, who: Account, **body: Any) -> httpx.Response:
    return await client.post("/jobs/convert-model", json={"model": "churn", **body}, headers=who.headers)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"runtime": "onnx", "columns": NUMBERS}, "runtime onnx"),
        ({"columns": None}, "does not name its columns"),
        ({"columns": [*NUMBERS, InputColumn("review", "text")]}, "'review'"),
    ],
)
async def test_what_cannot_be_converted_is_refused_before_the_job(
    client: httpx.AsyncClient, store: Database, alice: Account, facts: dict[str, Any], reason: str
) -> None:
    await versions.register(store, alice.id, **facts)

    answer = await convert(client, alice)

    assert (answer.status_code, answer.json()["code"]) == (422, "not_convertible")
    assert reason in answer.json()["detail"]


@pytest.mark.parametrize(
    "body", [{"name": "sentiment"}, {"name": "3"}, {"dataset": "a", "dataset_id": str(versions.FILE.sha256)}]
)
async def test_a_request_that_makes_no_sense_is_refused(
    client: httpx.AsyncClient, store: Database, alice: Account, body: dict[str, str]
) -> None:
    await versions.register(store, alice.id, columns=NUMBERS)

    answer = await convert(client, alice, **body)

    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")


async def test_a_dataset_without_the_columns_is_refused(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    await versions.register(store, alice.id, columns=NUMBERS)
    uploaded = await client.post(
        "/datasets?name=june", content=b"x0,x1\n1,2\n", headers={**alice.headers, "Content-Type": "text/csv"}
    )

    answer = await convert(client, alice, dataset="june")
    unknown = await convert(client, alice, dataset="july")

    assert uploaded.status_code == 201
    assert (answer.status_code, answer.json()["code"]) == (422, "missing_columns")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "dataset_not_found")


async def test_a_converted_model_is_registered_under_a_name_of_its_own(
    client: httpx.AsyncClient, store: Database, storage: Storage, alice: Account, start_worker: StartWorker
) -> None:
    content = files.as_skops(files.classifier())
    source = await versions.register(
        store,
        alice.id,
        columns=NUMBERS,
        task=Task.CLASSIFICATION,
        file=await versions.stored(storage, content),
    )

    async with start_worker():
        created = await convert(client, alice)
        job = await client.get(
            f"/jobs/{created.json()['job_id']}", params={"wait": 60}, headers=alice.headers, timeout=70
        )

    assert created.status_code == 202, created.text
    result = job.json()["result"]
    assert (job.json()["status"], result["model"]) == ("completed", "churn-onnx@1"), job.json()
    assert result["rows_checked"] > 0
    assert result["largest_difference"] < 1e-4
    version = (await client.get("/models/churn-onnx/versions/1", headers=alice.headers)).json()
    assert (version["runtime"], version["classes"]) == ("onnx", ["setosa", "versicolor", "virginica"])
    assert [column["name"] for column in version["columns"]] == ["x0", "x1", "x2", "x3"]
    assert version["lineage"]["converted_from"] == "churn@1"
    assert version["lineage"]["converted_from_id"] == str(source.id)
