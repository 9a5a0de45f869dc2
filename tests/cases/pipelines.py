"""Typical models of data scientists, each with the predictions of the plain library."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.base import is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeRegressor

Row = tuple[float | None, float | None, str | None]
"""Two numbers and a category."""

CATEGORIES: Final = ("01", "1", "1.0", "TRUE", "true", "2024-01-01", "NA", "a b", 'say "hi"', "x;y", "7e3")
"""Categories that look like another type without the rest of their column."""

_random = np.random.default_rng(5)
_NUMBERS: Final = _random.normal(size=(120, 2)) * 3
_KINDS: Final = np.array(CATEGORIES, dtype=object)[np.arange(120) % len(CATEGORIES)]
_KINDS_WITH_NAN: Final = np.where(np.arange(120) % 7 == 0, np.nan, _KINDS)
_LABELS: Final = np.where(_NUMBERS[:, 0] + (np.arange(120) % len(CATEGORIES)) / 4 > 1.2, "up", "down")
_VALUES: Final = _NUMBERS @ np.array([1.5, -0.5]) + np.arange(120) % len(CATEGORIES)


@dataclass(frozen=True)
class Model:
    """A fitted model or its ONNX bytes, the columns that it takes, and the predictions of its library."""

    columns: str
    content: Any
    by_hand: Callable[[Sequence[Row]], list[Any]]
    takes_missing: bool = False

    @property
    def is_onnx(self) -> bool:
        """Whether it is an ONNX file."""
        return isinstance(self.content, bytes)


def table(rows: Sequence[Row], columns: str) -> Any:
    """Return rows in the form that a model of these columns takes."""
    if columns == "c":
        return [row[2] for row in rows]
    numbers = np.array([row[:2] for row in rows], dtype=float)
    if columns == "xy":
        return numbers
    mixed = np.empty((len(rows), 3), dtype=object)
    mixed[:, :2] = numbers
    mixed[:, 2] = [np.nan if row[2] is None else row[2] for row in rows]
    return mixed


def plain_predictions(estimator: Any, rows: Any) -> list[Any]:
    """Return labels with the scores of all classes, or values."""
    if hasattr(estimator, "predict_proba"):
        scores = estimator.predict_proba(rows).tolist()
        return list(zip(estimator.predict(rows).tolist(), scores, strict=True))
    return list(np.asarray(estimator.predict(rows)).tolist())


def _of(estimator: Any, columns: str, *, takes_missing: bool = False) -> Model:
    kinds = _KINDS_WITH_NAN if takes_missing else _KINDS
    mixed = np.column_stack([_NUMBERS.astype(object), kinds.astype(object)])
    features = {"xy": _NUMBERS, "xyc": mixed, "c": list(_KINDS)}[columns]
    target = _VALUES if is_regressor(estimator) else _LABELS
    fitted = estimator.fit(features, target)
    return Model(columns, fitted, lambda rows: plain_predictions(fitted, table(rows, columns)), takes_missing)


def _by_columns(of_kinds: Any, model: Any) -> Any:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    return make_pipeline(ColumnTransformer([("numbers", numbers, [0, 1]), ("kinds", of_kinds, [2])]), model)


def _onnx_of_numbers() -> Model:
    fitted = LogisticRegression().fit(_NUMBERS, _LABELS)
    content = to_onnx(fitted, _NUMBERS[:1].astype(np.float32), options={"zipmap": False}).SerializeToString()

    def by_hand(rows: Sequence[Row]) -> list[Any]:
        feed = {"X": table(rows, "xy").astype(np.float32)}
        labels, scores = onnxruntime.InferenceSession(content).run(None, feed)
        return list(zip(labels.tolist(), scores.tolist(), strict=True))

    return Model("xy", content, by_hand)


def _onnx_of_columns() -> Model:
    kinds = make_pipeline(OneHotEncoder(handle_unknown="ignore"))
    fitted = make_pipeline(
        ColumnTransformer([("numbers", StandardScaler(), [0, 1]), ("kinds", kinds, [2])]),
        LogisticRegression(max_iter=500),
    ).fit(np.column_stack([_NUMBERS.astype(object), _KINDS]), _LABELS)
    types = [
        ("x", FloatTensorType([None, 1])),
        ("y", FloatTensorType([None, 1])),
        ("c", StringTensorType([None, 1])),
    ]
    content = to_onnx(fitted, initial_types=types, options={"zipmap": False}).SerializeToString()

    def by_hand(rows: Sequence[Row]) -> list[Any]:
        feed = {
            "x": np.array([[row[0]] for row in rows], np.float32),
            "y": np.array([[row[1]] for row in rows], np.float32),
            "c": np.array([[row[2]] for row in rows], object),
        }
        labels, scores = onnxruntime.InferenceSession(content).run(None, feed)
        return list(zip(labels.tolist(), scores.tolist(), strict=True))

    return Model("xyc", content, by_hand)


MODELS: Final = {
    "logistic_regression": lambda: _of(LogisticRegression(), "xy"),
    "naive_bayes": lambda: _of(GaussianNB(), "xy"),
    "ridge": lambda: _of(make_pipeline(SimpleImputer(), Ridge()), "xy", takes_missing=True),
    "tree": lambda: _of(DecisionTreeRegressor(max_depth=4), "xy"),
    "forest": lambda: _of(RandomForestClassifier(9, max_depth=4, random_state=0), "xy"),
    "extra_trees": lambda: _of(ExtraTreesClassifier(9, max_depth=4, random_state=0), "xy"),
    "boosting": lambda: _of(GradientBoostingRegressor(n_estimators=9, random_state=0), "xy"),
    "histogram_boosting": lambda: _of(HistGradientBoostingClassifier(max_iter=9), "xy", takes_missing=True),
    "svm": lambda: _of(make_pipeline(StandardScaler(), SVC()), "xy"),
    "network": lambda: _of(
        make_pipeline(
            StandardScaler(), MLPClassifier(5, solver="lbfgs", alpha=1.0, max_iter=5000, random_state=0)
        ),
        "xy",
    ),
    "one_hot": lambda: _of(
        _by_columns(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()), "xyc", takes_missing=True
    ),
    "ordinal": lambda: _of(
        _by_columns(
            OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2),
            RandomForestClassifier(9, max_depth=4, random_state=0),
        ),
        "xyc",
        takes_missing=True,
    ),
    "imputed": lambda: _of(
        _by_columns(
            make_pipeline(
                SimpleImputer(strategy="constant", fill_value="?"), OneHotEncoder(handle_unknown="ignore")
            ),
            Ridge(),
        ),
        "xyc",
        takes_missing=True,
    ),
    "words": lambda: _of(make_pipeline(TfidfVectorizer(analyzer="char"), LogisticRegression()), "c"),
    "onnx": _onnx_of_numbers,
    "onnx_of_columns": _onnx_of_columns,
}
