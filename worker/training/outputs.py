"""What an estimator says of rows: labels with how sure it is of each class, or values."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.ensemble._forest import ForestClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.neural_network import MLPClassifier

from worker import cells

LIKELIEST: Final = (ForestClassifier, HistGradientBoostingClassifier, MLPClassifier, MultinomialNB)
"""Those whose `predict` takes the highest probability, at the price of computing them all again.

Linear models compare margins: of two classes whose probabilities are both 1 to the last digit, one is ahead.
"""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Classified:
    """For each row one score for each class: probabilities, or margins where there are none."""

    classes: tuple[str, ...]
    scores: Floats
    labels: npt.NDArray[Any]
    are_probabilities: bool


def classify(estimator: Any, rows: Any) -> Classified:
    """What a classifier says. The label is the estimator's own, which need not have the highest score."""
    classes = tuple(cells.label(value) or "" for value in estimator.classes_.tolist())
    if hasattr(estimator, "predict_proba"):
        scores = np.asarray(estimator.predict_proba(rows), dtype=np.float64)
        labels = _likeliest(classes, scores) if isinstance(estimator, LIKELIEST) else _labels(estimator, rows)
        return Classified(classes, scores, labels, are_probabilities=True)
    labels = _labels(estimator, rows)
    if hasattr(estimator, "decision_function"):
        margins = np.asarray(estimator.decision_function(rows), dtype=np.float64)
        margins = np.column_stack((-margins, margins)) if margins.ndim == 1 else margins
        if margins.shape[1] == len(classes):  # not one for each pair of classes
            return Classified(classes, margins, labels, are_probabilities=False)
    scores = np.asarray(labels[:, None] == np.asarray(classes)[None, :], dtype=np.float64)
    return Classified(classes, scores, labels, are_probabilities=False)


def _likeliest(classes: tuple[str, ...], scores: Floats) -> npt.NDArray[Any]:
    labels: npt.NDArray[Any] = np.asarray(classes)[scores.argmax(axis=1)]
    return labels


def _labels(estimator: Any, rows: Any) -> npt.NDArray[Any]:
    predicted: npt.NDArray[Any] = estimator.predict(rows)
    if predicted.ndim != 1:
        raise ValueError("it predicts several labels at once")
    if predicted.dtype.kind == "U":
        return predicted
    said = predicted.tolist()
    written = {value: cells.label(value) or "" for value in set(said)}
    return np.asarray([written[value] for value in said])


def estimate(estimator: Any, rows: Any) -> Floats:
    """What a regressor says."""
    return np.asarray(estimator.predict(rows), dtype=np.float64).reshape(-1)
