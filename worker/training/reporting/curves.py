"""Curves of one class against the rest: ROC, precision and recall, calibration."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from app.models.reports.report import Calibration, CalibrationBin, Curve
from worker.training.outputs import Floats
from worker.training.reporting.rounding import figure, figures, thinned

CALIBRATION_BINS: Final = 10

Flags = npt.NDArray[np.bool_]


def roc(label: str, is_class: Flags, scores: Floats) -> Curve:
    """Return the true positive rate (y) over the false positive rate (x)."""
    false_positive, true_positive, _ = roc_curve(is_class, scores)
    return _curve(label, false_positive, true_positive)


def precision_recall(label: str, is_class: Flags, scores: Floats) -> Curve:
    """Return the precision (y) over the recall (x)."""
    precision, recall, _ = precision_recall_curve(is_class, scores)
    return _curve(label, recall[::-1], precision[::-1])


def areas(is_class: Flags, scores: Floats) -> tuple[float | None, float | None]:
    """Return the area under the ROC curve, and the average precision; None if only one class occurs."""
    if is_class.all() or not is_class.any():
        return None, None
    return figure(roc_auc_score(is_class, scores)), figure(average_precision_score(is_class, scores))


def calibration(label: str, is_class: Flags, probabilities: Floats) -> Calibration:
    """Compare the probabilities of a class with its share among the rows, in ten bins of equal width."""
    indices = np.minimum((probabilities * CALIBRATION_BINS).astype(np.intp), CALIBRATION_BINS - 1)
    bins = tuple(_bins(indices, is_class, probabilities))
    error = sum(abs(part.predicted - part.observed) * part.rows for part in bins) / len(is_class)
    return Calibration(label, figure(error), bins)


def _bins(indices: npt.NDArray[np.intp], is_class: Flags, probabilities: Floats) -> Iterator[CalibrationBin]:
    for index in range(CALIBRATION_BINS):
        is_inside = indices == index
        if is_inside.any():
            yield CalibrationBin(
                predicted=figure(probabilities[is_inside].mean()),
                observed=figure(is_class[is_inside].mean()),
                rows=int(is_inside.sum()),
            )


def _curve(label: str, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> Curve:
    kept = thinned(len(x))
    return Curve(label, figures(x[kept]), figures(y[kept]))
