"""Run a fitted scikit-learn estimator: predict labels with a score for each class, or values."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.ensemble._forest import ForestClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.neural_network import MLPClassifier

from worker import cells

ARGMAX_CLASSIFIERS: Final = (
    ForestClassifier,
    HistGradientBoostingClassifier,
    MLPClassifier,
    MultinomialNB,
)
"""Classifiers whose `predict` computes all probabilities again and returns the class of the highest.

Linear models are not among them: they compare margins, which still differ where two probabilities round to 1.
"""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ClassPredictions:
    """Predictions of a classifier. `scores` has shape (rows, classes): probabilities, or else margins."""

    classes: tuple[str, ...]
    scores: Floats
    labels: npt.NDArray[Any]
    are_probabilities: bool


def classify(estimator: Any, rows: Any) -> ClassPredictions:
    """Predict classes. The labels are those of `predict`, which need not have the highest score."""
    classes = tuple(cells.to_label(value) or "" for value in estimator.classes_.tolist())
    if hasattr(estimator, "predict_proba"):
        scores = np.asarray(estimator.predict_proba(rows), dtype=np.float64)
        is_argmax = isinstance(estimator, ARGMAX_CLASSIFIERS)
        labels = _argmax_labels(classes, scores) if is_argmax else _predict_labels(estimator, rows)
        return ClassPredictions(classes, scores, labels, are_probabilities=True)
    labels = _predict_labels(estimator, rows)
    if hasattr(estimator, "decision_function"):
        margins = np.asarray(estimator.decision_function(rows), dtype=np.float64)
        margins = np.column_stack((-margins, margins)) if margins.ndim == 1 else margins
        if margins.shape[1] == len(classes):  # not the margins of pairs of classes (one-versus-one)
            return ClassPredictions(classes, margins, labels, are_probabilities=False)
    scores = np.asarray(labels[:, None] == np.asarray(classes)[None, :], dtype=np.float64)
    return ClassPredictions(classes, scores, labels, are_probabilities=False)


def estimate(estimator: Any, rows: Any) -> Floats:
    """Predict the values of a regression, of shape (rows,)."""
    return np.asarray(estimator.predict(rows), dtype=np.float64).reshape(-1)


def _argmax_labels(classes: tuple[str, ...], scores: Floats) -> npt.NDArray[Any]:
    labels: npt.NDArray[Any] = np.asarray(classes)[scores.argmax(axis=1)]
    return labels


def _predict_labels(estimator: Any, rows: Any) -> npt.NDArray[Any]:
    predicted: npt.NDArray[Any] = estimator.predict(rows)
    if predicted.ndim != 1:
        raise ValueError("it predicts several labels for a row")
    if predicted.dtype.kind == "U":
        return predicted
    values = predicted.tolist()
    labels = {value: cells.to_label(value) or "" for value in set(values)}
    return np.asarray([labels[value] for value in values])
