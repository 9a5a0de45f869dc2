"""When two samples count as different: large differences that are no chance."""

import math
import random
from collections import Counter

import pytest

from worker.drift import statistics
from worker.drift.statistics import MIN_PSI, MIN_ROWS, has_unseen, is_more_missing

EVEN = [1000] * 10


def shift(trained: list[int], given: list[int], comparisons: int = 10) -> statistics.Shift:
    found = statistics.shift(trained, given, comparisons=comparisons)
    assert found is not None
    return found


def test_the_same_counts_have_an_index_of_zero() -> None:
    assert shift(EVEN, EVEN).psi == pytest.approx(0, abs=1e-12)


def test_the_index_is_the_sum_over_bins() -> None:
    trained, given = [5000, 5000], [8000, 2000]

    found = shift(trained, given)

    expected = (0.8 - 0.5) * math.log(0.8 / 0.5) + (0.2 - 0.5) * math.log(0.2 / 0.5)
    assert found.psi == pytest.approx(expected, rel=1e-3)
    assert found.limit == MIN_PSI
    assert found.counts


def test_a_small_shift_of_many_rows_does_not_count() -> None:
    found = shift([50_000, 50_000], [55_000, 45_000])

    assert 0 < found.psi < MIN_PSI
    assert not found.counts


def test_few_rows_need_a_larger_index_than_many() -> None:
    few = shift(EVEN, [10] * 9 + [35])
    many = shift(EVEN, [1000] * 9 + [3500])

    assert few.limit > many.limit == MIN_PSI
    assert few.psi < few.limit
    assert many.counts


def test_more_columns_need_a_larger_index() -> None:
    given = [6] * 10

    assert shift(EVEN, given, comparisons=400).limit > shift(EVEN, given, comparisons=2).limit


@pytest.mark.parametrize("rows", [0, 1, MIN_ROWS - 1])
def test_too_few_rows_are_not_compared(rows: int) -> None:
    halves = [5000, 5000]
    assert statistics.shift(halves, [rows, 0], comparisons=1) is None
    assert statistics.shift([rows, 0], halves, comparisons=1) is None
    assert not is_more_missing(0, 10_000, rows, max(rows, 1), comparisons=1)


def test_a_single_bin_is_not_compared() -> None:
    assert statistics.shift([10_000], [100], comparisons=1) is None


def test_rare_bins_are_compared_together() -> None:
    trained = [10_000, *[1] * 100]
    given = [100, *[0] * 99, 1]  # one row of a rare category, by chance

    assert not shift_or_none(trained, given)


def test_a_shift_from_a_frequent_category_to_many_rare_ones_counts() -> None:
    assert shift([900, *[1] * 100], [140, *[1] * 60, *[0] * 40]).counts


def test_all_rows_beyond_the_training_count() -> None:
    assert shift([0, *EVEN], [500, *[0] * 10]).counts


@pytest.mark.parametrize("rows", [MIN_ROWS, 200, 5000])
def test_samples_of_the_same_rows_do_not_count(rows: int) -> None:
    chance = random.Random(7)
    shares = [2.0**-place for place in range(12)]

    def sample(count: int) -> list[int]:
        drawn = Counter(chance.choices(range(len(shares)), shares, k=count))
        return [drawn[place] for place in range(len(shares))]

    assert not any(shift_or_none(sample(2000), sample(rows)) for _ in range(100))


def shift_or_none(trained: list[int], given: list[int]) -> bool:
    found = statistics.shift(trained, given, comparisons=1)
    return found is not None and found.counts


@pytest.mark.parametrize(("degrees", "quantile"), [(1, 10.828), (9, 27.877), (99, 148.230)])
def test_the_quantiles_are_those_of_the_tables(degrees: int, quantile: float) -> None:
    assert statistics._chi_squared(degrees, 0.001) == pytest.approx(quantile, rel=0.05)


def test_missing_values_count_from_five_points_on_that_are_no_chance() -> None:
    assert is_more_missing(200, 10_000, 300, 1000, comparisons=10)
    assert not is_more_missing(200, 10_000, 65, 1000, comparisons=10)  # 4.5 points more
    assert not is_more_missing(200, 10_000, 5, 60, comparisons=10)  # 6.3 points, of few rows
    assert not is_more_missing(5000, 10_000, 0, 1000, comparisons=10)  # fewer than before


def test_new_categories_count_from_a_share_on() -> None:
    assert has_unseen([500, 500], 10, 1000)
    assert not has_unseen([500, 500], 9, 1000)
    assert not has_unseen([500, 500], 4, 4)  # the only rows, but few


def test_where_rare_categories_are_usual_new_ones_are_expected() -> None:
    rare = [100, *[1] * 100]  # every second row of the training has a category that occurs once

    assert not has_unseen(rare, 600, 1000)
    assert has_unseen([200], 600, 1000)
