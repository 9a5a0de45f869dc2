"""Reports as trainings write them."""

from dataclasses import replace
from typing import Any

import msgspec

from app.models.reports.report import (
    Calibration,
    CalibrationBin,
    Classification,
    ClassScores,
    ColumnImportance,
    ConfusionMatrix,
    Curve,
    EpochScores,
    Importance,
    Regression,
    Report,
    SplitSummary,
    Threshold,
    ThresholdScores,
)
from app.models.versions import Task

BINARY = Report(
    task=Task.CLASSIFICATION,
    target="churned",
    algorithm="logistic_regression",
    split=SplitSummary("time", "since", None, 60, 20, 20),
    metrics={"accuracy": 0.85, "f1_macro": 0.8, "log_loss": None},
    validation_metrics={"accuracy": 0.9, "f1_macro": 0.85, "log_loss": None},
    best_epoch=2,
    learning_curve=(
        EpochScores(1, 0.6, 0.65, 0.8, 0.25),
        EpochScores(2, 0.4, 0.5, 0.9, 0.5),
        EpochScores(3, 0.3, 0.55, 0.9, 0.125),
    ),
    importance=Importance(
        "balanced_accuracy",
        0.82,
        20,
        3,
        (ColumnImportance("age", 0.2, 0.02), ColumnImportance("city", 0.0, 0.0)),
    ),
    classification=Classification(
        classes=(
            ClassScores("no", 15, 0.9, 0.95, 0.92, 0.91, 0.96),
            ClassScores("yes", 5, 0.75, 0.6, 0.67, 0.91, 0.7),
        ),
        confusion_matrix=ConfusionMatrix(("no", "yes"), ((14, 1), (2, 3))),
        roc=(Curve("yes", (0.0, 0.07, 1.0), (0.0, 0.6, 1.0)),),
        precision_recall=(Curve("yes", (0.0, 0.6, 1.0), (1.0, 0.75, 0.25)),),
        calibration=(
            Calibration("yes", 0.05, (CalibrationBin(0.1, 0.05, 15), CalibrationBin(0.8, 0.75, 5))),
        ),
        threshold=Threshold(
            "yes",
            ThresholdScores(0.5, 0.75, 0.6, 0.67),
            ThresholdScores(0.35, 0.7, 0.8, 0.75),
            (ThresholdScores(0.2, 0.5, 1.0, 0.67), ThresholdScores(0.35, 0.7, 0.8, 0.75)),
        ),
    ),
    regression=None,
    warnings=("'city': 'n/a' counts as missing in 3 rows.",),
)

NUMBERS = replace(
    BINARY,
    task=Task.REGRESSION,
    target="price",
    algorithm="ridge",
    metrics={"r2": 0.7, "rmse": 2.0, "mae": 1.5},
    validation_metrics=None,
    classification=None,
    regression=Regression((1.0, 2.0, 3.0), (1.5, 1.8, 2.5), (0.0, 0.5, 1.0), (-0.5, -0.2, 0.5)),
)


def as_stored(report: Report) -> dict[str, Any]:
    """Return a report as a handler's result has it."""
    stored: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(report))
    return stored
