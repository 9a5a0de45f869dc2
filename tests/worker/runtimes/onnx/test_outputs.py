"""The predictions of ONNX models: all values, and scores only if the classes are known."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from app.jobs.params import ModelReference
from app.models import onnx_classes
from app.models.versions import Task
from tests.models import files
from worker.runtimes.onnx.runtime import OnnxModel, OnnxRuntime
from worker.runtimes.runtime import BrokenModel, Signature, UnsafeModel

pytestmark = pytest.mark.filterwarnings("ignore")

FLOWERS = files.FLOWERS[::40]


def load(folder: Path, content: bytes) -> OnnxModel:
    return OnnxRuntime().load(ModelReference("mine", 1, "onnx"), files.written(folder, content))


def inspect(folder: Path, content: bytes) -> Signature:
    return OnnxRuntime().inspect(files.written(folder, content))


def own_answer(content: bytes) -> list[Any]:
    session = ort.InferenceSession(content)
    answer: list[Any] = session.run(None, {session.get_inputs()[0].name: FLOWERS})
    return answer


def linear(outputs: int, *, declared: int | str = "k", labels: bool = False, **metadata: Any) -> bytes:
    """A model of four columns with this many scores, and the index of the highest if it has labels."""
    weights = np.arange(4 * outputs, dtype=np.float32).reshape(4, outputs) % 5 - 2
    nodes = [helper.make_node("MatMul", ["x", "w"], ["scores"])]
    described = [files.floats("scores", "n", declared)]
    if labels:
        nodes.append(helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0))
        described.insert(0, helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]))
    weight = helper.make_tensor("w", TensorProto.FLOAT, weights.shape, weights.ravel().tolist())
    return files.graph(
        nodes, [files.floats("x", "n", 4)], described, initializers=[weight], metadata=metadata
    )


@pytest.mark.parametrize("targets", [2, 3])
def test_a_model_of_several_targets_returns_all_of_them_whatever_it_declares(
    tmp_path: Path, targets: int
) -> None:
    truth = np.column_stack([files.KINDS * (index + 1.5) for index in range(targets)])
    content = files.as_onnx(RandomForestRegressor(5, random_state=0).fit(files.FLOWERS, truth))

    predictions = load(tmp_path, content).predict(FLOWERS.tolist())

    (own,) = own_answer(content)
    assert predictions == [{"outputs": {"variable": values}} for values in own.tolist()]
    assert len(predictions[0]["outputs"]["variable"]) == targets
    assert inspect(tmp_path, content).task is None


def test_all_values_of_an_output_are_returned_for_columnar_rows_too(tmp_path: Path) -> None:
    content = linear(3, declared=1)

    model = load(tmp_path, content)

    assert model.predict_to_write(FLOWERS.tolist()) == model.predict(FLOWERS.tolist())
    assert len(model.predict(FLOWERS.tolist())[0]["outputs"]["scores"]) == 3


def test_distances_to_clusters_are_not_scores(tmp_path: Path) -> None:
    content = files.as_onnx(KMeans(3, random_state=0, n_init=1).fit(files.FLOWERS))

    predictions = load(tmp_path, content).predict(FLOWERS.tolist())

    labels, distances = own_answer(content)
    assert [row["outputs"]["label"] for row in predictions] == labels.tolist()
    assert [row["outputs"]["scores"] for row in predictions] == distances.tolist()
    signature = inspect(tmp_path, content)
    assert (signature.task, signature.classes) == (None, None)


def test_labels_beside_a_matrix_of_unknown_classes_are_raw_outputs(tmp_path: Path) -> None:
    predictions = load(tmp_path, linear(3, labels=True)).predict(FLOWERS.tolist())

    labels, scores = own_answer(linear(3, labels=True))
    assert predictions == [
        {"outputs": {"label": label, "scores": row}}
        for label, row in zip(labels.tolist(), scores.tolist(), strict=True)
    ]


@pytest.mark.parametrize("labels", [True, False], ids=["with labels", "scores only"])
def test_classes_in_the_metadata_name_the_scores(tmp_path: Path, labels: bool) -> None:
    content = linear(3, labels=labels, classes=["setosa", "versicolor", "Iris d'été"])

    model = load(tmp_path, content)
    predictions = model.predict(FLOWERS.tolist())

    scores = own_answer(content)[-1]
    names = ["setosa", "versicolor", "Iris d'été"]
    signature = inspect(tmp_path, content)
    assert (signature.task, signature.classes) == (Task.CLASSIFICATION, tuple(names))
    assert [row["label"] for row in predictions] == [names[index] for index in scores.argmax(axis=1)]
    assert [row["scores"] for row in predictions] == [
        dict(zip(names, row, strict=True)) for row in scores.tolist()
    ]
    assert json.loads(json.dumps(predictions)) == predictions


@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("kinds", [files.KINDS, files.KINDS + 1, files.NAMES])
def test_classes_in_the_metadata_replace_those_of_the_model(tmp_path: Path, kinds: Any, zipmap: bool) -> None:
    numbered = LogisticRegression(max_iter=500).fit(files.FLOWERS, kinds)
    path = files.written(tmp_path, files.as_onnx(numbered, zipmap=zipmap))

    names = ["2", "3", "1"]  # which the model uses for other classes

    onnx_classes.write(path, names)

    model = load(tmp_path, path.read_bytes())
    by_hand = dict(zip(numbered.classes_.tolist(), names, strict=True))
    for rows in (FLOWERS, FLOWERS[:1], FLOWERS[-1:]):
        predictions = model.predict(rows.tolist())
        assert [row["label"] for row in predictions] == [
            by_hand[kind] for kind in numbered.predict(rows).tolist()
        ]
        assert [list(row["scores"]) for row in predictions] == [names] * len(rows)
        assert all(row["score"] == max(row["scores"].values()) for row in predictions)


def test_labels_that_are_indices_are_indices_in_every_batch(tmp_path: Path) -> None:
    model = load(tmp_path, linear(3, labels=True, classes=["1", "2", "0"]))

    together = model.predict(files.FLOWERS.tolist())
    alone = [model.predict([row])[0] for row in files.FLOWERS.tolist()]

    assert [row["label"] for row in together] == [row["label"] for row in alone]
    assert all(row["score"] == max(row["scores"].values()) for row in together)


@pytest.mark.parametrize(
    ("classes", "reason"),
    [
        (["a", "b"], "2 class names were given, but it returns another number of scores"),
        (["a"], "at least two different names"),
        (["a", "a", "b"], "different names"),
        ("a, b, c", "must be a JSON list of texts"),
        ([None, 1.5, "b"], "must be a JSON list of texts"),
    ],
)
def test_class_names_that_do_not_fit_are_refused(tmp_path: Path, classes: Any, reason: str) -> None:
    with pytest.raises(BrokenModel, match=reason):
        inspect(tmp_path, linear(3, classes=classes))


def test_the_classes_are_those_of_the_operator_that_computes_the_labels(tmp_path: Path) -> None:
    """A pipeline may contain other classifiers than the final one."""
    inner = helper.make_node(
        "LinearClassifier",
        ["x"],
        ["ignored", "scores"],
        domain="ai.onnx.ml",
        coefficients=[1.0, -1.0, 0.5, 0.0, -1.0, 1.0, 0.0, 0.5],
        intercepts=[0.0, 0.0],
        classlabels_ints=[5, 6],
    )
    places = helper.make_node("ArgMax", ["scores"], ["index"], axis=1, keepdims=0)
    label = helper.make_node("ArrayFeatureExtractor", ["names", "index"], ["wide"], domain="ai.onnx.ml")
    shape = helper.make_node("Reshape", ["wide", "flat"], ["label"])
    content = files.graph(
        [inner, places, label, shape],
        [files.floats("x", "n", 4)],
        [
            helper.make_tensor_value_info("label", TensorProto.STRING, ["n"]),
            files.floats("scores", "n", 2),
        ],
        initializers=[
            numpy_helper.from_array(np.array(["left", "right"], dtype=object), "names"),
            helper.make_tensor("flat", TensorProto.INT64, [1], [-1]),
        ],
        domain="ai.onnx.ml",
    )

    predictions = load(tmp_path, content).predict(FLOWERS.tolist())

    assert inspect(tmp_path, content).classes == ("left", "right")
    assert all(set(row["scores"]) == {"left", "right"} for row in predictions)
    assert all(row["score"] == row["scores"][row["label"]] for row in predictions)


def test_a_text_pipeline_is_refused_by_its_unsupported_operator(tmp_path: Path) -> None:
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(["good day", "bad luck"], [0, 1])
    content = to_onnx(model, np.array(["a day"], dtype=object)[:, None]).SerializeToString()

    with pytest.raises(UnsafeModel, match=r"operator com\.microsoft\.Tokenizer"):
        inspect(tmp_path, content)


def test_a_model_that_fails_on_every_row_is_refused(tmp_path: Path) -> None:
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [-1, 7])
    content = files.graph(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        [files.floats("x", "n", 4)],
        [files.floats("y", "m", 7)],
        initializers=[shape],
    )

    with pytest.raises(BrokenModel, match="failed on every example row: The model failed"):
        inspect(tmp_path, content)
