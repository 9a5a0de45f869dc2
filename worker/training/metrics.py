"""How good a model is, on rows that it has not learnt from."""

import math
import warnings
from collections import Counter
from typing import Any, Final

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

from worker.training.outputs import Classified, Floats

MAX_CONFUSED: Final = 50
OTHERS: Final = "(others)"
_LEAST: Final = 1e-15


def log_loss(truth: npt.NDArray[Any], said: Classified) -> float:
    """The mean of -log of the probability that the true class was given."""
    places = {label: place for place, label in enumerate(said.classes)}
    given = said.scores[np.arange(len(truth)), [places[label] for label in truth.tolist()]]
    return float(-np.log(np.clip(given, _LEAST, 1.0)).mean())


def hinge_loss(truth: npt.NDArray[Any], said: Classified) -> float:
    """What a linear SVM minimises: the mean of max(0, 1 - margin), each class against the rest."""
    signs = np.where(truth[:, None] == np.asarray(said.classes)[None, :], 1.0, -1.0)
    return float(np.maximum(0.0, 1.0 - signs * said.scores).mean())


def of_labels(truth: npt.NDArray[Any], said: Classified) -> dict[str, Any]:
    """The metrics of a classification. One that is not defined is None; `confusion_matrix` has rows of truth.

    `truth` holds labels as `cells.label` writes them; one that the model does not know is a miss.
    """
    is_known = np.isin(truth, said.classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class that nobody predicts: its F1 is 0, as it should be
        found: dict[str, Any] = {
            "accuracy": float(accuracy_score(truth, said.labels)),
            "balanced_accuracy": float(balanced_accuracy_score(truth, said.labels)),
            "f1_macro": float(f1_score(truth, said.labels, average="macro", zero_division=0)),
            "f1_weighted": float(f1_score(truth, said.labels, average="weighted", zero_division=0)),
            "log_loss": log_loss(truth, said) if said.are_probabilities and is_known.all() else None,
            "roc_auc": _roc_auc(truth, said) if is_known.all() else None,
        }
    return found


def of_numbers(truth: Floats, said: Floats) -> dict[str, Any]:
    """The metrics of a regression. R² is None where all true values are the same."""
    return {
        "r2": float(r2_score(truth, said)) if np.ptp(truth) > 0 else None,
        "rmse": math.sqrt(mean_squared_error(truth, said)),
        "mae": float(mean_absolute_error(truth, said)),
    }


def confusion_matrix(truth: npt.NDArray[Any], labels: npt.NDArray[Any]) -> dict[str, Any]:
    """How often which class was taken for which: rows are the truth, columns what was said.

    With many classes the most frequent ones are shown, the rest as one.
    """
    counts = Counter(truth.tolist())
    for label in labels.tolist():
        counts.setdefault(label, 0)
    if len(counts) > MAX_CONFUSED:
        shown = sorted(label for label, _ in counts.most_common(MAX_CONFUSED))
        names = [*shown, OTHERS]
    else:
        shown = names = sorted(counts)
    places = {label: place for place, label in enumerate(shown)}
    matrix = np.zeros((len(names), len(names)), dtype=np.int64)
    for true, label in zip(truth.tolist(), labels.tolist(), strict=True):
        matrix[places.get(true, -1), places.get(label, -1)] += 1
    return {"labels": names, "matrix": matrix.tolist()}


def _roc_auc(truth: npt.NDArray[Any], said: Classified) -> float | None:
    """One class against the rest, the mean over classes; None where a class is missing from the truth."""
    if len(np.unique(truth)) < len(said.classes):
        return None
    areas = [roc_auc_score(truth == label, said.scores[:, place]) for place, label in enumerate(said.classes)]
    # With two classes both areas are the same.
    return float(np.mean(areas))
