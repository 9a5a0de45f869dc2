"""Permutation importance: how much worse a model predicts when a column is shuffled.

The work is bounded by counts and not by a clock, so that each attempt at a job reports the same figures. See
Breiman, Random Forests (2001), and `sklearn.inspection.permutation_importance`.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.metrics import r2_score

from app.models.reports.report import MAX_COLUMNS, ColumnImportance, Importance
from app.models.versions import Task
from worker.training.fitted import FittedModel, Predictions, Unseen, part_of
from worker.training.outputs import ClassPredictions
from worker.training.reporting.rounding import figure
from worker.training.split import SPLIT_STREAM, Purpose, Rows

MAX_ROWS: Final = 1000
MIN_ROWS: Final = 20
REPEATS: Final = 3
MAX_PREDICTIONS: Final = 40_000
"""Rows to predict, over all columns and repeats."""

MAX_CELLS: Final = 20_000_000
"""Cells to encode, over all columns and repeats: each predicted row has all columns."""

BLOCK_CELLS: Final = 1_000_000
"""Cells to encode at once."""


def of_columns(unseen: Unseen) -> Importance | None:
    """Return the importance of the columns on a sample of held-out rows; None for too wide a table.

    The score is the balanced accuracy, or R². None also if it is undefined for these rows.
    """
    model, rows = unseen.model, unseen.rows
    names = [column.name for column in model.plan.inputs]
    count = sample_size(len(names), len(rows))
    if count == 0:
        return None
    random = np.random.default_rng((model.plan.splitter.seed, SPLIT_STREAM, Purpose.IMPORTANCE))
    sample = np.sort(random.choice(rows, count, replace=False))
    truth = model.plan.target.values[sample]
    if model.plan.target.task is Task.REGRESSION and np.ptp(truth) == 0:
        return None
    score = _score(truth, model.predict(sample))
    drops = np.array([score - shuffled for shuffled in _shuffled_scores(model, names, sample, random)])
    by_column = drops.reshape(len(names), REPEATS)
    means, deviations = by_column.mean(axis=1), by_column.std(axis=1)
    return Importance(
        metric="r2" if model.plan.target.task is Task.REGRESSION else "balanced_accuracy",
        score=figure(score),
        rows=count,
        repeats=REPEATS,
        columns=tuple(
            ColumnImportance(names[index], figure(means[index]), figure(deviations[index]))
            for index in np.argsort(-means, kind="stable")[:MAX_COLUMNS]
        ),
    )


def sample_size(columns: int, rows: int) -> int:
    """Return how many of the rows to shuffle; 0 if the table is so wide that they would be too few."""
    affordable = min(MAX_PREDICTIONS // columns, MAX_CELLS // columns**2) // REPEATS
    count = min(rows, affordable, MAX_ROWS)
    return count if count >= min(MIN_ROWS, rows) else 0


def _shuffled_scores(
    model: FittedModel, names: Sequence[str], sample: Rows, random: np.random.Generator
) -> Iterator[float]:
    """Yield a score for each column and repeat, predicting many of them at once."""
    count = len(sample)
    orders = [(name, random.permutation(count)) for name in names for _ in range(REPEATS)]
    at_once = max(1, BLOCK_CELLS // (count * len(names)))
    truth = model.plan.target.values[sample]
    for start in range(0, len(orders), at_once):
        block = orders[start : start + at_once]
        predicted = model.predict_cells(_cells(model, block, sample))
        for index in range(len(block)):
            part = part_of(predicted, slice(index * count, (index + 1) * count))
            yield _score(truth, part)


def _cells(
    model: FittedModel, block: Sequence[tuple[str, npt.NDArray[np.intp]]], sample: Rows
) -> dict[str, npt.NDArray[Any]]:
    """Return the sample once for each entry of the block, with the values of one column in another order."""
    cells = {}
    for column in model.plan.inputs:
        values = model.plan.cells[column.name][sample]
        cells[column.name] = np.concatenate(
            [values[order] if name == column.name else values for name, order in block]
        )
    return cells


def _score(truth: npt.NDArray[Any], predicted: Predictions) -> float:
    if not isinstance(predicted, ClassPredictions):
        return float(r2_score(truth, predicted))
    # scikit-learn's function checks its inputs for longer than the model predicts.
    _, classes = np.unique(truth, return_inverse=True)
    recalls = np.bincount(classes, weights=truth == predicted.labels) / np.bincount(classes)
    return float(recalls.mean())
