"""Models with columns, end to end: what a job predicts is what the model says that is loaded by hand."""

import csv
import io
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import numpy as np
import pytest
import skops.io
from sklearn.datasets import load_diabetes, load_iris, load_wine
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss, r2_score

from app.core.resources import Resources
from app.jobs.params import SplitParams, TrainModelParams
from app.models import commands, queries
from app.models.versions import InputColumn, Task
from tests.conftest import StartWorker
from tests.e2e.support import wait_for_end
from tests.support import invariants
from worker.training import plan, table

NAMES = ("sepal_length", "sepal_width", "petal_length", "petal_width")


async def register(
    client: httpx.AsyncClient,
    resources: Resources,
    path: Path,
    name: str,
    estimator: Any,
    columns: tuple[str, ...],
    task: Task,
) -> None:
    """Make an estimator that was fitted here a model of the client's."""
    skops.io.dump(estimator, path)
    file = await resources.storage.put_file(f"artifacts/tests/{name}", path)
    owner_id = UUID((await client.get("/users/me")).json()["user_id"])
    async with resources.database.transaction() as connection:
        await commands.register(
            connection,
            owner_id=owner_id,
            name=name,
            runtime="sklearn",
            file=file,
            task=task,
            columns=[InputColumn(column, "number") for column in columns],
        )


async def upload(client: httpx.AsyncClient, columns: tuple[str, ...], rows: list[list[Any]]) -> str:
    """The id of a new dataset, sent as CSV."""
    text = io.StringIO()
    csv.writer(text).writerows([columns, *rows])
    headers = {"Content-Type": "text/csv"}
    answer = await client.post("/datasets?name=rows", content=text.getvalue().encode(), headers=headers)
    assert answer.status_code == 201, answer.text
    dataset_id: str = answer.json()["dataset_id"]
    return dataset_id


async def run(client: httpx.AsyncClient, kind: str, **body: Any) -> tuple[dict[str, Any], list[Any]]:
    """The job, once it has completed, and its rows."""
    created = await client.post(f"/jobs/{kind}", json=body)
    assert created.status_code == 202, created.text
    job = await wait_for_end(client, created.json()["job_id"])
    assert job["status"] == "completed", job["error"]
    answer = await client.get(f"/jobs/{job['job_id']}/results", headers={"Accept": "application/x-ndjson"})
    return job, [json.loads(line) for line in answer.text.splitlines()]


async def test_a_classifier_predicts_a_dataset_instances_and_is_evaluated(
    ada: httpx.AsyncClient, start_worker: StartWorker, resources: Resources, tmp_path: Path
) -> None:
    flowers = load_iris()
    kinds = np.asarray(flowers.target_names)[flowers.target]
    model = LogisticRegression(max_iter=1000).fit(flowers.data, kinds)
    await register(ada, resources, tmp_path / "m.skops", "iris", model, NAMES, Task.CLASSIFICATION)
    # Columns in another order, one more than the model takes, and one flower that was not measured.
    rows = [
        [f"f{row}", kind, *(values[::-1])]
        for row, (kind, values) in enumerate(zip(kinds.tolist(), flowers.data.tolist(), strict=True))
    ]
    rows.append(["f150", "setosa", "", "", "", ""])
    dataset_id = await upload(ada, ("id", "kind", *NAMES[::-1]), rows)

    async with start_worker("one"):
        job, found = await run(ada, "batch-predict", model="iris", dataset_id=dataset_id, batch_size=40)
        named = [dict(zip(NAMES, values, strict=True)) for values in flowers.data[:50].tolist()]
        at_once = await ada.post(
            "/predict", json={"model": "iris@1", "instances": [*named, *flowers.data[50:100].tolist()]}
        )
        refused = await ada.post("/predict", json={"model": "iris", "instances": [named[0], {"x": 1}]})
        evaluated, _ = await run(ada, "evaluate-model", model="iris", dataset_id=dataset_id, target="kind")

    by_hand = model.predict(flowers.data)
    scores = model.predict_proba(flowers.data)
    assert [row["id"] for row in found] == [f"f{row}" for row in range(151)]
    assert [row["prediction"]["label"] for row in found[:150]] == by_hand.tolist()
    said = [list(row["prediction"]["scores"].values()) for row in found[:150]]
    np.testing.assert_allclose(said, scores, rtol=1e-12)
    assert "error" in found[150]
    assert (job["errors"], job["model"]) == (1, "iris@1")
    assert [one["label"] for one in at_once.json()["predictions"]] == by_hand[:100].tolist()
    assert (refused.status_code, refused.json()["code"]) == (422, "missing_columns")
    assert (refused.json()["row"], refused.json()["missing"]) == (1, list(NAMES))
    metrics = evaluated["result"]["metrics"]
    assert metrics["accuracy"] == pytest.approx(accuracy_score(kinds, by_hand))
    assert evaluated["result"]["confusion_matrix"]["matrix"] == confusion_matrix(kinds, by_hand).tolist()
    await invariants.all_hold(resources.database, storage=resources.storage)


async def test_a_regressor_is_evaluated_on_rows_that_are_sent_along(
    ada: httpx.AsyncClient, start_worker: StartWorker, resources: Resources, tmp_path: Path
) -> None:
    data = load_diabetes()
    names = tuple(data.feature_names)
    model = LinearRegression().fit(data.data, data.target)
    await register(ada, resources, tmp_path / "m.skops", "sugar", model, names, Task.REGRESSION)
    rows = [
        {**dict(zip(names, values, strict=True)), "progression": target}
        for values, target in zip(data.data.tolist(), data.target.tolist(), strict=True)
    ]

    async with start_worker("one"):
        job, found = await run(ada, "evaluate-model", model="sugar", rows=rows, target="progression")

    assert job["result"]["errors"] == 0, found[0]
    assert job["result"]["metrics"]["r2"] == pytest.approx(r2_score(data.target, model.predict(data.data)))
    assert (job["result"]["total"], job["result"]["errors"]) == (442, 0)
    np.testing.assert_allclose(
        [row["prediction"]["value"] for row in found], model.predict(data.data), rtol=1e-9
    )
    assert [row["prediction"]["target"] for row in found] == data.target.tolist()


async def test_what_a_training_says_of_itself_is_what_a_job_finds_on_the_rows_that_were_held_out(
    ada: httpx.AsyncClient, start_worker: StartWorker, resources: Resources
) -> None:
    data = load_wine()
    names = tuple(data.feature_names)
    rows = [
        {**dict(zip(names, values, strict=True)), "kind": f"kind {kind}"}
        for values, kind in zip(data.data.tolist(), data.target.tolist(), strict=True)
    ]
    dataset_id = await upload(ada, (*names, "kind"), [list(row.values()) for row in rows])
    told: dict[str, Any] = {
        "target": "kind",
        "algorithm": "logistic_regression",
        "validation_fraction": 0.2,
        "test_fraction": 0.3,
        "seed": 5,
    }

    async with start_worker("one"):
        training, _ = await run(
            ada, "train-model", model="wine", dataset_id=dataset_id, epochs=3, params={"patience": 0}, **told
        )
        _, found = await run(ada, "batch-predict", model="wine@1", dataset_id=dataset_id, batch_size=50)

    # The same split, made here.
    split = SplitParams(test_fraction=told.pop("test_fraction"))
    params = TrainModelParams(**told, split=split)
    held = plan.make_plan(table.to_arrow(rows), params).split.main.test
    truth = [rows[place]["kind"] for place in held]
    said = [found[place]["prediction"] for place in held]
    classes = sorted(set(truth))
    scores = [[one["scores"][name] for name in classes] for one in said]
    metrics = training["result"]["metrics"]
    assert training["result"]["test_rows"] == len(held) == len(set(held.tolist()))
    assert metrics["accuracy"] == pytest.approx(accuracy_score(truth, [one["label"] for one in said]))
    assert metrics["f1_macro"] == pytest.approx(
        f1_score(truth, [one["label"] for one in said], average="macro")
    )
    assert metrics["log_loss"] == pytest.approx(log_loss(truth, scores, labels=classes))
    # And what the job says is what the model says that is loaded by hand.
    owner_id = UUID((await ada.get("/users/me")).json()["user_id"])
    async with resources.database.connection() as connection:
        version = await queries.get_version(connection, owner_id, "wine", 1)
    path = resources.storage.local_path(version.file.key)
    model = skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))
    by_hand = model.predict_proba(data.data)
    assert model.classes_.tolist() == classes
    np.testing.assert_allclose(
        [[row["prediction"]["scores"][name] for name in classes] for row in found], by_hand, rtol=1e-12
    )
    assert [row["prediction"]["label"] for row in found] == model.predict(data.data).tolist()
    await invariants.all_hold(resources.database, storage=resources.storage)
