"""A version as an MLflow model directory: what MLflow would read of it."""

import io
import json
import zipfile
from typing import Any

import httpx
import numpy as np
import pytest
import skops.io
import yaml
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from app.core.database import Database
from app.core.storage import Storage
from app.models.versions import InputColumn, Task
from tests.models import files, versions
from tests.support.accounts import Account

NAMES = ("petal_length", "petal_width", "sepal_length", "sepal_width")
COLUMNS = [InputColumn(name, "number") for name in NAMES]
LIBRARIES = {"scikit-learn": "1.9.1", "skops": "0.16.0"}


async def registered(store: Database, storage: Storage, who: Account, content: bytes, **facts: Any) -> None:
    more: dict[str, Any] = {
        "task": Task.CLASSIFICATION,
        "columns": COLUMNS,
        "lineage": {"library_versions": LIBRARIES},
        **facts,
    }
    await versions.register(store, who.id, file=await versions.stored(storage, content), **more)


async def export(client: httpx.AsyncClient, who: Account) -> dict[str, bytes]:
    """The files of the directory."""
    answer = await client.get("/models/churn/versions/1/mlflow", headers=who.headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert {member.external_attr >> 16 for member in archive.infolist()} == {0o644}
        return {name: archive.read(name) for name in archive.namelist()}


def described(directory: dict[str, bytes]) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(directory["MLmodel"])
    return found


async def test_mlflow_finds_the_model_its_types_and_its_signature(
    client: httpx.AsyncClient, store: Database, storage: Storage, alice: Account
) -> None:
    classifier = files.classifier()
    content = files.as_skops(classifier)
    await registered(store, storage, alice, content)

    directory = await export(client, alice)

    model = described(directory)
    sklearn, function = model["flavors"]["sklearn"], model["flavors"]["python_function"]
    assert (function["loader_module"], function["model_path"]) == ("mlflow.sklearn", "model.skops")
    assert (sklearn["serialization_format"], sklearn["sklearn_version"]) == ("skops", "1.9.1")
    assert directory[sklearn["pickled_model"]] == content
    loaded = skops.io.loads(content, trusted=sklearn["skops_trusted_types"])
    assert np.array_equal(loaded.predict(files.FLOWERS), classifier.predict(files.FLOWERS))
    assert json.loads(model["signature"]["inputs"]) == [
        {"type": "double", "name": name, "required": True} for name in NAMES
    ]
    assert json.loads(model["signature"]["outputs"]) == [{"type": "string", "required": True}]
    assert directory["requirements.txt"].decode().splitlines()[1:] == [
        "scikit-learn==1.9.1",
        "skops==0.16.0",
        "numpy",
    ]
    environment = yaml.safe_load(directory["conda.yaml"])
    assert environment["dependencies"][-1]["pip"] == directory["requirements.txt"].decode().splitlines()
    assert yaml.safe_load(directory["python_env.yaml"])["dependencies"] == ["-r requirements.txt"]


async def test_the_same_version_gives_the_same_bytes(
    client: httpx.AsyncClient, store: Database, storage: Storage, alice: Account
) -> None:
    await registered(store, storage, alice, files.as_skops(files.classifier()))

    first, second = [
        (await client.get("/models/churn/versions/1/mlflow", headers=alice.headers)).content for _ in range(2)
    ]

    assert first == second


def trained_on(first_content: str, model: Any) -> bytes:
    """The file of a model that was trained here, with this content of its first column."""
    file = io.BytesIO(files.as_skops(model))
    columns = [{"name": name, "content": "number", "type": "number"} for name in NAMES]
    columns[0]["content"] = first_content
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("headrace.json", json.dumps({"task": "classification", "columns": columns}))
    return file.getvalue()


BOOSTING = HistGradientBoostingClassifier(max_iter=1)


@pytest.mark.parametrize(
    ("model", "content", "is_callable"),
    [
        (LogisticRegression(), "number", True),
        (LogisticRegression(), "category", True),
        (LogisticRegression(), "date", False),
        (BOOSTING, "number", True),
        (BOOSTING, "category", False),
    ],
)
async def test_a_model_trained_here_is_a_python_function_if_it_takes_a_frame(
    client: httpx.AsyncClient,
    store: Database,
    storage: Storage,
    alice: Account,
    model: Any,
    content: str,
    is_callable: bool,
) -> None:
    fitted = model.fit(files.FLOWERS, files.NAMES)
    await registered(store, storage, alice, trained_on(content, fitted))

    flavors = described(await export(client, alice))["flavors"]

    assert ("python_function" in flavors) is is_callable


@pytest.mark.parametrize("reason", ["a text", "no prediction"])
async def test_a_model_that_does_not_take_a_frame_is_not_a_python_function(
    client: httpx.AsyncClient, store: Database, storage: Storage, alice: Account, reason: str
) -> None:
    facts: dict[str, dict[str, Any]] = {
        "a text": {"columns": [InputColumn("text", "text")]},
        "no prediction": {"task": None},
    }
    await registered(store, storage, alice, files.as_skops(files.classifier()), **facts[reason])

    model = described(await export(client, alice))

    assert model["flavors"].keys() == {"sklearn"}
    assert "signature" not in model


async def test_an_onnx_model_has_the_flavor_of_onnx(
    client: httpx.AsyncClient, store: Database, storage: Storage, alice: Account
) -> None:
    content = files.as_onnx(files.classifier(), zipmap=False)
    await registered(store, storage, alice, content, runtime="onnx", lineage={})

    directory = await export(client, alice)

    model = described(directory)
    assert model["flavors"]["python_function"]["loader_module"] == "mlflow.onnx"
    assert directory[model["flavors"]["onnx"]["data"]] == content
    assert directory["requirements.txt"].decode().splitlines()[1:] == ["onnx", "onnxruntime", "numpy"]


async def test_what_has_no_file_or_no_flavor_is_not_exported(
    client: httpx.AsyncClient, store: Database, alice: Account, mallory: Account
) -> None:
    await versions.register(store, alice.id, runtime="constant")
    await versions.register(store, alice.id, "lost")

    async def code(path: str, who: Account) -> tuple[int, str]:
        answer = await client.get(f"/models/{path}/mlflow", headers=who.headers)
        return answer.status_code, answer.json()["code"]

    assert await code("churn/versions/1", alice) == (422, "not_for_mlflow")
    assert await code("sentiment/versions/1", alice) == (404, "artifact_not_found")
    assert await code("churn/versions/2", alice) == (404, "model_not_found")
    assert await code("churn/versions/1", mallory) == (404, "model_not_found")
    assert (await code("lost/versions/1", alice))[1] == "file_missing"
