"""Measure a trained model on the rows that neither trained nor chose it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from app.models.reports.report import SplitSummary
from app.models.versions import Task
from worker.training import data_warnings, held_out, metrics
from worker.training.checkpoint import EpochRecord
from worker.training.fitted import FittedModel, HeldOut, Unseen
from worker.training.plan import Plan
from worker.training.reporting import report


@dataclass(frozen=True)
class Course:
    """How a training went: the names of target and algorithm, the epochs, and the warnings."""

    target: str
    algorithm: str
    history: Sequence[EpochRecord]
    best_epoch: int
    warnings: Sequence[str]
    keeps_held_out: bool = False
    """Whether the result has the predictions for the test rows, as a table."""


def measure(model: FittedModel, course: Course, tested: HeldOut, unseen: Unseen) -> dict[str, Any]:
    """Return the members of a training's result that say how good the model is.

    `metrics` are those of `tested`: of the test rows, or of the out-of-fold predictions of a
    cross-validation. `validation_metrics` are those of the rows that chose the model, None if there are none.
    `report` is a `Report`, which the completion stores beside the version. `held_out` is a table, for the
    handler to write.
    """
    plan = model.plan
    validated = model.held_out(plan.split.main.validation) if len(plan.split.main.validation) else None
    scores = scores_of(plan, tested)
    validation_scores = None if validated is None else scores_of(plan, validated)
    split = describe_split(plan)
    measured: dict[str, Any] = {
        "metrics": scores,
        "validation_metrics": validation_scores,
        "split": asdict(split),
        "report": report.build(
            plan,
            target=course.target,
            algorithm=course.algorithm,
            validation=validated,
            test=tested,
            unseen=unseen,
            scores=scores,
            validation_scores=validation_scores,
            split=split,
            history=course.history,
            best_epoch=course.best_epoch,
            warned=course.warnings,
        ),
    }
    if course.keeps_held_out:
        measured["held_out"] = held_out.table(model, tested, course.target)
    if plan.target.task is Task.REGRESSION:
        return {**scores, **measured}
    return {
        "accuracy": scores["accuracy"],
        **measured,
        "classes": list(plan.target.classes),
        "class_balance": data_warnings.class_balance(plan.target, plan.split),
        "confusion_matrix": metrics.confusion_matrix(tested.truth, tested.labels.labels),
    }


def measure_fold(model: FittedModel) -> dict[str, Any]:
    """Return how good the model is on the fold that it did not learn from, as members of the result."""
    plan = model.plan
    scores = scores_of(plan, model.held_out(plan.split.test))
    measured = {"metrics": scores, "split": asdict(describe_split(plan))}
    if plan.target.task is Task.REGRESSION:
        return {**scores, **measured}
    return {"accuracy": scores["accuracy"], **measured, "classes": list(plan.target.classes)}


def scores_of(plan: Plan, found: HeldOut) -> dict[str, Any]:
    """Return the metrics of held-out predictions, None for one that is undefined."""
    if plan.target.task is Task.REGRESSION:
        return metrics.regression_metrics(found.truth, found.values)
    return metrics.classification_metrics(found.truth, found.labels)


def score_of(plan: Plan, found: HeldOut, metric: str) -> float | None:
    """Return one of the `scores_of` held-out predictions."""
    if plan.target.task is Task.REGRESSION:
        value: float | None = metrics.regression_metrics(found.truth, found.values)[metric]
        return value
    return metrics.classification_metric(metric, found.truth, found.labels)


def describe_split(plan: Plan) -> SplitSummary:
    """Return how the rows were split, and how many are for what."""
    split = plan.split
    return SplitSummary(
        method=split.method,
        column=plan.split_column,
        folds=len(split.folds) or None,
        train_rows=len(split.main.train),
        validation_rows=len(split.main.validation),
        test_rows=len(split.test),
    )
