"""The kind and the example rows of estimators."""

from typing import Any

import numpy as np
import pytest
from sklearn.cluster import DBSCAN, KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest, VotingClassifier
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from worker.runtimes.sklearn import estimators
from worker.runtimes.sklearn.estimators import Kind

ROWS = np.array([["Oslo", 1.0, "a"], ["Rome", 2.0, "b"]] * 5, dtype=object)


@pytest.mark.parametrize(
    ("estimator", "kind"),
    [
        (LogisticRegression(), Kind.CLASSIFIER),
        (make_pipeline(StandardScaler(), LinearRegression()), Kind.REGRESSOR),
        (make_pipeline(StandardScaler(), KMeans()), Kind.CLUSTERER),
        (IsolationForest(), Kind.OUTLIER_DETECTOR),
        (make_pipeline(StandardScaler(), PCA()), Kind.TRANSFORMER),
        (DBSCAN(), None),
        (LocalOutlierFactor(), None),
    ],
)
def test_the_kind_of_an_estimator(estimator: Any, kind: Kind | None) -> None:
    assert estimators.kind_of(estimator) is kind


@pytest.mark.parametrize(
    ("estimator", "takes_texts"),
    [
        (CountVectorizer(), True),
        (Pipeline([("no", "passthrough"), ("yes", HashingVectorizer())]), True),
        (FeatureUnion([("a", "drop"), ("b", make_pipeline(CountVectorizer(), PCA()))]), True),
        (TransformedTargetRegressor(make_pipeline(CountVectorizer(), LinearRegression())), False),
        (ColumnTransformer([("a", CountVectorizer(), 0)]), False),
        (make_pipeline(StandardScaler(), CountVectorizer()), False),
        (VotingClassifier([("a", LogisticRegression())]), False),
    ],
)
def test_a_model_that_starts_with_a_vectorizer_takes_texts(estimator: Any, takes_texts: bool) -> None:
    assert estimators.takes_texts(estimator) is takes_texts


def test_example_rows_have_known_categories_texts_and_numbers() -> None:
    cities = make_pipeline(SimpleImputer(strategy="constant", fill_value="?"), OneHotEncoder())
    columns = ColumnTransformer([("city", cities, [0]), ("size", StandardScaler(), [1])])
    both = ColumnTransformer([("inner", columns, [0, 1]), ("letters", OrdinalEncoder(), [2])])

    rows = list(estimators.example_rows(Pipeline([("both", both.fit(ROWS))]), 3))

    assert rows[0] == ["Oslo", 1.0, "a"]
    assert [row[1] for row in rows] == [1.0, 0.0, 2.0, "a", None]
    assert {row[0] for row in rows} == {"Oslo", None}


def test_a_text_column_gets_a_text() -> None:
    columns = ColumnTransformer(
        [("words", CountVectorizer(analyzer="char"), 0), ("rest", "passthrough", [1])]
    )

    rows = list(estimators.example_rows(columns.fit(ROWS), 3))

    assert rows[0] == ["a", 1.0, 1.0]


def test_selections_of_missing_columns_are_ignored() -> None:
    columns = ColumnTransformer([("city", OneHotEncoder(), [0])]).fit(ROWS)
    columns.transformers_ = [(name, step, ["no such"]) for name, step, _ in columns.transformers_]

    assert next(estimators.example_rows(columns, 3)) == [1.0, 1.0, 1.0]
