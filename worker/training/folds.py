"""The predictions of the folds of a cross-validation: each for rows that did not train its model."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from worker.training.checkpoint import FoldRecord, FoldState
from worker.training.fitted import HeldOut
from worker.training.outputs import ClassPredictions
from worker.training.plan import Plan

FAR: Final = 1.0
"""How far below all others the margin of a class is that a fold could not learn."""


def save(record: FoldRecord, predicted: HeldOut) -> FoldState:
    """Return the predictions of a fold as a checkpoint keeps them. A class that it lacks scores lowest."""
    if isinstance(predicted.predicted, np.ndarray):
        return FoldState(record, predicted.predicted.tobytes(), None, are_probabilities=False)
    found = predicted.labels
    return FoldState(
        record, found.scores.tobytes(), [*found.classes, *found.labels.tolist()], found.are_probabilities
    )


def join(plan: Plan, states: Sequence[FoldState]) -> HeldOut:
    """Return the predictions of all folds, with the classes of the target."""
    rows = plan.split.test
    truth = plan.target.values[rows]
    if states[0].labels is None:
        return HeldOut(rows, truth, np.concatenate([np.frombuffer(state.scores) for state in states]))
    are_probabilities = states[0].are_probabilities
    blocks, labels = [], []
    for state in states:
        assert state.labels is not None  # noqa: S101  # as in the first fold
        known = len(state.labels) - state.record.rows
        scores = np.frombuffer(state.scores).reshape(state.record.rows, known)
        lowest = 0.0 if are_probabilities else float(scores.min()) - FAR
        block = np.full((len(scores), len(plan.target.classes)), lowest)
        block[:, np.searchsorted(plan.target.classes, state.labels[:known])] = scores
        blocks.append(block)
        labels += state.labels[known:]
    predicted = ClassPredictions(
        plan.target.classes, np.concatenate(blocks), np.asarray(labels), are_probabilities
    )
    return HeldOut(rows, truth, predicted)
