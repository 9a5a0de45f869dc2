"""Choose the threshold of a classification with two classes."""

from collections import Counter

import numpy as np

from app.models.reports.report import Threshold, ThresholdScores
from worker.training.fitted import HeldOut
from worker.training.outputs import Floats
from worker.training.reporting.curves import Flags
from worker.training.reporting.rounding import figure, thinned


def positive_class(classes: tuple[str, ...], labels: Counter[str]) -> str:
    """Return the rarer of two classes; if they are equally frequent, the second one."""
    first, second = classes
    return first if labels[first] < labels[second] else second


def choose(positive: str, validation: HeldOut | None, test: HeldOut) -> Threshold | None:
    """Return the threshold with the best F1 on the validation rows, and what it does on the test rows.

    Without validation rows, every other test row chooses, and the rest measures. The default threshold stays
    unless another one is better. None if there are too few rows to choose and to measure.
    """
    if validation is None:
        validation, test = test.part(slice(0, None, 2)), test.part(slice(1, None, 2))
    if not len(validation.rows) or not len(test.rows):
        return None
    default = 0.5 if test.labels.are_probabilities else 0.0
    chosen_on, chosen_scores = _of_class(positive, validation)
    measured_on, scores = _of_class(positive, test)
    distinct = np.unique(chosen_scores)
    f1 = _f1_of_all(distinct, chosen_on, chosen_scores)
    is_better = f1.max() > _scores_of(default, chosen_on, chosen_scores).f1
    best = float(distinct[f1.argmax()]) if is_better else default
    return Threshold(
        positive=positive,
        default=_scores_of(default, measured_on, scores),
        chosen=_scores_of(best, measured_on, scores),
        candidates=tuple(
            _scores_of(float(distinct[index]), chosen_on, chosen_scores) for index in thinned(len(distinct))
        ),
    )


def _of_class(label: str, held_out: HeldOut) -> tuple[Flags, Floats]:
    predicted = held_out.labels
    return held_out.truth == label, predicted.scores[:, predicted.classes.index(label)]


def _f1_of_all(thresholds: Floats, is_class: Flags, scores: Floats) -> Floats:
    """Return the F1 of each of the sorted thresholds, in one pass over the sorted scores."""
    order = np.argsort(scores, kind="stable")
    below = np.searchsorted(scores[order], thresholds)
    hits = is_class.sum() - np.concatenate(([0], np.cumsum(is_class[order])))[below]
    predicted = len(scores) - below
    f1: Floats = 2 * hits / np.maximum(predicted + is_class.sum(), 1)
    return f1


def _scores_of(threshold: float, is_class: Flags, scores: Floats) -> ThresholdScores:
    is_predicted = scores >= threshold
    hits = int((is_predicted & is_class).sum())
    precision = hits / max(int(is_predicted.sum()), 1)
    recall = hits / max(int(is_class.sum()), 1)
    f1 = 2 * hits / max(int(is_predicted.sum() + is_class.sum()), 1)
    return ThresholdScores(threshold, figure(precision), figure(recall), figure(f1))
