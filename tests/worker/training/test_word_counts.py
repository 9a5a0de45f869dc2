"""Counts of words that are kept for other fits."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.feature_extraction.text import HashingVectorizer

from worker.training.word_counts import WordCounts

TEXTS = np.array(["a good day", "", "bad news, bad day", "news"], dtype=object)


class Counting(HashingVectorizer):  # type: ignore[misc]  # scikit-learn has no types
    """Tells how many texts it was given."""

    counted = 0

    def transform(self, X: Any) -> Any:  # the name of scikit-learn
        """Count words."""
        self.counted += len(X)
        return super().transform(X)


def words(**options: Any) -> Counting:
    return Counting(n_features=2**10, alternate_sign=False, norm=None, **options)


@pytest.mark.parametrize("rows", [[0, 1, 2, 3], [2, 0], [1], []])
def test_the_counts_of_rows_are_those_of_their_texts(rows: list[int]) -> None:
    counts = WordCounts({"text": TEXTS})
    wanted: npt.NDArray[np.intp] = np.array(rows, dtype=np.intp)
    counts.of(words(), "text", np.array([3]))

    found = counts.of(words(), "text", wanted)

    assert found.shape == (len(rows), 2**10)
    if rows:
        assert (found != words().transform(list(TEXTS[wanted]))).nnz == 0


def test_texts_are_counted_once_for_each_way_to_count() -> None:
    counts, single, pairs = WordCounts({"text": TEXTS}), words(), words(ngram_range=(1, 2))

    for rows in ([0, 1], [2, 3], [0, 3]):
        counts.of(single, "text", np.array(rows))
    found = counts.of(pairs, "text", np.array([0]))

    assert single.counted == pairs.counted == len(TEXTS)
    assert found.nnz == 3  # good, day, and both as a pair: a single letter is no word


def test_the_counts_of_long_columns_are_not_kept() -> None:
    counts, single = WordCounts({"text": TEXTS}, max_characters=10), words()

    counts.of(single, "text", np.array([0]))
    counts.of(single, "text", np.array([0]))

    assert single.counted == 2
