"""Build the report of a training."""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from sklearn.metrics import precision_recall_fscore_support

from app.models.reports.report import (
    MAX_CLASSES,
    MAX_CURVES,
    MAX_PAIRS,
    Classification,
    ClassScores,
    ConfusionMatrix,
    EpochScores,
    Regression,
    Report,
    SplitSummary,
)
from app.models.versions import Task
from worker.training import metrics
from worker.training.checkpoint import EpochRecord
from worker.training.fitted import HeldOut, Unseen
from worker.training.plan import Plan
from worker.training.reporting import curves, importance, thresholds
from worker.training.reporting.rounding import figure, figures, thinned

ERROR_LEVELS: Final = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
MAX_EPOCHS: Final = 200


def build(
    plan: Plan,
    *,
    target: str,
    algorithm: str,
    validation: HeldOut | None,
    test: HeldOut,
    unseen: Unseen,
    scores: Mapping[str, Any],
    validation_scores: Mapping[str, Any] | None,
    split: SplitSummary,
    history: Sequence[EpochRecord],
    best_epoch: int,
    warned: Sequence[str],
) -> Report:
    """Return the report of a training by its predictions for held-out rows.

    The importance of the columns is that for `unseen`, as it needs a model.
    """
    is_classification = plan.target.task is Task.CLASSIFICATION
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about classes that do not occur or are never predicted
        return Report(
            task=plan.target.task,
            target=target,
            algorithm=algorithm,
            split=split,
            metrics=_rounded(scores),
            validation_metrics=None if validation_scores is None else _rounded(validation_scores),
            best_epoch=best_epoch,
            learning_curve=_learning_curve(history),
            importance=importance.of_columns(unseen),
            classification=_classification(plan, validation, test) if is_classification else None,
            regression=None if is_classification else _regression(test),
            warnings=tuple(warned),
        )


def _classification(plan: Plan, validation: HeldOut | None, test: HeldOut) -> Classification:
    predicted = test.labels
    counts = Counter(plan.target.values.tolist())
    by_frequency = [label for label, _ in counts.most_common()]
    is_binary = len(predicted.classes) == 2
    positive = thresholds.positive_class(predicted.classes, counts) if is_binary else None
    drawn = [positive] if positive is not None else by_frequency[:MAX_CURVES]
    flags = {label: test.truth == label for label in by_frequency[:MAX_CLASSES]}
    scores = {label: predicted.scores[:, predicted.classes.index(label)] for label in flags}
    # A curve needs rows of the class and of others.
    curved = [label for label in drawn if flags[label].any() and not flags[label].all()]
    matrix = metrics.confusion_matrix(test.truth, predicted.labels)
    return Classification(
        classes=_class_scores(list(flags), test, flags, scores),
        confusion_matrix=ConfusionMatrix(
            tuple(matrix["labels"]), tuple(tuple(counts_of_row) for counts_of_row in matrix["matrix"])
        ),
        roc=tuple(curves.roc(label, flags[label], scores[label]) for label in curved),
        precision_recall=tuple(
            curves.precision_recall(label, flags[label], scores[label]) for label in curved
        ),
        calibration=tuple(
            curves.calibration(label, flags[label], scores[label])
            for label in (drawn if predicted.are_probabilities else [])
        ),
        threshold=None if positive is None else thresholds.choose(positive, validation, test),
    )


def _class_scores(
    labels: Sequence[str],
    test: HeldOut,
    flags: Mapping[str, curves.Flags],
    scores: Mapping[str, Any],
) -> tuple[ClassScores, ...]:
    precision, recall, f1, rows = precision_recall_fscore_support(
        test.truth, test.labels.labels, labels=list(labels), zero_division=0
    )
    found = []
    for index, label in enumerate(labels):
        roc_auc, average_precision = curves.areas(flags[label], scores[label])
        found.append(
            ClassScores(
                label=label,
                rows=int(rows[index]),
                precision=figure(precision[index]),
                recall=figure(recall[index]),
                f1=figure(f1[index]),
                roc_auc=roc_auc,
                average_precision=average_precision,
            )
        )
    return tuple(found)


def _regression(test: HeldOut) -> Regression:
    order = np.argsort(test.truth, kind="stable")
    sample = order[thinned(len(order), MAX_PAIRS)]
    errors = test.values - test.truth
    return Regression(
        actual=figures(test.truth[sample]),
        predicted=figures(test.values[sample]),
        error_levels=ERROR_LEVELS,
        error_quantiles=figures(np.quantile(errors, ERROR_LEVELS)),
    )


def _learning_curve(history: Sequence[EpochRecord]) -> tuple[EpochScores, ...]:
    if not history:
        return ()
    shown = [history[index] for index in thinned(len(history), MAX_EPOCHS)]
    return tuple(
        EpochScores(
            record.epoch,
            figure(record.train_loss),
            None if record.valid_loss is None else figure(record.valid_loss),
            record.valid_r2 if record.valid_accuracy is None else record.valid_accuracy,
            record.seconds,
        )
        for record in shown
    )


def _rounded(scores: Mapping[str, Any]) -> dict[str, float | None]:
    return {name: None if value is None else figure(value) for name, value in scores.items()}
