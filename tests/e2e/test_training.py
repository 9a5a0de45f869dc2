"""A model is trained on a real worker, and a moment later it predicts."""

from typing import Any

import httpx
from sklearn.datasets import load_iris, load_wine

from app.core.resources import Resources
from tests.conftest import StartWorker
from tests.e2e.support import follow, until_done, wait_for_end
from tests.support import invariants


def table(data: Any) -> list[dict[str, Any]]:
    """The rows of one of scikit-learn's own datasets, by the names of the columns."""
    return [dict(zip(data.feature_names, row, strict=True)) for row in data.data.tolist()]


IRIS = load_iris()
FLOWERS = [
    {**row, "species": str(IRIS.target_names[label])}
    for row, label in zip(table(IRIS), IRIS.target, strict=True)
]
BOTTLES = [{**row, "strength": row["alcohol"]} | {"alcohol": None} for row in table(load_wine())]


async def train(client: httpx.AsyncClient, **more: Any) -> str:
    body = {"rows": FLOWERS, "target": "species", **more}
    answer = await client.post("/jobs/train-model", json=body)
    assert answer.status_code == 202, answer.text
    assert answer.json()["message"] == "Training job created"
    job_id: str = answer.json()["job_id"]
    return job_id


async def test_what_is_trained_is_there_to_predict_with(
    ada: httpx.AsyncClient, start_worker: StartWorker, resources: Resources
) -> None:
    async with start_worker("only"):
        job_id = await train(ada, algorithm="logistic_regression", epochs=6, model="flowers", seed=3)
        events = [event async for event in follow(ada, job_id)]
        job = await wait_for_end(ada, job_id)
        assert job["status"] == "completed", job["error"]
        predicted = await ada.post(
            "/predict", json={"model": "flowers", "instances": [FLOWERS[0], FLOWERS[75], FLOWERS[149]]}
        )
        evaluated_id = (
            await ada.post(
                "/jobs/evaluate-model",
                json={"model": "flowers@1", "rows": FLOWERS, "target": "species"},
            )
        ).json()["job_id"]
        evaluated = await wait_for_end(ada, evaluated_id)

    result = job["result"]
    assert (result["model"], result["task"], result["algorithm"]) == (
        "flowers@1",
        "classification",
        "logistic_regression",
    )
    assert result["accuracy"] == result["metrics"]["accuracy"] > 0.8
    assert result["train_rows"] + result["validation_rows"] == len(FLOWERS)
    assert sorted(result["classes"]) == ["setosa", "versicolor", "virginica"]
    epochs = [event["metrics"]["epoch"] for event in events if "metrics" in event]
    assert epochs == list(range(1, result["epochs"] + 1))
    assert len(result["history"]) == result["epochs"]
    version = (await ada.get("/models/flowers/versions/1")).json()
    assert version["metrics"]["accuracy"] == result["accuracy"]
    assert version["lineage"]["job_id"] == job_id
    assert predicted.status_code == 200, predicted.text
    labels = [prediction["label"] for prediction in predicted.json()["predictions"]]
    assert labels == ["setosa", "versicolor", "virginica"]
    assert evaluated["status"] == "completed", evaluated["error"]
    assert evaluated["result"]["metrics"]["accuracy"] > 0.8
    await invariants.all_hold(resources.database)


async def test_a_training_whose_worker_is_killed_goes_on_and_gives_the_same_model(
    ada: httpx.AsyncClient, start_worker: StartWorker, resources: Resources
) -> None:
    said: dict[str, Any] = {
        "rows": FLOWERS * 6,
        "algorithm": "mlp",
        "params": {"patience": 0},
        "epochs": 40,
        "seed": 11,
    }
    async with start_worker("first") as first:
        job_id = await train(ada, **said, model="disturbed")
        await until_done(ada, job_id, 3)
        await first.kill()
    async with start_worker("second"):
        disturbed = await wait_for_end(ada, job_id)
        undisturbed = await wait_for_end(ada, await train(ada, **said, model="undisturbed"))

    assert (disturbed["status"], disturbed["attempt"]) == ("completed", 2), disturbed["error"]
    assert disturbed["result"]["metrics"] == undisturbed["result"]["metrics"]
    without_seconds = [
        [{name: value for name, value in epoch.items() if name != "seconds"} for epoch in history]
        for history in (disturbed["result"]["history"], undisturbed["result"]["history"])
    ]
    assert without_seconds[0] == without_seconds[1]
    digests = [
        (await ada.get(f"/models/{name}/versions/1")).json()["metrics"]
        for name in ("disturbed", "undisturbed")
    ]
    assert digests[0] == digests[1]
    await invariants.all_hold(resources.database)


async def test_a_search_leaves_a_leaderboard_and_the_best_under_its_alias(
    ada: httpx.AsyncClient, start_worker: StartWorker, resources: Resources
) -> None:
    body = {
        "rows": BOTTLES,
        "target": "strength",
        "algorithm": "ridge",
        "epochs": 3,
        "model": "strength",
        "search": {"params": {"alpha": [0.1, 1e6]}, "metric": "rmse"},
    }
    async with start_worker("only"):
        created = (await ada.post("/jobs/train-model", json=body)).json()
        for job_id in created["job_ids"]:
            job = await wait_for_end(ada, job_id)
            assert job["status"] == "completed", job["error"]
        group = (await ada.get(created["poll_url"])).json()

    search = group["search"]
    best, worst = search["leaderboard"]
    assert (best["params"]["alpha"], best["rank"], worst["rank"]) == (0.1, 1, 2)
    assert best["value"] == best["metrics"]["rmse"] < worst["value"]
    assert (search["best_job_id"], search["best_model"]) == (best["job_id"], best["model"])
    answer = await ada.get("/models/strength")
    assert answer.json()["aliases"]["best"] == int(best["model"].split("@")[1])
    await invariants.all_hold(resources.database)


async def test_what_cannot_be_learnt_fails_at_once_and_says_why(
    ada: httpx.AsyncClient, start_worker: StartWorker
) -> None:
    async with start_worker("only"):
        job_id = await train(ada, rows=[{"size": 1, "species": "one"}, {"size": 2, "species": "one"}])
        job = await wait_for_end(ada, job_id)

    assert (job["status"], job["attempt"]) == ("failed", 1)
    assert job["error"]["retryable"] is False
    assert "species" in job["error"]["message"]
