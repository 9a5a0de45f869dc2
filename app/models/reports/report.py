"""The report of a training: what a data scientist looks at first. It is stored with the version as JSON.

Lists are bounded, so that a report stays below a few hundred kilobytes however large the data are.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from app.models.versions import Task

MAX_CLASSES: Final = 200
"""The most frequent classes have a line of their own."""

MAX_CURVES: Final = 10
"""The most frequent classes have curves."""

MAX_POINTS: Final = 100
MAX_PAIRS: Final = 500
MAX_COLUMNS: Final = 50


@dataclass(frozen=True)
class SplitSummary:
    """How the rows were split, and how many are for what. `folds` is null without cross-validation."""

    method: str
    column: str | None
    folds: int | None
    train_rows: int
    validation_rows: int
    test_rows: int


@dataclass(frozen=True)
class EpochScores:
    """The losses after one epoch, and the accuracy or R² on the validation rows; null without such rows.

    `seconds` is how long it took; null in reports of earlier versions of Headrace.
    """

    epoch: int
    train_loss: float
    valid_loss: float | None
    valid_score: float | None
    seconds: float | None = None


@dataclass(frozen=True)
class ColumnImportance:
    """How much the score drops when a column is shuffled: mean and standard deviation of the repeats."""

    name: str
    mean: float
    deviation: float


@dataclass(frozen=True)
class Importance:
    """Permutation importance, the most important columns first.

    `metric` is the score that drops, `score` its value without shuffling, on a sample of `rows`.
    """

    metric: str
    score: float
    rows: int
    repeats: int
    columns: tuple[ColumnImportance, ...]


@dataclass(frozen=True)
class ClassScores:
    """The scores of one class against the rest, on the test rows. Areas are null if they are undefined."""

    label: str
    rows: int
    precision: float
    recall: float
    f1: float
    roc_auc: float | None
    average_precision: float | None


@dataclass(frozen=True)
class Curve:
    """A curve of one class against the rest, from left to right."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class CalibrationBin:
    """Rows with similar probabilities of a class: their mean, and the share that really has the class."""

    predicted: float
    observed: float
    rows: int


@dataclass(frozen=True)
class Calibration:
    """How the probabilities of one class agree with what happens.

    `error` is the mean distance of the bins from the diagonal, weighted by their rows.
    """

    label: str
    error: float
    bins: tuple[CalibrationBin, ...]


@dataclass(frozen=True)
class ThresholdScores:
    """What a threshold does: rows whose score reaches it are predicted as the positive class."""

    threshold: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Threshold:
    """The threshold with the best F1 of the positive class, which is the rarer one of two.

    It is chosen on the validation rows (`candidates`). `default` and `chosen` are measured on the test rows.
    Without validation rows, one half of the test rows chooses, and the other half measures.
    """

    positive: str
    default: ThresholdScores
    chosen: ThresholdScores
    candidates: tuple[ThresholdScores, ...]


@dataclass(frozen=True)
class ConfusionMatrix:
    """Counts of test rows by true label (rows) and predicted label (columns)."""

    labels: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Classification:
    """What only a classification has. `calibration` is empty for a model without probabilities.

    With two classes, curves are those of the positive class; `threshold` is null with more.
    """

    classes: tuple[ClassScores, ...]
    confusion_matrix: ConfusionMatrix
    roc: tuple[Curve, ...]
    precision_recall: tuple[Curve, ...]
    calibration: tuple[Calibration, ...]
    threshold: Threshold | None


@dataclass(frozen=True)
class Regression:
    """What only a regression has, on the test rows.

    `actual` and `predicted` are a sample of values. `error_quantiles` are those of predicted minus actual, at
    `error_levels`.
    """

    actual: tuple[float, ...]
    predicted: tuple[float, ...]
    error_levels: tuple[float, ...]
    error_quantiles: tuple[float, ...]


@dataclass(frozen=True)
class Report:
    """The report of a training. Unless it says otherwise, a figure is about the test rows.

    Scores are rounded to six digits. `importance` is null for a table that is too wide.
    """

    task: Task
    target: str
    algorithm: str
    split: SplitSummary
    metrics: dict[str, float | None]
    validation_metrics: dict[str, float | None] | None
    best_epoch: int
    learning_curve: tuple[EpochScores, ...]
    importance: Importance | None
    classification: Classification | None
    regression: Regression | None
    warnings: tuple[str, ...]


def decode(content: bytes | str) -> Report:
    """Return a report from its JSON."""
    return msgspec.json.decode(content, type=Report)
