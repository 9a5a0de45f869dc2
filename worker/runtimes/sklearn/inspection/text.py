"""Checks of text vectorizers, whose vocabulary indices become column indices of a sparse matrix."""

from typing import Any, Final

import numpy as np
from sklearn.feature_extraction.text import (
    CountVectorizer,
    HashingVectorizer,
    TfidfTransformer,
    TfidfVectorizer,
)

from worker.runtimes.runtime import UnsafeModel
from worker.runtimes.sklearn.inspection.part import Part
from worker.runtimes.sklearn.inspection.trusted_type import TrustedType

MAX_NGRAM: Final = 100
NUMBERS: Final = (np.float64, np.float32, np.int64, np.int32, float, int)


def _check_analyzer(part: Part) -> None:
    if part.get("input") != "content":
        # It would read the files that rows name, including those of other users.
        raise UnsafeModel([part.name], "it reads files named by its rows")
    part.choice("analyzer", ("word", "char", "char_wb"))
    part.choice("decode_error", ("strict", "ignore", "replace"))
    part.choice("encoding", ("utf-8", "utf8", "latin-1", "latin1", "iso-8859-1", "ascii", "cp1252", "utf-16"))
    sizes = part.sequence("ngram_range", 2)
    is_range = all(type(size) is int for size in sizes) and 1 <= sizes[0] <= sizes[1] <= MAX_NGRAM
    part.ensure(is_range, "ngram_range", f"two integers from 1 to {MAX_NGRAM}")
    part.ensure(any(part.get("dtype") is number for number in NUMBERS), "dtype", "a numeric type")


def _check_counts(part: Part) -> None:
    _check_analyzer(part)
    if part.has("vocabulary_"):
        _check_vocabulary(part, part.get("vocabulary_"))


def _check_tfidf_counts(part: Part) -> None:
    _check_counts(part)
    if part.has("vocabulary_"):
        tfidf = part.object("_tfidf", (TfidfTransformer,))
        size = len(part.get("vocabulary_"))
        if tfidf.has("idf_"):
            part.ensure(tfidf.columns() == size, "_tfidf", "for the words of its vocabulary")
    elif part.has("_tfidf"):
        part.object("_tfidf", (TfidfTransformer,))


def _check_vocabulary(part: Part, vocabulary: Any) -> None:
    part.ensure(type(vocabulary) is dict and len(vocabulary) > 0, "vocabulary_", "a dictionary of words")
    indices = [int(index) if isinstance(index, np.integer) else index for index in vocabulary.values()]
    are_integers = all(type(index) is int for index in indices)
    is_permutation = are_integers and sorted(indices) == list(range(len(indices)))
    part.ensure(is_permutation, "vocabulary_", "a dictionary with a different index for each word")
    part.ensure(all(type(word) is str for word in vocabulary), "vocabulary_", "a dictionary of words")


def _check_hashing(part: Part) -> None:
    _check_analyzer(part)
    part.count("n_features", 1, 2**31 - 1)


def _check_weights(part: Part) -> None:
    columns = part.columns()
    if part.has("idf_"):
        part.array("idf_", (columns,))


TRUSTED: Final = (
    TrustedType(CountVectorizer, "", _check_counts, "vocabulary_ fixed_vocabulary_"),
    TrustedType(TfidfVectorizer, "", _check_tfidf_counts, "vocabulary_ fixed_vocabulary_ _tfidf"),
    TrustedType(HashingVectorizer, "", _check_hashing),
    TrustedType(TfidfTransformer, "n_features_in_", _check_weights, "idf_"),
)
