"""A model is trained on a real worker, and a moment later it predicts."""

from typing import Any

import httpx
import pytest
from sklearn.datasets import load_iris, load_wine

from app.core.resources import Resources
from tests.conftest import StartWorker
from tests.e2e.support import follow, until_done, wait_for_end
from tests.e2e.test_datasets import upload
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
    assert result["train_rows"] + result["validation_rows"] + result["test_rows"] == len(FLOWERS)
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


@pytest.mark.parametrize("committed", [1, 3, 6], ids=["candidate", "epoch", "last fit"])
async def test_a_training_that_chooses_ends_with_the_same_file_whatever_step_its_worker_is_killed_in(
    committed: int, ada: httpx.AsyncClient, start_worker: StartWorker, resources: Resources
) -> None:
    """The worker dies while it computes the step after the last one committed."""
    forest = {"random_forest": {"n_estimators": [300], "min_samples_leaf": [1, 2, 3]}}
    said: dict[str, Any] = {
        "rows": FLOWERS * 6,
        "search": {"algorithms": forest, "halving": True},
        "epochs": 3,
    }
    async with start_worker("first") as first:
        job_id = await train(ada, **said, model="disturbed")
        await until_done(ada, job_id, committed)
        await first.kill()
    async with start_worker("second"):
        disturbed = await wait_for_end(ada, job_id)
        undisturbed = await wait_for_end(ada, await train(ada, **said, model="undisturbed"))

    assert (disturbed["status"], disturbed["attempt"]) == ("completed", 2), disturbed["error"]
    assert disturbed["done"] == undisturbed["done"] == 7
    versions = [(await ada.get(f"/models/{name}/versions/1")).json() for name in ("disturbed", "undisturbed")]
    assert versions[0]["sha256"] == versions[1]["sha256"]
    assert versions[0]["metrics"] == versions[1]["metrics"]
    assert [one["score"] for one in disturbed["result"]["candidates"]] == [
        one["score"] for one in undisturbed["result"]["candidates"]
    ]
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


async def test_folds_are_jobs_whose_mean_ranks_the_trials_of_a_search(
    ada: httpx.AsyncClient, start_worker: StartWorker, resources: Resources
) -> None:
    ridge = {"rows": BOTTLES, "target": "strength", "algorithm": "ridge", "epochs": 3, "model": "strength"}
    search = {"params": {"alpha": [0.1, 1e6]}, "metric": "rmse"}
    created = (await ada.post("/jobs/train-model", json={**ridge, "folds": 3, "search": search})).json()
    async with start_worker("only"):
        for job_id in created["job_ids"]:
            job = await wait_for_end(ada, job_id)
            assert job["status"] == "completed", job["error"]
        found = (await ada.get(created["poll_url"])).json()["search"]
        alone_id = await train(ada, **{**ridge, "model": "alone", "cv": 3, "params": {"alpha": 0.1}})
        alone = await wait_for_end(ada, alone_id)

    assert len(created["job_ids"]) == 8
    best, worst = found["leaderboard"]
    assert (found["folds"], best["params"]["alpha"], best["rank"], worst["rank"]) == (3, 0.1, 1, 2)
    values = [fold["value"] for fold in best["folds"]]
    assert best["value"] == pytest.approx(sum(values) / 3)
    assert 0 < best["std"] < best["value"] < worst["value"]
    assert (found["best_job_id"], found["best_model"]) == (best["job_id"], best["model"])
    model = (await ada.get("/models/strength")).json()
    assert model["aliases"] == {"best": int(best["model"].split("@")[1])}
    assert {trial["model"] for trial in found["leaderboard"]} == {"strength@1", "strength@2"}
    assert alone["status"] == "completed", alone["error"]
    results = (await ada.get(f"/jobs/{alone_id}/results")).json()["items"]
    records = [row["prediction"] for row in results if "fold" in row["prediction"]]
    assert [record["metrics"]["rmse"] for record in records] == values
    await invariants.all_hold(resources.database)


async def test_a_job_of_a_fold_whose_worker_is_killed_measures_the_same_fold(
    ada: httpx.AsyncClient, start_worker: StartWorker, resources: Resources
) -> None:
    said: dict[str, Any] = {
        "rows": FLOWERS * 6,
        "target": "species",
        "algorithm": "mlp",
        "params": {"patience": 0},
        "epochs": 40,
        "folds": 2,
    }
    disturbed = (await ada.post("/jobs/train-model", json={**said, "model": "disturbed"})).json()
    fold_id = disturbed["job_ids"][1]
    async with start_worker("first") as first:
        await until_done(ada, fold_id, 3)
        await first.kill()
    async with start_worker("second"):
        undisturbed = (await ada.post("/jobs/train-model", json={**said, "model": "undisturbed"})).json()
        ended = [
            await wait_for_end(ada, job_id) for job_id in (*disturbed["job_ids"], *undisturbed["job_ids"])
        ]

    assert {job["status"] for job in ended} == {"completed"}, [job["error"] for job in ended]
    assert next(job["attempt"] for job in ended if job["job_id"] == fold_id) == 2
    trials = [(await ada.get(group["poll_url"])).json()["search"] for group in (disturbed, undisturbed)]
    values = [[fold["value"] for fold in trial["leaderboard"][0]["folds"]] for trial in trials]
    assert values[0] == values[1]
    assert [trial["best_value"] for trial in trials] == [pytest.approx(sum(values[0]) / 2)] * 2
    assert [trial["best_model"] for trial in trials] == ["disturbed@1", "undisturbed@1"]
    await invariants.all_hold(resources.database)


async def test_a_retraining_is_promoted_only_if_it_is_better(
    ada: httpx.AsyncClient, start_worker: StartWorker, resources: Resources
) -> None:
    async def upload(lines: list[str]) -> str:
        answer = await ada.post(
            "/datasets?name=sizes",
            content="\n".join(["size,label", *lines]),
            headers={"Content-Type": "text/csv"},
        )
        dataset_id: str = answer.json()["dataset_id"]
        return dataset_id

    async def retrain() -> dict[str, Any]:
        body = {
            "dataset": "sizes",
            "target": "label",
            "model": "sizes",
            "algorithm": "logistic_regression",
            "epochs": 2,
            "promote": {"alias": "prod"},
        }
        job_id = (await ada.post("/jobs/train-model", json=body)).json()["job_id"]
        job = await wait_for_end(ada, job_id)
        assert job["status"] == "completed", job["error"]
        return job

    def labelled(wrong_each: int) -> list[str]:
        """Rows of which every so many-th has the other label."""
        return [f"{n * 7 % 100},{'ab'[(n * 7 % 100 > 50) != (n % wrong_each == 1)]}" for n in range(300)]

    async with start_worker("only"):
        good_id = await upload(labelled(wrong_each=10))
        good = await retrain()
        worse_id = await upload(labelled(wrong_each=3))
        worse = await retrain()
        assert (await ada.get("/models/sizes")).json()["aliases"] == {"prod": 1}
        best_id = await upload(labelled(wrong_each=1000))
        best = await retrain()
        assert (await ada.get("/models/sizes")).json()["aliases"] == {"prod": 3}

    found = [job["result"]["promotion"] for job in (good, worse, best)]
    assert [promotion["reason"] for promotion in found] == ["first", "not_better", "better"]
    assert [job["dataset_id"] for job in (good, worse, best)] == [good_id, worse_id, best_id]
    assert found[2]["previous_value"] == found[1]["previous_value"] == found[0]["value"]
    assert found[1]["value"] < found[0]["value"] < found[2]["value"]
    assert found[2]["previous_model"] == "sizes@1"
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


async def test_a_training_is_measured_on_a_dataset_and_keeps_its_predictions(
    ada: httpx.AsyncClient, start_worker: StartWorker, resources: Resources
) -> None:
    known_id = await upload(ada, FLOWERS[::2])
    later_id = await upload(ada, FLOWERS[1::2])
    job_id = await train(
        ada,
        rows=None,
        dataset_id=known_id,
        algorithm="logistic_regression",
        split={"method": "dataset", "dataset_id": later_id},
        held_out_dataset="held out",
        model="flowers",
    )
    refused = [await ada.delete(f"/datasets/{dataset_id}") for dataset_id in (known_id, later_id)]

    async with start_worker("only"):
        job = await wait_for_end(ada, job_id)

    assert [answer.json()["code"] for answer in refused] == ["dataset_in_use"] * 2
    assert job["status"] == "completed", job["error"]
    result = job["result"]
    assert result["split"]["method"] == "dataset"
    assert result["test_rows"] == result["held_out"]["rows"] == len(FLOWERS[1::2])
    assert "report" not in result
    held_out = (await ada.get(f"/datasets/{result['held_out']['dataset_id']}")).json()
    rows = (await ada.get(f"{held_out['links']['preview']}?rows=100")).json()["rows"]
    assert held_out["name"] == "held out"
    assert held_out["lineage"]["dataset_id"] == known_id
    assert [row["species"] for row in rows] == [flower["species"] for flower in FLOWERS[1::2]]
    assert sum(row["is_correct"] for row in rows) / len(rows) == result["accuracy"]
    report = (await ada.get("/models/flowers/versions/1/report")).json()
    card = await ada.get("/models/flowers/versions/1/card")
    assert report["metrics"]["accuracy"] == round(result["accuracy"], 6)
    assert report["importance"]["columns"]
    assert "## Importance of the columns" in card.text
    assert (await ada.delete(f"/datasets/{later_id}")).status_code == 204
    await invariants.all_hold(resources.database, storage=resources.storage)
