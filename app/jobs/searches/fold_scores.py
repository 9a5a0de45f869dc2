"""The value of a trial with folds: the mean of those of its folds."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev


@dataclass(frozen=True)
class FoldScores:
    """Mean and standard deviation of a metric over the folds; the deviation is that of these very values."""

    mean: float
    std: float


def summarize(values: Sequence[float | None]) -> FoldScores | None:
    """Summarise the values of all folds; None if there are none, or a fold has none."""
    found = [value for value in values if value is not None]
    if not found or len(found) < len(values):
        return None
    return FoldScores(fmean(found), pstdev(found))
