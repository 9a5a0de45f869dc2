"""Counts of hashed words, computed once for all fits on a table: hashing learns nothing from the rows."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.feature_extraction.text import HashingVectorizer

MAX_CHARACTERS: Final = 20_000_000
"""Counts of columns with more characters are not kept: they would take more memory than one fit."""


class WordCounts:
    """Counts the words in text columns of a table, and keeps the counts of each column."""

    def __init__(
        self, cells: Mapping[str, npt.NDArray[Any]], *, max_characters: int = MAX_CHARACTERS
    ) -> None:
        self._cells = cells
        self._max_characters = max_characters
        self._kept: dict[tuple[str, Any], sparse.csr_matrix] = {}

    def of(self, words: HashingVectorizer, name: str, rows: npt.NDArray[np.intp]) -> sparse.csr_matrix:
        """Return what `words` counts in these rows of the column."""
        texts = self._cells[name]
        key = (name, (words.n_features, words.analyzer, words.ngram_range))
        if key not in self._kept:
            if sum(map(len, texts)) > self._max_characters:
                return words.transform(list(texts[rows]))
            self._kept[key] = words.transform(list(texts))
        return self._kept[key][rows]
