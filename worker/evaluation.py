"""How good a model is, counted row by row in a state of bounded size.

Rows come once and are forgotten: what the metrics need of them is kept as counts and sums, which are exact
over any number of rows. Only the area under the ROC curve needs the scores themselves; of these a sample is
kept, which is all of them up to `MAX_SAMPLED_SCORES`. A row is in the sample by its number alone, so that the
same rows are in it however often the evaluation was interrupted.
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
from worker.labels import Labels
from worker.training.metrics import MAX_CONFUSED, OTHERS

MAX_CLASSES: Final = 1000
MAX_SAMPLED_SCORES: Final = 40_000
"""They travel with each batch."""

_LEAST_PROBABILITY: Final = 1e-15
_GOLDEN: Final = 0x9E3779B97F4A7C15
_WORD: Final = 2**64


class NotComparable(JobError):
    """What the model says is no label and no value; never retried."""

    def __init__(self) -> None:
        message = "the model gives neither labels nor values; there is nothing to compare with the target"
        super().__init__("not_comparable", message, is_retryable=False)


class _Sampled(msgspec.Struct):
    """One row of the sample: its number, its true class, and the scores in the order of the state's names."""

    row: int
    truth: str
    scores: list[float]


class _State(msgspec.Struct):
    """All that is kept of the rows so far."""

    # Classification
    counts: dict[str, dict[str, int]] = {}
    log_loss: float = 0.0
    are_probabilities: bool = True
    are_known: bool = True
    score_names: list[str] = []
    sample: list[_Sampled] = []
    sampled_share: int = 1

    # Regression: of the true values their mean and the sum of squares around it, by Welford's method.
    values: int = 0
    mean: float = 0.0
    squares_around_mean: float = 0.0
    squared_errors: float = 0.0
    absolute_errors: float = 0.0


class Evaluation:
    """The comparison of predictions with what is true, row after row."""

    def __init__(self, state: _State | None = None, classes: Sequence[str] | None = None) -> None:
        self._state = state or _State()
        self._known = None if classes is None else Labels(classes)

    @classmethod
    def resumed(cls, checkpoint: bytes | None, classes: Sequence[str] | None = None) -> Self:
        """Go on after the rows that a checkpoint has seen. `classes` are the model's. Raises BadInput."""
        if checkpoint is None:
            return cls(None, classes)
        try:
            return cls(msgspec.msgpack.decode(checkpoint, type=_State), classes)
        except msgspec.MsgspecError as error:
            raise BadInput(f"the checkpoint cannot be read: {error}") from error

    def checkpoint(self) -> bytes:
        """What another attempt needs to go on."""
        return msgspec.msgpack.encode(self._state)

    def compare(self, row: int, prediction: Any, target: Any) -> dict[str, Any] | RowError:
        """Count one row; gives the prediction with its `target`, or why the row cannot be counted.

        Raises NotComparable, and BadInput for a target that has too many values to be a class.
        """
        match prediction:
            case {"label": label}:
                return self._classified(row, label, prediction, target)
            case {"value": int() | float() as value}:
                return self._estimated(value, prediction, target)
            case _:
                raise NotComparable

    def result(self) -> dict[str, Any]:
        """The metrics; one that is not defined is None. The confusion matrix has rows of truth."""
        state = self._state
        if state.values:
            found: dict[str, Any] = {"metrics": self._of_values(), "confusion_matrix": None, "classes": None}
        elif not state.counts:
            found = {"metrics": {}, "confusion_matrix": None, "classes": None}
        else:
            found = {
                "metrics": self._of_labels(),
                "confusion_matrix": self._confusion_matrix(),
                "classes": self._classes(),
            }
        warnings = [] if self._known is None else self._known.doubts(self._support())
        return {**found, "warnings": warnings}

    def _support(self) -> dict[str, int]:
        """How many rows there are of each true class."""
        return {truth: sum(said.values()) for truth, said in self._state.counts.items()}

    def _classified(
        self, row: int, said: Any, prediction: dict[str, Any], target: Any
    ) -> dict[str, Any] | RowError:
        truth, label = cells.label(target), cells.label(said)
        if truth and self._known is not None:
            truth = self._known.label(truth)
        scores: dict[str, Any] = prediction.get("scores") or {}
        if not truth:
            return RowError("missing_target", "the row does not say what is true")
        if label is None or not all(_is_finite(score) for score in scores.values()):
            return RowError("no_label", "the model gave no label, or scores that are no numbers")
        state = self._state
        confused = state.counts.setdefault(truth, {})
        confused[label] = confused.get(label, 0) + 1
        if len(state.counts) > MAX_CLASSES:
            raise BadInput(
                f"the target has more than {MAX_CLASSES} different values, which cannot be classes"
            )
        self._count_scores(row, truth, scores)
        return {**prediction, "target": truth}

    def _count_scores(self, row: int, truth: str, scores: dict[str, float]) -> None:
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
        state.log_loss -= math.log(max(scores[truth], _LEAST_PROBABILITY))
        if _mixed(row) % state.sampled_share == 0:
            state.sample.append(_Sampled(row, truth, [float(value) for value in values]))
        while len(state.sample) * len(values) > MAX_SAMPLED_SCORES and len(state.sample) > 1:
            state.sampled_share *= 2
            state.sample = [kept for kept in state.sample if _mixed(kept.row) % state.sampled_share == 0]

    def _estimated(self, value: float, prediction: dict[str, Any], target: Any) -> dict[str, Any] | RowError:
        try:
            truth = cells.number(target)
        except BadCell as error:
            return RowError("bad_target", f"the target: {error}")
        if math.isnan(truth):
            return RowError("missing_target", "the row does not say what is true")
        if not _is_finite(value):
            return RowError("no_value", f"the model gave {value}, which is no number")
        state = self._state
        state.values += 1
        step = truth - state.mean
        state.mean += step / state.values
        state.squares_around_mean += step * (truth - state.mean)
        state.squared_errors += (truth - value) ** 2
        state.absolute_errors += abs(truth - value)
        return {**prediction, "target": truth}

    def _of_values(self) -> dict[str, Any]:
        state = self._state
        spread = state.squares_around_mean
        return {
            "r2": 1 - state.squared_errors / spread if spread > 0 else None,
            "rmse": math.sqrt(state.squared_errors / state.values),
            "mae": state.absolute_errors / state.values,
        }

    def _of_labels(self) -> dict[str, Any]:
        state = self._state
        support = self._support()
        predicted: Counter[str] = Counter()
        for said in state.counts.values():
            predicted.update(said)
        rows = sum(support.values())
        hits = {truth: said.get(truth, 0) for truth, said in state.counts.items()}
        # F1 = 2·TP / (2·TP + FP + FN), which is 2·TP / (rows that are it + rows that are said to be it).
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
        """One class against the rest, the mean over classes; None where a class is missing from the truth."""
        state = self._state
        truth = np.array([row.truth for row in state.sample])
        if not state.are_known or set(truth.tolist()) != set(state.score_names) or len(state.score_names) < 2:
            return None
        scores = np.array([row.scores for row in state.sample])
        areas = [
            roc_auc_score(truth == name, scores[:, place]) for place, name in enumerate(state.score_names)
        ]
        return float(np.mean(areas))

    def _confusion_matrix(self) -> dict[str, Any]:
        """With many classes the most frequent ones are shown, the rest as one."""
        counts = self._state.counts
        names = self._classes()
        if len(names) > MAX_CONFUSED:
            by_support = sorted(names, key=lambda name: -sum(counts.get(name, {}).values()))
            names = [*sorted(by_support[:MAX_CONFUSED]), OTHERS]
        places = {name: place for place, name in enumerate(names)}
        matrix = [[0] * len(names) for _ in names]
        for truth, said in counts.items():
            for label, rows in said.items():
                matrix[places.get(truth, -1)][places.get(label, -1)] += rows
        return {"labels": names, "matrix": matrix}

    def _classes(self) -> list[str]:
        counts = self._state.counts
        return sorted({*counts, *(label for said in counts.values() for label in said)})


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _mixed(row: int) -> int:
    """A number that depends on the row's in no simple way, so that a sample is not every second row."""
    return (row * _GOLDEN % _WORD) >> 20
