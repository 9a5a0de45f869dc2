"""ONNX models: the rows that they take and their predictions."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from app.jobs.params import ModelReference
from app.models.versions import InputColumn, Task
from tests.models import files
from worker.context import JobError, RowError
from worker.runtimes.onnx.runtime import OnnxModel, OnnxRuntime
from worker.runtimes.runtime import BrokenModel

REFERENCE = ModelReference("mine", 1, "onnx")

FLOWER = files.FLOWERS[0].tolist()


def load(folder: Path, content: bytes) -> OnnxModel:
    return OnnxRuntime().load(REFERENCE, files.written(folder, content))


def library_outputs(content: bytes, feed: dict[str, Any]) -> list[Any]:
    """Return the outputs of ONNX Runtime itself."""
    answer: list[Any] = ort.InferenceSession(content).run(None, feed)
    return answer


def row_error(model: OnnxModel, row: Any) -> str:
    """Return the error message for a row."""
    (prediction,) = model.predict([row])
    assert isinstance(prediction, RowError), prediction
    assert prediction.code == "bad_row"
    return prediction.message


CLASSIFIERS = [
    LogisticRegression(max_iter=500),
    RandomForestClassifier(5, random_state=0),
    GaussianNB(),
    MLPClassifier((8,), max_iter=20, random_state=0),
    SVC(),
    make_pipeline(StandardScaler(), LogisticRegression()),
]


@pytest.mark.parametrize("labels", [files.NAMES, files.KINDS], ids=["names", "numbers"])
@pytest.mark.parametrize("zipmap", [True, False], ids=["map", "matrix"])
@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=lambda model: type(model).__name__)
def test_a_classifier_returns_a_label_and_a_score_for_each_class(
    tmp_path: Path, estimator: Any, zipmap: bool, labels: Any
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about twenty iterations, which suffice here
        estimator.fit(files.FLOWERS, labels)
        last = estimator[-1] if hasattr(estimator, "steps") else estimator
        content = to_onnx(
            estimator, files.FLOWERS[:1], options={id(last): {"zipmap": zipmap}}
        ).SerializeToString()
    model = load(tmp_path, content)

    predictions = model.predict(files.FLOWERS.tolist())

    own, scores = library_outputs(content, {"X": files.FLOWERS})
    if zipmap:
        scores = [[of_class[name] for name in estimator.classes_] for of_class in scores]
    classes = [str(name) for name in estimator.classes_]
    assert model.signature.task is Task.CLASSIFICATION
    assert model.signature.classes == tuple(classes)
    assert [row["label"] for row in predictions] == [str(label) for label in own]
    assert [list(row["scores"]) for row in predictions] == [classes] * len(predictions)
    assert np.array_equal(
        [list(row["scores"].values()) for row in predictions], np.asarray(scores, np.float64)
    )
    assert all(row["score"] == row["scores"][row["label"]] for row in predictions)


def test_a_regressor_returns_a_value(tmp_path: Path) -> None:
    content = files.as_onnx(RandomForestRegressor(5, random_state=0).fit(files.FLOWERS, files.KINDS))
    model = load(tmp_path, content)

    predictions = model.predict(files.FLOWERS.tolist())

    (own,) = library_outputs(content, {"X": files.FLOWERS})
    assert model.signature.task is Task.REGRESSION
    assert predictions == [{"value": value} for value in own.reshape(-1).tolist()]


def test_several_inputs_are_columns_of_texts_and_numbers(tmp_path: Path) -> None:
    colours, sizes = ["red", "blue", "red", "green"] * 10, [1.0, 2.0, 3.0, 4.0] * 10
    table = {"colour": np.array(colours, dtype=object), "size": np.array(sizes)}
    fitted = _of_columns(table, ["warm", "cold", "warm", "cold"] * 10)
    content = to_onnx(
        fitted,
        initial_types=[("colour", StringTensorType([None, 1])), ("size", FloatTensorType([None, 1]))],
    ).SerializeToString()
    model = load(tmp_path, content)
    row = {"colour": "red", "size": 1.5}

    assert model.signature.columns == (InputColumn("colour", "text"), InputColumn("size", "number"))
    by_name, in_order, written = model.predict([row, ["red", 1.5], {**row, "size": "1.5", "id": 7}])
    assert by_name == in_order == written
    label, _ = library_outputs(
        content, {"colour": np.array([["red"]], dtype=object), "size": np.array([[1.5]], dtype=np.float32)}
    )
    assert by_name["label"] == label[0]
    assert "'size'" in row_error(model, {"colour": "red"})
    assert "'size': 'large' is not a number" in row_error(model, {"colour": "red", "size": "large"})
    assert "list of 2 values" in row_error(model, ["red"])


def _of_columns(table: dict[str, Any], labels: list[str]) -> Any:
    """A classifier whose columns become separate inputs in ONNX."""
    matrix = np.column_stack([table["colour"], table["size"].astype(object)])
    columns = ColumnTransformer(
        [("colour", OneHotEncoder(handle_unknown="ignore"), [0]), ("size", StandardScaler(), [1])]
    )
    return make_pipeline(columns, LogisticRegression()).fit(matrix, labels)


def test_the_positions_of_a_vector_are_columns(tmp_path: Path) -> None:
    model = load(tmp_path, files.as_onnx(files.classifier()))

    names = [f"x{index}" for index in range(4)]
    assert model.signature.columns == tuple(InputColumn(name, "number") for name in names)
    by_name, by_input, in_order = model.predict(
        [dict(zip(names, FLOWER, strict=True)), {"X": FLOWER}, FLOWER]
    )
    assert by_name == by_input == in_order
    assert "'x3'" in row_error(model, dict(zip(names[:3], FLOWER, strict=False)))


def test_the_metadata_may_name_the_columns_of_a_vector(tmp_path: Path) -> None:
    def summing(names: Any) -> bytes:
        node = helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=1)
        axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
        return files.graph(
            [node],
            [files.floats("x", "n", 2)],
            [files.floats("y", "n", 1)],
            initializers=[axes],
            metadata={"feature_names": names},
        )

    model = load(tmp_path, summing(["height", "width"]))

    assert model.signature.columns == (InputColumn("height", "number"), InputColumn("width", "number"))
    assert model.predict([{"width": 1, "height": 2}, [3, 4]]) == [{"value": 3.0}, {"value": 7.0}]
    for wrong in (["height"], ["height", "height"], [1, 2], "height, width"):
        with pytest.raises(BrokenModel, match="feature_names"):
            load(tmp_path, summing(wrong))


def test_other_tensors_take_nested_lists_and_return_outputs_by_name(tmp_path: Path) -> None:
    model = load(tmp_path, files.doubling())
    image = [[[1, 2, 3], [4, 5, 6]]]

    assert model.signature.task is None
    assert model.signature.columns is None
    assert (
        model.predict([image, {"image": image}])
        == [{"outputs": {"doubled": [[[2.0, 4.0, 6.0], [8.0, 10.0, 12.0]]]}}] * 2
    )
    assert "nested 2 times" in row_error(model, image[0])
    assert "1×2×4" in row_error(model, [[[1, 2, 3, 4]] * 2])
    assert "the same length" in row_error(model, [[[1, 2, 3], [4, 5]]])
    assert "to the same depth" in row_error(model, [[[1, 2, 3], [4, 5, [6]]]])
    assert "'six' is not a number" in row_error(model, [[[1, 2, 3], [4, 5, "six"]]])


def test_rows_of_different_lengths_run_separately_and_keep_their_order(tmp_path: Path) -> None:
    two = helper.make_tensor("two", TensorProto.FLOAT, [], [2.0])
    content = files.graph(
        [helper.make_node("Mul", ["x", "two"], ["y"])],
        [files.floats("x", "n", "length")],
        [files.floats("y", "n", "length")],
        initializers=[two],
    )

    predictions = load(tmp_path, content).predict([[1, 2], [3], "x", [4, 5], []])

    assert isinstance(predictions.pop(2), RowError)
    assert [row["outputs"]["y"] for row in predictions] == [[2.0, 4.0], [6.0], [8.0, 10.0], []]


@pytest.mark.parametrize("at_a_time", [1, 2, 4])
def test_a_model_with_a_fixed_batch_size_gets_padded_batches(tmp_path: Path, at_a_time: int) -> None:
    two = helper.make_tensor("two", TensorProto.FLOAT, [], [2.0])
    content = files.graph(
        [helper.make_node("Mul", ["x", "two"], ["y"])],
        [files.floats("x", at_a_time, 2)],
        [files.floats("y", at_a_time, 2)],
        initializers=[two],
    )

    predictions = load(tmp_path, content).predict([[row, row] for row in range(5)])

    assert predictions == [{"outputs": {"y": [2.0 * row, 2.0 * row]}} for row in range(5)]


def test_integers_keep_all_digits(tmp_path: Path) -> None:
    content = files.graph(
        [helper.make_node("Neg", ["x"], ["y"])],
        [helper.make_tensor_value_info("x", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.INT64, ["n"])],
    )
    model = load(tmp_path, content)

    assert model.predict([2**62 + 1, 3.0, "4"]) == [
        {"outputs": {"y": -(2**62) - 1}},
        {"outputs": {"y": -3}},
        {"outputs": {"y": -4}},
    ]
    for wrong in (1.5, 2**63, None, "x", [1]):
        row_error(model, wrong)


def test_a_text_model_takes_texts(tmp_path: Path) -> None:
    content = files.graph(
        [helper.make_node("StringConcat", ["x", "x"], ["y"])],
        [helper.make_tensor_value_info("x", TensorProto.STRING, ["n", 1])],
        [helper.make_tensor_value_info("y", TensorProto.STRING, ["n", 1])],
    )
    model = load(tmp_path, content)

    assert model.signature.columns == (InputColumn("x", "text"),)
    assert model.predict(["ha", {"x": "ho"}]) == [{"outputs": {"y": ["haha"]}}, {"outputs": {"y": ["hoho"]}}]


def test_a_prediction_of_nan_is_an_error_of_its_row(tmp_path: Path) -> None:
    content = files.graph(
        [helper.make_node("Log", ["x"], ["y"])], [files.floats("x", "n", 1)], [files.floats("y", "n", 1)]
    )

    fine, negative, missing = load(tmp_path, content).predict([1, -1, None])

    assert fine == {"value": 0.0}
    assert (negative.code, missing.code) == ("not_a_number", "not_a_number")


def test_a_failing_model_raises_prediction_failed(tmp_path: Path) -> None:
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [-1, 7])
    content = files.graph(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        [files.floats("x", "n", 4)],
        [files.floats("y", "m", 7)],
        initializers=[shape],
    )

    with pytest.raises(JobError) as error:
        load(tmp_path, content).predict([[1, 2, 3, 4]])

    assert error.value.code == "prediction_failed"
