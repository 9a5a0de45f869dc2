"""The algorithm does what its README says."""

from app.core.resources import Resources
from tests.examples.conftest import System
from tests.support import invariants

PLUGINS = ("examples.nearest_centroid",)
ROWS = [{"x": x / 10 + 5 * (x % 2), "kind": "odd" if x % 2 else "even"} for x in range(40)]


async def test_a_model_is_trained_with_the_plugins_algorithm_and_predicts(
    system: System, resources: Resources
) -> None:
    async with system() as client:
        listed = (await client.get("/algorithms")).json()["items"]
        document = (await client.get("/openapi.json")).json()
        body = {
            "rows": ROWS,
            "target": "kind",
            "algorithm": "nearest_centroid",
            "params": {"step": 0.1},
            "epochs": 3,
            "model": "parity",
        }
        created = await client.post("/jobs/train-model", json=body)
        assert created.status_code == 202, created.text
        job = (await client.get(created.headers["Location"], params={"wait": 60}, timeout=70)).json()
        predicted = await client.post(
            "/predict", json={"model": "parity", "instances": [{"x": 0.5}, {"x": 7.0}]}, timeout=60
        )

    assert listed[-1]["name"] == "nearest_centroid"
    assert listed[-1]["params"]["properties"]["step"]["default"] == 0.05
    assert "nearest_centroid" in document["components"]["schemas"]["Name"]["enum"]
    assert (job["status"], job["error"]) == ("completed", None)
    assert job["result"]["algorithm"] == "nearest_centroid"
    assert job["result"]["epochs"] == 3
    assert predicted.status_code == 200, predicted.text
    assert [found["label"] for found in predicted.json()["predictions"]] == ["even", "odd"]
    await invariants.all_hold(resources.database)
