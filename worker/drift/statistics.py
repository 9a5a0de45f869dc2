"""When two samples differ more than by chance, and enough to matter.

The population stability index (PSI) of two distributions over the same bins is Σ (q − p) · ln(q / p). Credit
scoring reads 0.1 to 0.2 as a small shift and more as a large one (N. Siddiqi, *Credit Risk Scorecards*,
2006). In small samples it is large by chance: of n and m rows from the same distribution over B bins,
PSI / (1/n + 1/m) has about a chi-squared distribution with B − 1 degrees of freedom (B. Yurdakul and
J. Naranjo, *Statistical properties of the population stability index*, Journal of Risk Model Validation,
2020). Both must be exceeded.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

MIN_PSI: Final = 0.2
MIN_MORE_MISSING: Final = 0.05
MIN_UNSEEN_SHARE: Final = 0.01
MIN_UNSEEN_ROWS: Final = 5
MIN_ROWS: Final = 50
"""With fewer rows, no two distributions are compared."""

MIN_EXPECTED: Final = 5.0
"""Bins of which fewer rows are expected are put together, as for a chi-squared test."""

FALSE_ALARMS: Final = 0.001
"""How often a job over rows like those of the training may warn by chance, whatever its number of columns."""


@dataclass(frozen=True)
class Shift:
    """How far a distribution has moved, and from where on that counts."""

    psi: float
    limit: float

    @property
    def counts(self) -> bool:
        """Whether it is large, and more than chance."""
        return self.psi >= self.limit


def shift(trained: Sequence[int], given: Sequence[int], *, comparisons: int) -> Shift | None:
    """Compare the counts of the same bins. None if there are too few rows, or bins, to compare them."""
    rows_trained, rows_given = sum(trained), sum(given)
    if min(rows_trained, rows_given) < MIN_ROWS:
        return None
    bins = _merge_rare(trained, given, rows_given / rows_trained)
    if len(bins) < 2:
        return None
    psi = 0.0
    for in_training, here in bins:
        # Half a row more in each bin: an empty one would make the index infinite.
        p = (in_training + 0.5) / (rows_trained + 0.5 * len(bins))
        q = (here + 0.5) / (rows_given + 0.5 * len(bins))
        psi += (q - p) * math.log(q / p)
    by_chance = _chi_squared(len(bins) - 1, FALSE_ALARMS / comparisons) * (1 / rows_trained + 1 / rows_given)
    return Shift(psi, max(MIN_PSI, by_chance))


def is_more_missing(
    trained: int, rows_trained: int, given: int, rows_given: int, *, comparisons: int
) -> bool:
    """Whether a larger share of the rows has no value, by the test of two proportions."""
    if min(rows_trained, rows_given) < MIN_ROWS:
        return False
    difference = given / rows_given - trained / rows_trained
    pooled = (given + trained) / (rows_given + rows_trained)
    deviation = math.sqrt(pooled * (1 - pooled) * (1 / rows_given + 1 / rows_trained))
    return difference >= MIN_MORE_MISSING and difference > deviation * _normal(FALSE_ALARMS / comparisons)


def has_unseen(categories: Sequence[int], unseen: int, rows_given: int) -> bool:
    """Whether more rows have a new category than new rows like those of the training would have.

    `categories` are the counts of all categories in the training. Of new rows, about as large a share has a
    new one as has one that occurs once (I. J. Good, *Biometrika*, 1953); three times as many count.
    """
    expected = sum(count == 1 for count in categories) / max(1, sum(categories))
    return unseen >= MIN_UNSEEN_ROWS and unseen >= max(MIN_UNSEEN_SHARE, 3 * expected) * rows_given


def _merge_rare(trained: Sequence[int], given: Sequence[int], ratio: float) -> list[tuple[int, int]]:
    """Put the bins together of which few rows are expected: `ratio` for each row of the training."""
    ordered = sorted(zip(trained, given, strict=True))
    rare = [pair for pair in ordered if pair[0] * ratio < MIN_EXPECTED]
    frequent = ordered[len(rare) :]
    merged = sum(pair[0] for pair in rare), sum(pair[1] for pair in rare)
    if merged == (0, 0):
        return frequent
    if merged[0] * ratio < MIN_EXPECTED and frequent:
        smallest = frequent.pop(0)
        merged = merged[0] + smallest[0], merged[1] + smallest[1]
    return [merged, *frequent]


def _normal(tail: float) -> float:
    return NormalDist().inv_cdf(1 - tail)


def _chi_squared(degrees: int, tail: float) -> float:
    """Return the value that a chi-squared variable exceeds with this probability, by Wilson and Hilferty."""
    spread = 2 / (9 * degrees)
    return float(degrees * (1 - spread + _normal(tail) * math.sqrt(spread)) ** 3)
