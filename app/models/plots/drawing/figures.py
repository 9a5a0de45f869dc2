"""The figure of each plot."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from app.models.plots.drawing import files
from app.models.plots.kinds import Plot
from app.models.reports.report import Classification, Curve, Report

MAX_BARS: Final = 20
MAX_LABEL: Final = 30
MAX_COUNTED_CLASSES: Final = 15
"""Up to here, the cells of a confusion matrix show their counts."""

BLUE: Final = "#2563eb"
ORANGE: Final = "#d97706"
GREY: Final = "#9ca3af"


def draw(plot: Plot, report: Report) -> Figure:
    """Return the figure of a plot. The report must have the figures for it."""
    files.prepare()
    figure = Figure(figsize=(6.4, 4.8), dpi=files.DOTS_PER_INCH, layout="constrained")
    _DRAW[plot](figure.add_subplot(), report)
    return figure


def _learning_curve(axes: Axes, report: Report) -> None:
    epochs = [scores.epoch for scores in report.learning_curve]
    train = [scores.train_loss for scores in report.learning_curve]
    validated = [(scores.epoch, scores.valid_loss) for scores in report.learning_curve]
    shown = [(epoch, loss) for epoch, loss in validated if loss is not None]
    axes.plot(epochs, train, "o-", color=GREY, markersize=3, label="training rows")
    if shown:
        axes.plot(*zip(*shown, strict=True), "o-", color=BLUE, markersize=3, label="validation rows")
        axes.axvline(report.best_epoch, color=ORANGE, linestyle="--", label=f"best epoch {report.best_epoch}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _finish(axes, "Learning curve", "epoch", "loss", legend=True)


def _importance(axes: Axes, report: Report) -> None:
    assert report.importance is not None  # noqa: S101  # `available` says so
    columns = report.importance.columns[:MAX_BARS][::-1]
    axes.barh(
        range(len(columns)),
        [column.mean for column in columns],
        xerr=[column.deviation for column in columns],
        color=BLUE,
        ecolor=GREY,
    )
    axes.set_yticks(range(len(columns)), [_short(column.name) for column in columns])
    metric = report.importance.metric.replace("_", " ")
    _finish(axes, "Permutation importance", f"drop of {metric}", "")


def _confusion_matrix(axes: Axes, report: Report) -> None:
    matrix = _classification(report).confusion_matrix
    shares = [[count / max(sum(row), 1) for count in row] for row in matrix.matrix]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.grid(visible=False)
    ticks = range(len(matrix.labels))
    is_small = len(matrix.labels) <= MAX_COUNTED_CLASSES
    labels = [_short(label) for label in matrix.labels]
    size = None if is_small else 5
    axes.set_xticks(ticks, labels, rotation=90 if max(map(len, labels)) > 3 else 0, fontsize=size)
    axes.set_yticks(ticks, labels, fontsize=size)
    if is_small:
        for true, row in enumerate(matrix.matrix):
            for predicted, count in enumerate(row):
                color = "white" if shares[true][predicted] > 0.5 else "black"
                axes.text(predicted, true, f"{count}", ha="center", va="center", color=color)
    _finish(axes, "Confusion matrix (test rows)", "predicted", "true")


def _roc(axes: Axes, report: Report) -> None:
    found = _classification(report)
    areas = {scores.label: scores.roc_auc for scores in found.classes}
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--")
    _curves(axes, found.roc, areas)
    _finish(axes, "ROC curve (test rows)", "false positive rate", "true positive rate", legend=True)


def _precision_recall(axes: Axes, report: Report) -> None:
    found = _classification(report)
    areas = {scores.label: scores.average_precision for scores in found.classes}
    _curves(axes, found.precision_recall, areas)
    axes.set_ylim(0, 1.03)
    _finish(axes, "Precision and recall (test rows)", "recall", "precision", legend=True)


def _calibration(axes: Axes, report: Report) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--")
    for curve in _classification(report).calibration:
        axes.plot(
            [part.predicted for part in curve.bins],
            [part.observed for part in curve.bins],
            "o-",
            markersize=4,
            label=f"{_short(curve.label)} (error {curve.error:.3f})",
        )
    _finish(axes, "Calibration (test rows)", "mean probability", "share of the class", legend=True)


def _threshold(axes: Axes, report: Report) -> None:
    found = _classification(report).threshold
    assert found is not None  # noqa: S101  # `available` says so
    thresholds = [scores.threshold for scores in found.candidates]
    for name, color in (("precision", GREY), ("recall", ORANGE), ("f1", BLUE)):
        axes.plot(thresholds, [getattr(scores, name) for scores in found.candidates], color=color, label=name)
    chosen = found.chosen.threshold
    axes.axvline(chosen, color="black", linestyle="--", label=f"chosen: {chosen:.3g}")
    _finish(axes, f"Threshold for {_short(found.positive)}", "threshold of the score", "score", legend=True)


def _predicted_actual(axes: Axes, report: Report) -> None:
    actual, predicted = _pairs(report)
    ends = [min(*actual, *predicted), max(*actual, *predicted)]
    axes.plot(ends, ends, color=GREY, linestyle="--")
    axes.plot(actual, predicted, "o", color=BLUE, markersize=3, alpha=0.6)
    _finish(axes, "Predicted and true values (test rows)", "true", "predicted")


def _errors(axes: Axes, report: Report) -> None:
    actual, predicted = _pairs(report)
    axes.axhline(0, color=GREY, linestyle="--")
    errors = [value - truth for truth, value in zip(actual, predicted, strict=True)]
    axes.plot(predicted, errors, "o", color=BLUE, markersize=3, alpha=0.6)
    _finish(axes, "Errors (test rows)", "predicted", "predicted − true")


def _curves(axes: Axes, curves: Sequence[Curve], areas: Mapping[str, float | None]) -> None:
    for curve in curves:
        area = areas.get(curve.label)
        label = _short(curve.label) if area is None else f"{_short(curve.label)} (area {area:.3f})"
        axes.plot(curve.x, curve.y, label=label)


def _pairs(report: Report) -> tuple[Sequence[float], Sequence[float]]:
    assert report.regression is not None  # noqa: S101  # `available` says so
    return report.regression.actual, report.regression.predicted


def _classification(report: Report) -> Classification:
    assert report.classification is not None  # noqa: S101  # `available` says so
    return report.classification


def _short(label: str) -> str:
    """Return a label on one line, cut to MAX_LABEL characters. A leading `_` would hide it in a legend."""
    plain = "".join(character if character.isprintable() else " " for character in label) or "(empty)"
    cut = plain if len(plain) <= MAX_LABEL else f"{plain[: MAX_LABEL - 1]}…"
    return f"\u200b{cut}" if cut.startswith("_") else cut


def _finish(axes: Axes, title: str, x: str, y: str, *, legend: bool = False) -> None:
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    if legend:
        axes.legend(frameon=False, fontsize=8)


_DRAW: Final[Mapping[Plot, Callable[[Any, Report], None]]] = {
    Plot.LEARNING_CURVE: _learning_curve,
    Plot.IMPORTANCE: _importance,
    Plot.CONFUSION_MATRIX: _confusion_matrix,
    Plot.ROC: _roc,
    Plot.PRECISION_RECALL: _precision_recall,
    Plot.CALIBRATION: _calibration,
    Plot.THRESHOLD: _threshold,
    Plot.PREDICTED_ACTUAL: _predicted_actual,
    Plot.ERRORS: _errors,
}
