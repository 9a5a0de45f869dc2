"""The runtime and the kind with a completion do what their READMEs say."""

from typing import Any

import httpx

from app.core.resources import Resources
from tests.examples.conftest import System
from tests.support import invariants

PLUGINS = ("examples.constant_runtime", "examples.fit_constant")
CONTENT = b'{"format":"constant","columns":["rooms"],"value":250000}'


async def upload(client: httpx.AsyncClient, content: bytes) -> httpx.Response:
    return await client.post("/models/price/versions", content=content, timeout=60)


async def ended(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """A job, when it has ended."""
    created = await client.post(path, json=body)
    assert created.status_code == 202, created.text
    answer = await client.get(created.headers["Location"], params={"wait": 30}, timeout=40)
    job: dict[str, Any] = answer.json()
    return job


async def test_a_file_of_the_plugins_runtime_is_uploaded_inspected_and_predicts(
    system: System, resources: Resources
) -> None:
    async with system() as client:
        uploaded = await upload(client, CONTENT)
        assert uploaded.status_code == 201, uploaded.text
        version = (await client.get("/models/price/versions")).json()["items"][0]
        body = {"model": "price", "instances": [{"rooms": 3}, {"rooms": 5}]}
        job = await ended(client, "/jobs/batch-predict", body)
        downloaded = await client.get("/models/price/versions/1/artifact")

    assert (version["runtime"], version["task"]) == ("constant", "regression")
    assert job["status"] == "completed", job
    assert job["result"]["predictions"] == [{"value": 250000.0}, {"value": 250000.0}]
    assert downloaded.content == CONTENT
    assert downloaded.headers["Content-Disposition"] == 'attachment; filename="price-1.json"'
    await invariants.all_hold(resources.database)


async def test_a_damaged_file_is_refused_by_the_inspection_of_the_plugins_runtime(system: System) -> None:
    async with system() as client:
        damaged = await upload(client, CONTENT[:-10])
        neither = await upload(client, b'{"format":"constant","columns":["rooms"]}')

    for refused, reason in ((damaged, "truncated"), (neither, "either scores or a value")):
        assert (refused.status_code, refused.json()["code"]) == (422, "broken_model"), refused.text
        assert reason in refused.json()["detail"]


async def test_the_completion_of_the_plugins_kind_registers_the_model(
    system: System, resources: Resources
) -> None:
    async with system() as client:
        labels = {"labels": ["a", "b", "a", "a"], "columns": ["x"], "model": "baseline"}
        fitted = await ended(client, "/jobs/fit-constant", labels)
        assert fitted["status"] == "completed", fitted
        rows = {"model": fitted["result"]["model"], "instances": [[1]]}
        predicted = await ended(client, "/jobs/batch-predict", rows)

    assert fitted["result"]["model"] == "baseline@1"
    assert predicted["result"]["predictions"] == [
        {"label": "a", "score": 0.75, "scores": {"a": 0.75, "b": 0.25}}
    ]
    await invariants.all_hold(resources.database)
