"""A fitted model that can predict rows of its own training table."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from app.models.versions import Task
from worker.training import features, outputs
from worker.training.features import Cells
from worker.training.outputs import ClassPredictions, Floats
from worker.training.plan import Plan
from worker.training.split import Rows
from worker.training.word_counts import WordCounts

Predictions: TypeAlias = ClassPredictions | Floats
"""Predictions of a classification, or values of a regression; one for each row."""


@dataclass(frozen=True)
class FittedModel:
    """A transformer and an estimator, fitted on rows of a plan."""

    plan: Plan
    transformer: Any
    estimator: Any

    def predict(self, rows: Rows) -> Predictions:
        """Predict these rows of the plan."""
        return self._predict(self.plan.cells, rows, self.plan.word_counts)

    def predict_cells(self, cells: Cells) -> Predictions:
        """Predict all rows of other cells, in which every input column has equally many values."""
        count = len(next(iter(cells.values())))
        return self._predict(cells, np.arange(count))

    def held_out(self, rows: Rows) -> "HeldOut":
        """Predict rows on which the model was not fitted."""
        return HeldOut(rows, self.plan.target.values[rows], self.predict(rows))

    def _predict(self, cells: Cells, rows: Rows, counts: WordCounts | None = None) -> Predictions:
        plan = self.plan
        with features.without_warnings():
            matrix = features.transform(self.transformer, plan.inputs, cells, rows, counts)
        if plan.target.task is Task.CLASSIFICATION:
            return outputs.classify(self.estimator, matrix)
        return outputs.estimate(self.estimator, matrix)


@dataclass(frozen=True)
class HeldOut:
    """Predictions for rows that did not train the model, and their true values."""

    rows: Rows
    truth: npt.NDArray[Any]
    predicted: Predictions

    def part(self, wanted: Rows | slice) -> "HeldOut":
        """Return some of the rows with their predictions."""
        return HeldOut(self.rows[wanted], self.truth[wanted], part_of(self.predicted, wanted))

    @property
    def labels(self) -> ClassPredictions:
        """The predictions of a classification."""
        assert isinstance(self.predicted, ClassPredictions)  # noqa: S101  # the caller knows the task
        return self.predicted

    @property
    def values(self) -> Floats:
        """The predictions of a regression."""
        assert isinstance(self.predicted, np.ndarray)  # noqa: S101  # the caller knows the task
        return self.predicted


def are_alike(one: HeldOut, other: HeldOut) -> bool:
    """Whether the scores of two predictions mean the same: both are probabilities, or neither."""
    if not isinstance(one.predicted, ClassPredictions) or not isinstance(other.predicted, ClassPredictions):
        return True  # the values of a regression
    return one.labels.are_probabilities is other.labels.are_probabilities


@dataclass(frozen=True)
class Unseen:
    """A model, and rows from which it did not learn."""

    model: FittedModel
    rows: Rows


def part_of(predicted: Predictions, wanted: Rows | slice) -> Predictions:
    """Return the predictions of some of the rows."""
    if isinstance(predicted, ClassPredictions):
        return ClassPredictions(
            predicted.classes, predicted.scores[wanted], predicted.labels[wanted], predicted.are_probabilities
        )
    return predicted[wanted]
