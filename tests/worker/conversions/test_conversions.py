"""Models of our own trainings and of users, converted and compared: they predict the same, or are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.base import is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from app.jobs.params import ModelReference, TrainModelParams
from app.models.versions import InputColumn
from worker.conversions import comparison, sample_rows, to_onnx
from worker.conversions.comparison import Comparison
from worker.conversions.errors import ConversionDiffers, NotConvertible
from worker.runtimes.onnx.runtime import OnnxRuntime
from worker.runtimes.sklearn import runtime
from worker.runtimes.sklearn.model import SklearnModel
from worker.training import table
from worker.training.trainer import Training

REFERENCE = ModelReference("churn", 1, "sklearn")


def converted(path: Path, folder: Path) -> tuple[Comparison, OnnxRuntime]:
    """The comparison of a skops file with its conversion."""
    estimator, inputs = runtime.read(path)
    assert inputs.columns is not None
    target = folder / "model.onnx"
    classes = runtime.class_labels(estimator) if is_classifier(estimator) else None
    target.write_bytes(to_onnx.convert(estimator, inputs.columns, classes))
    onnx = OnnxRuntime()
    assert onnx.inspect(target).columns is not None
    rows = sample_rows.make(estimator, inputs.columns)
    return comparison.compare(SklearnModel(estimator, inputs), onnx.load(REFERENCE, target), rows), onnx


def trained(folder: Path, algorithm: str, *, is_regression: bool = False) -> Path:
    """The file of a model that was trained here, on numbers and categories with missing values."""
    rng = np.random.default_rng(3)
    rows: list[dict[str, Any]] = []
    for row in range(300):
        size, colour = float(rng.normal()), ("red", "green", "blue")[rng.integers(3)]
        value = 2 * size + (colour == "red") + rng.normal() / 10
        rows.append(
            {
                "size": None if row % 17 == 0 else size,
                "colour": None if row % 13 == 0 else colour,
                "target": float(value) if is_regression else ("big" if value > 0.5 else "small"),
            }
        )
    params = TrainModelParams(target="target", algorithm=algorithm, epochs=2)
    training = Training(table.to_arrow(rows), params, None)
    while not training.is_finished:
        training.advance()
    path = folder / "model.skops"
    training.finish(path)
    return path


@pytest.mark.parametrize("algorithm", ["logistic_regression", "random_forest"])
def test_a_classifier_trained_here_predicts_the_same(tmp_path: Path, algorithm: str) -> None:
    compared, _ = converted(trained(tmp_path, algorithm), tmp_path)

    assert compared.rows == sample_rows.ROWS
    assert compared.largest_difference < 1e-4


def test_a_regression_trained_here_predicts_the_same(tmp_path: Path) -> None:
    compared, _ = converted(trained(tmp_path, "ridge", is_regression=True), tmp_path)

    assert compared.rows == sample_rows.ROWS


def test_histogram_boosting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotConvertible, match="histogram boosting"):
        converted(trained(tmp_path, "hist_gradient_boosting"), tmp_path)


def test_groups_of_rare_categories_are_refused() -> None:
    encoder = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=2)
    model = make_pipeline(encoder, LogisticRegression()).fit([["a"], ["b"], ["c"], ["a"]], [0, 1, 1, 0])

    with pytest.raises(NotConvertible, match="rare categories"):
        to_onnx.convert(model, (InputColumn("x0", "category"),))


def test_a_forest_that_sends_missing_values_another_way_is_refused(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(100, 3))
    forest = RandomForestClassifier(5, random_state=0).fit(rows, rows[:, 0] > 0)
    skops.io.dump(forest, tmp_path / "model.skops")

    with pytest.raises(ConversionDiffers):
        converted(tmp_path / "model.skops", tmp_path)


@pytest.mark.parametrize(
    "model",
    [make_pipeline(StandardScaler(), Ridge()), LogisticRegression()],
    ids=lambda model: type(model).__name__,
)
def test_a_model_of_a_user_predicts_the_same(tmp_path: Path, model: Any) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(100, 3))
    skops.io.dump(model.fit(rows, rows[:, 0] > 0), tmp_path / "model.skops")

    compared, _ = converted(tmp_path / "model.skops", tmp_path)

    assert compared.rows > 0


def test_the_sample_has_each_category_an_unknown_one_and_missing_values(tmp_path: Path) -> None:
    rows = np.array([["a", 1.0], ["b", 2.0], ["c", 3.0]], dtype=object)
    encoder = ColumnTransformer(
        [("codes", OneHotEncoder(handle_unknown="ignore"), [0])], remainder="passthrough"
    )
    model = make_pipeline(encoder, LogisticRegression()).fit(rows, [0, 1, 1])
    skops.io.dump(model, tmp_path / "model.skops")
    estimator, inputs = runtime.read(tmp_path / "model.skops")
    assert inputs.columns is not None

    sample = sample_rows.make(estimator, inputs.columns)

    assert {row[0] for row in sample} == {"a", "b", "c", sample_rows.UNKNOWN, None}
    assert any(row[1] is None for row in sample)
    assert sample == sample_rows.make(estimator, inputs.columns)


def test_a_part_without_an_operator_is_named() -> None:
    class Unknown(KNeighborsClassifier):  # type: ignore[misc]  # scikit-learn has no types
        pass

    model = Unknown(1).fit([[0.0], [1.0]], [0, 1])

    with pytest.raises(NotConvertible, match="Unknown"):
        to_onnx.convert(model, runtime._infer_inputs(model).columns or ())


class Fixed:
    """A model that predicts what it is told to."""

    def __init__(self, *predictions: Any) -> None:
        self._predictions = list(predictions)

    def predict(self, rows: Any) -> list[Any]:
        return self._predictions[: len(rows)]


def labelled(label: str, a: float, b: float) -> dict[str, Any]:
    return {"label": label, "score": max(a, b), "scores": {"a": a, "b": b}}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (labelled("a", 0.7, 0.3), labelled("a", 0.71, 0.29)),
        (labelled("a", 0.7, 0.3), labelled("b", 0.7, 0.3)),
        (labelled("a", 0.7, 0.3), {"label": "a", "score": 0.7, "scores": {"0": 0.7, "1": 0.3}}),
        ({"value": 1.0}, {"value": 1.001}),
        ({"value": 1.0}, {"outputs": {"variable": 1.0}}),
    ],
)
def test_a_model_that_predicts_something_else_is_refused(one: Any, other: Any) -> None:
    with pytest.raises(ConversionDiffers, match="of row 1 it predicts"):
        comparison.compare(Fixed(one, one), Fixed(one, other), [[1], [2]])


def test_a_tie_may_go_to_either_class() -> None:
    one, other = labelled("a", 0.5, 0.5), labelled("b", 0.499_999_9, 0.500_000_1)

    assert comparison.compare(Fixed(one), Fixed(other), [[1]]).rows == 1


def test_a_model_that_predicts_no_row_is_refused() -> None:
    class Failing:
        def predict(self, rows: Any) -> list[Any]:
            raise ValueError("no")

    with pytest.raises(ConversionDiffers, match="none of the rows"):
        comparison.compare(Failing(), Fixed({"value": 1.0}), [[1]])
