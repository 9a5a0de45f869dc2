"""Compute losses and metrics of predictions, by the definitions of scikit-learn."""

import math
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
    roc_auc_score,
)

from worker.training.outputs import ClassPredictions, Floats

MAX_MATRIX_CLASSES: Final = 50
OTHERS: Final = "(others)"
_MIN_PROBABILITY: Final = 1e-15

Metric: TypeAlias = Callable[[npt.NDArray[Any], ClassPredictions], float | None]


def log_loss(truth: npt.NDArray[Any], predicted: ClassPredictions) -> float:
    """Return the mean of -log(probability of the true class)."""
    columns = {label: column for column, label in enumerate(predicted.classes)}
    probabilities = predicted.scores[np.arange(len(truth)), [columns[label] for label in truth.tolist()]]
    return float(-np.log(np.clip(probabilities, _MIN_PROBABILITY, 1.0)).mean())


def hinge_loss(truth: npt.NDArray[Any], predicted: ClassPredictions) -> float:
    """Return the loss of a linear SVM: the mean of max(0, 1 - margin), each class against the rest."""
    signs = np.where(truth[:, None] == np.asarray(predicted.classes)[None, :], 1.0, -1.0)
    return float(np.maximum(0.0, 1.0 - signs * predicted.scores).mean())


def classification_metrics(truth: npt.NDArray[Any], predicted: ClassPredictions) -> dict[str, Any]:
    """Return the metrics of a classification, None for one that is undefined.

    `truth` holds labels in the form of `cells.to_label`. A label that is not a class of the model counts as
    an error, and leaves log loss and ROC AUC undefined.
    """
    return {name: classification_metric(name, truth, predicted) for name in CLASSIFICATION_METRICS}


def classification_metric(name: str, truth: npt.NDArray[Any], predicted: ClassPredictions) -> float | None:
    """Return one of the `classification_metrics`."""
    with warnings.catch_warnings():
        # About classes that are never predicted: their F1 is 0 as it should be.
        warnings.simplefilter("ignore")
        return CLASSIFICATION_METRICS[name](truth, predicted)


def regression_metrics(truth: Floats, predicted: Floats) -> dict[str, Any]:
    """Return the metrics of a regression. R² is None if all true values are equal."""
    return {
        "r2": float(r2_score(truth, predicted)) if np.ptp(truth) > 0 else None,
        "rmse": math.sqrt(mean_squared_error(truth, predicted)),
        "mae": float(mean_absolute_error(truth, predicted)),
    }


def confusion_matrix(truth: npt.NDArray[Any], labels: npt.NDArray[Any]) -> dict[str, Any]:
    """Count rows by true label (rows of the matrix) and predicted label (columns).

    Keeps the MAX_MATRIX_CLASSES most frequent classes and merges the rest into one.
    """
    counts = Counter(truth.tolist())
    for label in labels.tolist():
        counts.setdefault(label, 0)
    if len(counts) > MAX_MATRIX_CLASSES:
        kept = sorted(label for label, _ in counts.most_common(MAX_MATRIX_CLASSES))
        names = [*kept, OTHERS]
    else:
        kept = names = sorted(counts)
    indices = {label: index for index, label in enumerate(kept)}
    matrix = np.zeros((len(names), len(names)), dtype=np.int64)
    for true, label in zip(truth.tolist(), labels.tolist(), strict=True):
        matrix[indices.get(true, -1), indices.get(label, -1)] += 1
    return {"labels": names, "matrix": matrix.tolist()}


def _f1(average: str) -> Metric:
    return lambda truth, predicted: float(f1_score(truth, predicted.labels, average=average, zero_division=0))


def _log_loss(truth: npt.NDArray[Any], predicted: ClassPredictions) -> float | None:
    is_defined = predicted.are_probabilities and np.isin(truth, predicted.classes).all()
    return log_loss(truth, predicted) if is_defined else None


def _roc_auc(truth: npt.NDArray[Any], predicted: ClassPredictions) -> float | None:
    """Return the mean of one-versus-rest areas; None unless the true labels are the classes of the model."""
    if not np.array_equal(np.unique(truth), np.unique(predicted.classes)):
        return None
    areas = [
        roc_auc_score(truth == label, predicted.scores[:, column])
        for column, label in enumerate(predicted.classes)
    ]
    return float(np.mean(areas))


CLASSIFICATION_METRICS: Final[Mapping[str, Metric]] = {
    "accuracy": lambda truth, predicted: float(accuracy_score(truth, predicted.labels)),
    "balanced_accuracy": lambda truth, predicted: float(balanced_accuracy_score(truth, predicted.labels)),
    "f1_macro": _f1("macro"),
    "f1_weighted": _f1("weighted"),
    "log_loss": _log_loss,
    "roc_auc": _roc_auc,
}
