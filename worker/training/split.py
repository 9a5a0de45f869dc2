"""Split rows into training and validation rows, by the seed and the labels, not by library versions."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from worker.context import BadInput

Rows = npt.NDArray[np.intp]

MIN_ROWS: Final = 4
SPLIT_STREAM: Final = 0
"""The random stream of the split. Epochs use the streams from 1."""


def stratified_split(labels: npt.NDArray[Any], fraction: float, seed: int) -> tuple[Rows, Rows]:
    """Return the indices of training and validation rows, each class in proportion. Raises BadInput.

    Every class keeps at least one training row, so a class of one row has no validation row.
    """
    _check_row_count(len(labels))
    random = np.random.default_rng((seed, SPLIT_STREAM))
    rows_by_class = [random.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    validation: list[Rows] = []
    owed = 0.0  # carries fractions of rows over to the next class
    for rows in rows_by_class:
        owed += len(rows) * fraction
        taken = min(round(owed), len(rows) - 1)
        owed -= taken
        validation.append(rows[:taken])
    if not any(map(len, validation)):  # a small fraction of few rows
        validation.append(max(rows_by_class, key=len)[:1])
    return _split(np.concatenate(validation), len(labels), random)


def random_split(values: npt.NDArray[np.float64], fraction: float, seed: int) -> tuple[Rows, Rows]:
    """Return the indices of training and validation rows. Raises BadInput."""
    _check_row_count(len(values))
    random = np.random.default_rng((seed, SPLIT_STREAM))
    count = min(max(round(len(values) * fraction), 2), len(values) - 2)
    return _split(random.permutation(len(values))[:count], len(values), random)


def _split(validation: Rows, count: int, random: np.random.Generator) -> tuple[Rows, Rows]:
    is_validation = np.zeros(count, dtype=bool)
    is_validation[validation] = True
    # Shuffle the training rows, because tables are often sorted by the target.
    return random.permutation(np.flatnonzero(~is_validation)), np.sort(validation)


def _check_row_count(rows: int) -> None:
    if rows < MIN_ROWS:
        raise BadInput(f"only {rows} rows have a target; a training needs at least {MIN_ROWS}")
