"""The kind does what its README says."""

from app.core.resources import Resources
from tests.examples.conftest import System
from tests.support import invariants

PLUGINS = ("examples.word_count",)


async def test_a_kind_from_a_plugin_is_in_the_api_and_runs_on_a_worker(
    system: System, resources: Resources
) -> None:
    async with system() as client:
        document = (await client.get("/openapi.json")).json()
        refused = await client.post("/jobs/word-count", json={"texts": ["a"], "top": 0})
        created = await client.post(
            "/jobs/word-count",
            json={
                "texts": ["To be or not to be,", "that is the question.", "Let it be!"],
                "batch_size": 1,
                "top": 1,
            },
        )
        assert created.status_code == 202, created.text
        path = created.headers["Location"]
        job = (await client.get(path, params={"wait": 30}, timeout=40)).json()
        log = (await client.get(f"{path}/logs")).json()["items"]
        results = (await client.get(f"{path}/results")).json()["items"]

    operation = document["paths"]["/jobs/word-count"]["post"]
    assert operation["operationId"] == "createWordCountJob"
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/WordCountRequest"}
    assert "top" in document["components"]["schemas"]["WordCountRequest"]["properties"]
    assert refused.status_code == 422
    assert job["status"] == "completed"
    assert job["result"]["words"] == 13
    assert job["result"]["most_common"] == [{"word": "be", "count": 3}]
    assert [(line["level"], line["text"]) for line in log] == [
        ("info", "Counted 13 words; 10 are different.")
    ]
    assert [row["prediction"]["words"] for row in results] == [6, 4, 3]
    await invariants.all_hold(resources.database)
