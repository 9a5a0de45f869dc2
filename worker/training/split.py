"""Which rows are held out. It depends on the seed and the labels alone, on no library's version."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from worker.context import BadInput

Rows = npt.NDArray[np.intp]

MIN_ROWS: Final = 4
SPLIT_STREAM: Final = 0
"""Its place among the things that the seed decides; epochs count from 1."""


def of_labels(labels: npt.NDArray[Any], fraction: float, seed: int) -> tuple[Rows, Rows]:
    """Rows to learn from and rows to hold out, each class in both by its share. Raises BadInput.

    Every class keeps a row to learn from; a class of one row is therefore never held out.
    """
    _ensure_enough(len(labels))
    random = np.random.default_rng((seed, SPLIT_STREAM))
    of_class = [random.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    held: list[Rows] = []
    owed = 0.0
    for rows in of_class:
        owed += len(rows) * fraction
        taken = min(round(owed), len(rows) - 1)
        owed -= taken
        held.append(rows[:taken])
    if not any(map(len, held)):  # a small share of few rows
        held.append(max(of_class, key=len)[:1])
    return _parted(np.concatenate(held), len(labels), random)


def of_numbers(values: npt.NDArray[np.float64], fraction: float, seed: int) -> tuple[Rows, Rows]:
    """Rows to learn from and rows to hold out. Raises BadInput."""
    _ensure_enough(len(values))
    random = np.random.default_rng((seed, SPLIT_STREAM))
    count = min(max(round(len(values) * fraction), 2), len(values) - 2)
    return _parted(random.permutation(len(values))[:count], len(values), random)


def _parted(held: Rows, count: int, random: np.random.Generator) -> tuple[Rows, Rows]:
    is_held = np.zeros(count, dtype=bool)
    is_held[held] = True
    # In an order of their own: tables often come sorted by what is to be learnt.
    return random.permutation(np.flatnonzero(~is_held)), np.sort(held)


def _ensure_enough(rows: int) -> None:
    if rows < MIN_ROWS:
        raise BadInput(
            f"{rows} rows with a target are too few to learn from; there must be {MIN_ROWS} at least"
        )
