"""Compute the metrics of a model row by row, in a state of bounded size.

Counts and sums suffice for every metric but the area under the ROC curve, and they are exact over any
number of rows. For that area the state keeps the scores of a sample of rows: all of them up to
`MAX_SAMPLED_SCORES`. Whether a row is in the sample depends only on its number, so interruptions do not
change the sample.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, Self

import msgspec
import numpy as np
from sklearn.metrics import roc_auc_score

from worker import cells
from worker.cells import BadCell
from worker.context import BadInput, JobError, RowError
from worker.labels import LabelMatcher
from worker.training.metrics import MAX_MATRIX_CLASSES, OTHERS

MAX_CLASSES: Final = 1000
MAX_SAMPLED_SCORES: Final = 40_000
"""The sample is part of the checkpoint, which is sent with each batch."""

_MIN_PROBABILITY: Final = 1e-15
_GOLDEN: Final = 0x9E3779B97F4A7C15
_WORD: Final = 2**64


class NotComparable(JobError):
    """The model predicts neither labels nor values; never retried."""

    def __init__(self) -> None:
        message = (
            "the model predicts neither labels nor values, so its outputs cannot be compared with a target"
        )
        super().__init__("not_comparable", message, is_retryable=False)


class _SampledRow(msgspec.Struct):
    """One row of the sample. `scores` are in the order of the state's `score_names`."""

    row: int
    truth: str
    scores: list[float]


class _State(msgspec.Struct):
    """The statistics of all rows so far."""

    # Classification. `counts` is the confusion matrix: rows by true and predicted label.
    counts: dict[str, dict[str, int]] = {}
    log_loss: float = 0.0
    are_probabilities: bool = True
    are_known: bool = True  # every true label so far has a score
    score_names: list[str] = []
    sample: list[_SampledRow] = []
    sampled_share: int = 1

    # Regression. The mean of the true values and the sum of squares around it, by Welford's method.
    values: int = 0
    mean: float = 0.0
    squares_around_mean: float = 0.0
    squared_errors: float = 0.0
    absolute_errors: float = 0.0


class Evaluation:
    """Compares predictions with true values. `classes` are those of the model, if they are known."""

    def __init__(self, state: _State | None = None, classes: Sequence[str] | None = None) -> None:
        self._state = state or _State()
        self._matcher = None if classes is None else LabelMatcher(classes)

    @classmethod
    def from_checkpoint(cls, checkpoint: bytes | None, classes: Sequence[str] | None = None) -> Self:
        """Resume from a checkpoint; without one, start at the first row. Raises BadInput."""
        if checkpoint is None:
            return cls(None, classes)
        try:
            return cls(msgspec.msgpack.decode(checkpoint, type=_State), classes)
        except msgspec.MsgspecError as error:
            raise BadInput(f"the checkpoint cannot be read: {error}") from error

    def checkpoint(self) -> bytes:
        """Return the state for another attempt to resume from."""
        return msgspec.msgpack.encode(self._state)

    def compare(self, row: int, prediction: Any, target: Any) -> dict[str, Any] | RowError:
        """Count one row. Returns the prediction with its `target`, or a RowError for an invalid row.

        Raises NotComparable, and BadInput if the target has too many different values to be classes.
        """
        match prediction:
            case {"label": label}:
                return self._add_label(row, label, prediction, target)
            case {"value": int() | float() as value}:
                return self._add_value(value, prediction, target)
            case _:
                raise NotComparable

    def result(self) -> dict[str, Any]:
        """Return the metrics, None for an undefined one. Rows of the confusion matrix are true labels."""
        state = self._state
        if state.values:
            result: dict[str, Any] = {
                "metrics": self._regression_metrics(),
                "confusion_matrix": None,
                "classes": None,
            }
        elif not state.counts:
            result = {"metrics": {}, "confusion_matrix": None, "classes": None}
        else:
            result = {
                "metrics": self._classification_metrics(),
                "confusion_matrix": self._confusion_matrix(),
                "classes": self._classes(),
            }
        warnings = [] if self._matcher is None else self._matcher.warnings(self._support())
        return {**result, "warnings": warnings}

    def _add_label(
        self, row: int, predicted: Any, prediction: dict[str, Any], target: Any
    ) -> dict[str, Any] | RowError:
        truth, label = cells.to_label(target), cells.to_label(predicted)
        if truth and self._matcher is not None:
            truth = self._matcher.match(truth)
        scores: dict[str, Any] = prediction.get("scores") or {}
        if not truth:
            return RowError("missing_target", "the target is missing")
        if label is None or not all(_is_finite(score) for score in scores.values()):
            return RowError("no_label", "the model returned no label, or scores that are not finite numbers")
        state = self._state
        counts = state.counts.setdefault(truth, {})
        counts[label] = counts.get(label, 0) + 1
        if len(state.counts) > MAX_CLASSES:
            raise BadInput(
                f"the target has more than {MAX_CLASSES} different values, too many to be classes;"
                " name the column that holds the labels"
            )
        self._add_scores(row, truth, scores)
        return {**prediction, "target": truth}

    def _add_scores(self, row: int, truth: str, scores: dict[str, float]) -> None:
        state = self._state
        if not state.score_names:
            state.score_names = list(scores)
        if not scores or list(scores) != state.score_names:
            state.are_probabilities = state.are_known = False
            return
        values = list(scores.values())
        if min(values) < 0 or max(values) > 1 or not math.isclose(sum(values), 1.0, abs_tol=1e-3):
            state.are_probabilities = False
        if truth not in scores:
            state.are_known = False
            return
        state.log_loss -= math.log(max(scores[truth], _MIN_PROBABILITY))
        if _hash(row) % state.sampled_share == 0:
            state.sample.append(_SampledRow(row, truth, [float(value) for value in values]))
        while len(state.sample) * len(values) > MAX_SAMPLED_SCORES and len(state.sample) > 1:
            state.sampled_share *= 2
            state.sample = [
                sampled for sampled in state.sample if _hash(sampled.row) % state.sampled_share == 0
            ]

    def _add_value(self, value: float, prediction: dict[str, Any], target: Any) -> dict[str, Any] | RowError:
        try:
            truth = cells.parse_number(target)
        except BadCell as error:
            return RowError("bad_target", f"the target: {error}")
        if math.isnan(truth):
            return RowError("missing_target", "the target is missing")
        if not _is_finite(value):
            return RowError("no_value", f"the model returned {value}, which is not a finite number")
        state = self._state
        state.values += 1
        delta = truth - state.mean
        state.mean += delta / state.values
        state.squares_around_mean += delta * (truth - state.mean)
        state.squared_errors += (truth - value) ** 2
        state.absolute_errors += abs(truth - value)
        return {**prediction, "target": truth}

    def _regression_metrics(self) -> dict[str, Any]:
        state = self._state
        total = state.squares_around_mean
        return {
            "r2": 1 - state.squared_errors / total if total > 0 else None,
            "rmse": math.sqrt(state.squared_errors / state.values),
            "mae": state.absolute_errors / state.values,
        }

    def _classification_metrics(self) -> dict[str, Any]:
        state = self._state
        support = self._support()
        predicted: Counter[str] = Counter()
        for counts in state.counts.values():
            predicted.update(counts)
        rows = sum(support.values())
        hits = {truth: counts.get(truth, 0) for truth, counts in state.counts.items()}
        # F1 = 2·TP / (2·TP + FP + FN) = 2·TP / (rows of the class + rows predicted as the class).
        f1 = {
            label: 2 * hits.get(label, 0) / (support.get(label, 0) + predicted[label])
            for label in self._classes()
        }
        return {
            "accuracy": sum(hits.values()) / rows,
            "balanced_accuracy": sum(hits[truth] / support[truth] for truth in support) / len(support),
            "f1_macro": sum(f1.values()) / len(f1),
            "f1_weighted": sum(f1[truth] * support[truth] for truth in support) / rows,
            "log_loss": state.log_loss / rows if state.are_known and state.are_probabilities else None,
            "roc_auc": self._roc_auc(),
        }

    def _roc_auc(self) -> float | None:
        """Return the mean of one-versus-rest areas; None if a class does not occur among the true labels."""
        state = self._state
        truth = np.array([row.truth for row in state.sample])
        if not state.are_known or set(truth.tolist()) != set(state.score_names) or len(state.score_names) < 2:
            return None
        scores = np.array([row.scores for row in state.sample])
        areas = [
            roc_auc_score(truth == name, scores[:, index]) for index, name in enumerate(state.score_names)
        ]
        return float(np.mean(areas))

    def _confusion_matrix(self) -> dict[str, Any]:
        """Keep the MAX_MATRIX_CLASSES most frequent classes and merge the rest into one."""
        counts = self._state.counts
        names = self._classes()
        if len(names) > MAX_MATRIX_CLASSES:
            by_support = sorted(names, key=lambda name: -sum(counts.get(name, {}).values()))
            names = [*sorted(by_support[:MAX_MATRIX_CLASSES]), OTHERS]
        indices = {name: index for index, name in enumerate(names)}
        matrix = [[0] * len(names) for _ in names]
        for truth, predicted in counts.items():
            for label, rows in predicted.items():
                matrix[indices.get(truth, -1)][indices.get(label, -1)] += rows
        return {"labels": names, "matrix": matrix}

    def _support(self) -> dict[str, int]:
        """Return the number of rows by true label."""
        return {truth: sum(counts.values()) for truth, counts in self._state.counts.items()}

    def _classes(self) -> list[str]:
        """Return all true and all predicted labels, sorted."""
        counts = self._state.counts
        return sorted({*counts, *(label for predicted in counts.values() for label in predicted)})


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _hash(row: int) -> int:
    """Return a hash of a row number (Fibonacci hashing), so that a sample is not simply every n-th row."""
    return (row * _GOLDEN % _WORD) >> 20
