"""scikit-learn models: trained here and uploaded."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from app.jobs.algorithms.catalogue import ALGORITHMS, Name
from app.models.versions import InputColumn, Task
from tests.worker.runtimes.sklearn.skops_files import RUNTIME, iris, load, rows_of_iris, saved
from tests.worker.training import data
from worker.context import RowError
from worker.training import features, table

CLASSIFIERS = [a.name for a in ALGORITHMS.values() if Task.CLASSIFICATION in a.tasks]


# Trained here


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_objects_lists_and_the_plain_pipeline_give_the_same_predictions(name: Name, path: Path) -> None:
    customers = data.customers(120)
    training, _ = data.trained(
        table.to_arrow(customers), path, algorithm=name, epochs=2, params={"patience": 0}
    )
    names = [column.name for column in training.plan.inputs]

    from_objects = load(path).predict(customers)
    from_lists = load(path).predict([[row[name] for name in names] for row in customers])
    every_row = np.arange(len(customers))
    by_hand = skops.io.load(path, trusted=[*skops.io.get_untrusted_types(file=path)])
    predictions = by_hand.predict(
        features.pipeline_rows(training.plan.inputs, training.plan.cells, every_row)
    )

    assert from_objects == from_lists
    assert [prediction["label"] for prediction in from_objects] == predictions.tolist()
    assert all(
        prediction["scores"][prediction["label"]] == prediction["score"] for prediction in from_objects
    )


def test_a_trained_model_has_a_signature(path: Path) -> None:
    data.trained(table.to_arrow(data.customers(120)), path, algorithm=Name.MULTINOMIAL_NB)

    signature = RUNTIME.inspect(path)

    assert signature.task is Task.CLASSIFICATION
    assert signature.classes == ("leaves", "stays")
    assert signature.columns == (
        InputColumn("age", "number"),
        InputColumn("city", "category"),
        InputColumn("member", "any"),
        InputColumn("since", "any"),
        InputColumn("note", "text"),
        InputColumn("spent", "number"),
    )
    assert set(signature.library_versions) == {"scikit-learn", "skops"}


def test_a_row_that_a_model_cannot_take_gets_an_error(path: Path) -> None:
    customers = data.customers(120)
    data.trained(table.to_arrow(customers), path, algorithm=Name.LOGISTIC_REGRESSION, epochs=1)
    good = customers[0]

    predictions = load(path).predict(
        [
            good,
            {**good, "age": "old"},
            {"age": 3},
            [1, 2],
            5,
            {**good, "since": "soon"},
            {**good, "city": [1]},
            good,
        ]
    )

    assert predictions[0] == predictions[-1]
    assert [error.message for error in predictions[1:-1]] == [
        "'age': 'old' is not a number",
        "the row has no 'city'; send null for a missing value",
        "the row has 2 values; the model takes 6",
        "the row is 5; send an object or a list",
        "'since': 'soon' is not a date (ISO 8601)",
        "'city': [1] is not a category",
    ]
    assert {error.code for error in predictions[1:-1]} == {"bad_row"}


def test_missing_values_and_new_categories_are_not_errors(path: Path) -> None:
    customers = data.customers(120)
    data.trained(
        table.to_arrow(customers), path, algorithm=Name.RANDOM_FOREST, epochs=1, params={"n_estimators": 5}
    )

    predictions = load(path).predict(
        [dict.fromkeys(customers[0]), {**customers[0], "city": "Atlantis", "age": "41", "member": "true"}]
    )

    assert all("label" in prediction for prediction in predictions)


def test_a_model_of_one_text_takes_texts(path: Path) -> None:
    data.trained(table.to_arrow(data.customers(120)), path, features=["note"], epochs=2)

    predictions = load(path).predict(
        ["great fine quick", {"note": "bad slow broken"}, ["bad broken"], {"text": "x"}, None]
    )

    assert [prediction["label"] for prediction in predictions[:3]] == ["stays", "leaves", "leaves"]
    assert [type(error) for error in predictions[3:]] == [RowError, RowError]


def test_a_regressor_returns_values(path: Path) -> None:
    data.trained(data.diabetes(), path)

    (prediction,) = load(path).predict([load_diabetes().data[0].tolist()])

    assert 100 < prediction["value"] < 300
    assert RUNTIME.inspect(path).task is Task.REGRESSION


# Uploaded


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(max_iter=500),
        make_pipeline(StandardScaler(), KNeighborsClassifier(algorithm="brute", n_jobs=-1)),
        RandomForestClassifier(n_estimators=5),
        HistGradientBoostingClassifier(max_iter=3),
        DecisionTreeClassifier(),
        SVC(),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_an_uploaded_classifier_predicts_like_the_original(estimator: Any, path: Path) -> None:
    estimator.fit(*iris)

    predictions = load(saved(estimator, path)).predict(rows_of_iris)

    assert [prediction["label"] for prediction in predictions] == [
        str(kind) for kind in estimator.predict(iris[0])
    ]
    assert RUNTIME.inspect(path).columns == tuple(InputColumn(f"x{place}", "number") for place in range(4))
    assert RUNTIME.inspect(path).classes == ("0", "1", "2")


def test_a_model_with_a_vectorizer_takes_texts(path: Path) -> None:
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(["good fine", "bad"], ["up", "down"])

    predictions = load(saved(model, path)).predict(["good", {"text": "bad"}])

    assert [prediction["label"] for prediction in predictions] == ["up", "down"]
    assert RUNTIME.inspect(path).columns == (InputColumn("text", "text"),)


def test_a_model_fitted_on_names_takes_objects(path: Path) -> None:
    kinds = ColumnTransformer([("kind", OneHotEncoder(), ["kind"]), ("size", StandardScaler(), ["size"])])
    frame = pa.table({"size": [1.0, 2.0, 3.0, 4.0], "unused": [0, 0, 0, 0], "kind": ["a", "b", "a", "b"]})
    model = make_pipeline(kinds, LinearRegression()).fit(frame, [1.0, 12.0, 3.0, 14.0])

    predictions = load(saved(model, path)).predict(
        [{"kind": "a", "size": 2.0, "unused": None, "more": 1}, [2.0, 0, "b"]]
    )

    assert [prediction["value"] for prediction in predictions] == pytest.approx([2.0, 12.0])
    assert [column.name for column in RUNTIME.inspect(path).columns or ()] == ["size", "unused", "kind"]


def test_a_failure_of_an_uploaded_model_raises_prediction_failed(path: Path) -> None:
    model = load(saved(LogisticRegression(max_iter=500).fit(*iris), path))

    predictions = model.predict([rows_of_iris[0], ["a", 1, 2, 3]])

    assert "label" in predictions[0]
    assert predictions[1] == RowError("bad_row", "'x0': 'a' is not a number")


def test_a_value_of_nan_is_an_error_of_its_row(path: Path) -> None:
    model = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
    model.coef_ = np.array([1e308])

    predictions = load(saved(model, path)).predict([[1.0], [1e300]])

    assert "value" in predictions[0]
    assert predictions[1].code == "not_a_number"
