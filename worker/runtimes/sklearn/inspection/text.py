"""Text vectorizers. The words' places in the vocabulary become places in a sparse matrix."""

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
        # It would read the files that a row names, other users' among them.
        raise UnsafeModel([part.name], "it takes its input from files")
    part.choice("analyzer", ("word", "char", "char_wb"))
    part.choice("decode_error", ("strict", "ignore", "replace"))
    part.choice("encoding", ("utf-8", "utf8", "latin-1", "latin1", "iso-8859-1", "ascii", "cp1252", "utf-16"))
    sizes = part.sequence("ngram_range", 2)
    is_range = all(type(size) is int for size in sizes) and 1 <= sizes[0] <= sizes[1] <= MAX_NGRAM
    part.ensure(is_range, "ngram_range", f"two integers from 1 to {MAX_NGRAM}")
    part.ensure(any(part.get("dtype") is number for number in NUMBERS), "dtype", "a type of numbers")


def _check_counts(part: Part) -> None:
    _check_analyzer(part)
    if part.has("vocabulary_"):
        _check_vocabulary(part, part.get("vocabulary_"))


def _check_tfidf_counts(part: Part) -> None:
    _check_counts(part)
    if part.has("vocabulary_"):
        weights = part.object("_tfidf", (TfidfTransformer,))
        size = len(part.get("vocabulary_"))
        if weights.has("idf_"):
            part.ensure(weights.columns() == size, "_tfidf", "for the words of its vocabulary")
    elif part.has("_tfidf"):
        part.object("_tfidf", (TfidfTransformer,))


def _check_vocabulary(part: Part, vocabulary: Any) -> None:
    part.ensure(type(vocabulary) is dict and len(vocabulary) > 0, "vocabulary_", "a dictionary of words")
    places = [int(place) if isinstance(place, np.integer) else place for place in vocabulary.values()]
    is_each_once = all(type(place) is int for place in places) and sorted(places) == list(range(len(places)))
    part.ensure(is_each_once, "vocabulary_", "a place for each word, each once")
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
