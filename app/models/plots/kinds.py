"""The plots, and which of them a report has."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from app.models.reports.report import Report


class Plot(StrEnum):
    """A plot of a report."""

    LEARNING_CURVE = "learning_curve"
    IMPORTANCE = "importance"
    CONFUSION_MATRIX = "confusion_matrix"
    ROC = "roc"
    PRECISION_RECALL = "precision_recall"
    CALIBRATION = "calibration"
    THRESHOLD = "threshold"
    PREDICTED_ACTUAL = "predicted_actual"
    ERRORS = "errors"


class PlotFormat(StrEnum):
    """The file format of a plot."""

    PNG = "png"
    SVG = "svg"


MEDIA_TYPES: Final[Mapping[PlotFormat, str]] = {
    PlotFormat.PNG: "image/png",
    PlotFormat.SVG: "image/svg+xml",
}


def available(report: Report) -> tuple[Plot, ...]:
    """Return the plots that a report has figures for."""
    found, numbers = report.classification, report.regression
    has = {
        Plot.LEARNING_CURVE: bool(report.learning_curve),
        Plot.IMPORTANCE: report.importance is not None,
        Plot.CONFUSION_MATRIX: found is not None,
        Plot.ROC: found is not None and bool(found.roc),
        Plot.PRECISION_RECALL: found is not None and bool(found.precision_recall),
        Plot.CALIBRATION: found is not None and bool(found.calibration),
        Plot.THRESHOLD: found is not None and found.threshold is not None,
        Plot.PREDICTED_ACTUAL: numbers is not None,
        Plot.ERRORS: numbers is not None,
    }
    return tuple(plot for plot in Plot if has[plot])
