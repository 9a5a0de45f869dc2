"""The example of a plugin does what its README says."""

from pathlib import Path

import httpx
import pytest

from app.core.config import Settings
from app.core.resources import Resources
from tests.conftest import SignUp
from tests.support import invariants, processes

PLUGIN = "examples.word_count"
TEXTS = ["To be or not to be,", "that is the question.", "Let it be!"]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """The usual ones, with the plugin."""
    return settings.model_copy(update={"plugins": (PLUGIN,)})


async def test_a_kind_from_a_plugin_is_in_the_api_and_runs_on_a_worker(
    client: httpx.AsyncClient, sign_up: SignUp, settings: Settings, resources: Resources, tmp_path: Path
) -> None:
    document = (await client.get("/openapi.json")).json()
    operation = document["paths"]["/jobs/word-count"]["post"]
    assert operation["operationId"] == "createWordCountJob"
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/WordCountRequest"}
    assert "top" in document["components"]["schemas"]["WordCountRequest"]["properties"]

    client.headers.update(await sign_up("ada"))
    refused = await client.post("/jobs/word-count", json={"texts": ["a"], "top": 0})
    assert refused.status_code == 422
    created = await client.post(
        "/jobs/word-count",
        json={
            "texts": ["To be or not to be,", "that is the question.", "Let it be!"],
            "batch_size": 1,
            "top": 1,
        },
    )
    assert created.status_code == 202, created.text
    environment = processes.environment(settings, PLUGINS=PLUGIN)
    async with processes.python("-m", "worker", env=environment, log_path=tmp_path / "worker.log") as worker:
        await worker.wait_for_log("worker_started")
        path = created.headers["Location"]
        job = (await client.get(path, params={"wait": 30}, timeout=40)).json()
        results = (await client.get(f"{path}/results")).json()["items"]

    assert job["status"] == "completed"
    assert job["result"]["words"] == 13
    assert job["result"]["most_common"] == [{"word": "be", "count": 3}]
    assert [row["prediction"]["words"] for row in results] == [6, 4, 3]
    await invariants.all_hold(resources.database)
