"""Encode columns as the numeric features of an algorithm: the first step of every pipeline trained here.

The transformer is plain scikit-learn and takes plain rows, so that the artifact works without Headrace: a
list of texts if the only column is text, else a two-dimensional array with the columns in the model's
order. Its parts are fitted separately, on typed arrays, because one table of Python objects would take many
times the memory.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.feature_selection import VarianceThreshold
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    SplineTransformer,
    StandardScaler,
)

from worker.cells import Content
from worker.training import memory
from worker.training.columns import Column
from worker.training.word_counts import WordCounts

Cells = Mapping[str, npt.NDArray[Any]]
Matrix = Any
"""Encoded features, one row for each row: a dense array or a sparse CSR matrix of float64."""

BLOCK_ROWS: Final = 8192

MISSING_CATEGORY: Final = "(missing)"
MAX_ONE_HOT: Final = 1000
MAX_DENSE_ONE_HOT: Final = 100
MAX_ORDINALS: Final = 250
"""Histogram boosting has 255 bins, of which infrequent categories share one and missing values have one."""

# Hashing needs no vocabulary, so that the artifact stays small and loads fast.
TEXT_BUCKETS: Final = 2**18
DENSE_TEXT_BUCKETS: Final = 2**13
DENSE_TEXT_WIDTH: Final = 64
TOKENIZER_SAMPLE: Final = 1000
"""The rows whose texts choose between words and characters."""

RARE_WORD_ROWS: Final = 100
"""From this many rows on, words that occur in a single row are left out."""


@dataclass(frozen=True)
class Cycle:
    """A period in days that recurs in dates, and into how many parts its features divide it.

    It is used if the dates span `least_days`.
    """

    name: str
    days: float
    parts: int
    least_days: float


DAY: Final = Cycle("day", 1.0, 12, 2.0)
WEEK: Final = Cycle("week", 7.0, 7, 14.0)
YEAR: Final = Cycle("year", 365.2425, 12, 365.0)


class Shape(Enum):
    """The form in which an algorithm takes its features."""

    SCALED = auto()  # standardised; sparse if there is a text column
    COUNTS = auto()  # non-negative
    DENSE = auto()  # standardised, never sparse
    TREES = auto()  # dense, on any scale
    BINS = auto()  # dense, with missing values, and categories as ordinals


def fit(
    columns: Sequence[Column],
    cells: Cells,
    rows: npt.NDArray[np.intp],
    shape: Shape,
    seed: int,
    counts: WordCounts | None = None,
) -> Any:
    """Return a transformer for these columns, fitted on these rows. Every column must have a content.

    `counts` are the counts of these cells, if they are kept for other fits.
    """
    counts = counts or WordCounts(cells)
    numbers = [index for index, column in enumerate(columns) if column.used_as == "number"]
    categories = [index for index, column in enumerate(columns) if column.used_as == "category"]
    texts = [index for index, column in enumerate(columns) if column.used_as == "text"]
    if texts and len(columns) == 1:
        return _fit_text(columns[0].name, cells, rows, counts, shape, seed)
    parts: list[tuple[str, Any, Any]] = []
    if numbers:
        stacked = np.column_stack([cells[columns[index].name][rows] for index in numbers])
        parts.append(("numbers", _number_encoder(shape).fit(stacked), numbers))
    if categories:
        stacked = np.column_stack([cells[columns[index].name][rows] for index in categories])
        parts.append(("categories", _category_encoder(shape).fit(stacked), categories))
        parts += _fit_ordinals(categories, stacked, shape)
    for index, column in enumerate(columns):
        if column.content is Content.DATE:
            parts += _fit_cycles(index, cells[column.name][rows])
    if len(parts) == 1 and len(numbers) == len(columns):
        return parts[0][1]
    for index in texts:
        encoder = _fit_text(columns[index].name, cells, rows, counts, shape, seed)
        parts.append((f"text_{index}", encoder, index))
    return _combine(parts, pipeline_rows(columns, cells, rows[:2]), shape)


def transform(
    transformer: Any,
    columns: Sequence[Column],
    cells: Cells,
    rows: npt.NDArray[np.intp],
    counts: WordCounts | None = None,
) -> Matrix:
    """Return the features of these rows, as the finished pipeline computes them. Raises TooLargeToTrain.

    `counts` are the counts of these cells, if they are kept for other fits.
    """

    def encode(block: npt.NDArray[np.intp]) -> Matrix:
        if (
            counts is not None
            and isinstance(transformer, Pipeline)
            and isinstance(transformer[0], HashingVectorizer)
        ):
            return transformer[1:].transform(counts.of(transformer[0], columns[0].name, block))
        return transformer.transform(pipeline_rows(columns, cells, block))

    blocks = list(_transform_blocks(encode, rows))
    if sparse.issparse(blocks[0]):
        return sparse.vstack(blocks, format="csr")
    return np.vstack(blocks)


def pipeline_rows(columns: Sequence[Column], cells: Cells, rows: Any) -> Any:
    """Return rows in the form that a pipeline takes: a list of texts, or an array of floats or objects."""
    if len(columns) == 1 and columns[0].content is Content.TEXT:
        return list(cells[columns[0].name][rows])
    values_by_column = [cells[column.name][rows] for column in columns]
    if all(column.used_as == "number" for column in columns):
        return np.column_stack(values_by_column)
    return np.column_stack([values.astype(object) for values in values_by_column])


def categorical_indices(columns: Sequence[Column]) -> list[int]:
    """Return the indices of the categories among the features of `Shape.BINS`: they follow the numbers."""
    first = sum(column.used_as == "number" for column in columns)
    return list(range(first, first + sum(column.used_as == "category" for column in columns)))


def _transform_blocks(
    encode: Callable[[npt.NDArray[np.intp]], Matrix], rows: npt.NDArray[np.intp]
) -> Iterator[Matrix]:
    for first in range(0, len(rows), BLOCK_ROWS):
        block = encode(rows[first : first + BLOCK_ROWS])
        if first == 0 and len(rows) > BLOCK_ROWS:
            blocks = len(rows) / BLOCK_ROWS
            # Twice, for the blocks and for the matrix into which they are stacked.
            memory.ensure_available("encoding the rows", 2 * blocks * _bytes(block))
        yield block


def _bytes(block: Matrix) -> int:
    if sparse.issparse(block):
        return int(block.data.nbytes + block.indices.nbytes + block.indptr.nbytes)
    return int(block.nbytes)


def _number_encoder(shape: Shape) -> Any:
    if shape is Shape.BINS:
        # Leaves missing values as NaN, but converts objects to floats.
        return SimpleImputer(strategy="constant", fill_value=np.nan, keep_empty_features=True)
    imputer = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    match shape:
        case Shape.TREES:
            return imputer
        case Shape.COUNTS:
            return make_pipeline(imputer, MinMaxScaler(clip=True))
        case _:
            return make_pipeline(imputer, StandardScaler())


def _category_imputer() -> SimpleImputer:
    return SimpleImputer(missing_values=None, strategy="constant", fill_value=MISSING_CATEGORY)


def _category_encoder(shape: Shape) -> Any:
    imputer = _category_imputer()
    if shape is Shape.BINS:
        ordinals = OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=MAX_ORDINALS
        )
        return make_pipeline(imputer, ordinals)
    is_sparse = shape in (Shape.SCALED, Shape.COUNTS)
    one_hot = OneHotEncoder(
        handle_unknown="infrequent_if_exist",
        max_categories=MAX_ONE_HOT if is_sparse else MAX_DENSE_ONE_HOT,
        sparse_output=is_sparse,
    )
    return make_pipeline(imputer, one_hot)


def _fit_ordinals(
    categories: Sequence[int], stacked: npt.NDArray[Any], shape: Shape
) -> Iterator[tuple[str, Any, Any]]:
    """Encode the columns with so many categories that one-hot features do not tell all of them apart."""
    if shape is not Shape.TREES:
        return
    for position, index in enumerate(categories):
        values = stacked[:, [position]]
        if len(set(values[:, 0].tolist())) > MAX_DENSE_ONE_HOT:
            ordinals = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
            yield f"ordinals_{index}", make_pipeline(_category_imputer(), ordinals).fit(values), [index]


def _fit_cycles(index: int, days: npt.NDArray[np.float64]) -> Iterator[tuple[str, Any, Any]]:
    """Encode where a date is in the day, the week and the year: a share for each of the two closest parts.

    Days of the week are thereby one-hot. The number of days since 1970 is among the numbers.
    """
    present = days[np.isfinite(days)]
    if len(present) == 0:
        return
    has_times = bool((present % 1 != 0).any())
    for cycle in (DAY, WEEK, YEAR) if has_times else (WEEK, YEAR):
        if np.ptp(present) < cycle.least_days:
            continue
        shares = SplineTransformer(
            degree=1,
            knots=np.linspace(0, cycle.days, cycle.parts + 1).reshape(-1, 1),
            extrapolation="periodic",
        )
        encoder = make_pipeline(SimpleImputer(strategy="median"), shares)
        yield f"{cycle.name}_{index}", encoder.fit(days.reshape(-1, 1)), [index]


def _fit_text(
    name: str, cells: Cells, rows: npt.NDArray[np.intp], word_counts: WordCounts, shape: Shape, seed: int
) -> Any:
    is_sparse = shape in (Shape.SCALED, Shape.COUNTS)
    words = HashingVectorizer(
        n_features=TEXT_BUCKETS if is_sparse else DENSE_TEXT_BUCKETS,
        alternate_sign=False,
        norm=None,
        **_tokenizer_options(cells[name][rows[:TOKENIZER_SAMPLE]]),
    )
    counts = word_counts.of(words, name, rows)
    steps: list[Any] = [words]
    occurring = int(np.count_nonzero(counts.getnnz(axis=0)))
    # A singular value decomposition needs two features, even if it is to find one.
    if (selection := _fit_selection(counts, least=1 if is_sparse else 2)) is not None:
        counts = selection.transform(counts)
        occurring = counts.shape[1]
        steps.append(selection)
    tfidf = TfidfTransformer(sublinear_tf=True)
    weights = tfidf.fit_transform(counts)
    steps.append(tfidf)
    if not is_sparse:
        width = max(1, min(DENSE_TEXT_WIDTH, len(rows) - 1, occurring - 1))
        steps.append(TruncatedSVD(width, random_state=seed).fit(weights))
    return Pipeline([(f"step{number}", step) for number, step in enumerate(steps)])


def _fit_selection(counts: sparse.csr_matrix, *, least: int) -> VarianceThreshold | None:
    """Select the features that occur in two rows or more, in one if there are few rows.

    None if fewer than `least` features do. The variance of whether a feature occurs tells in how many rows it
    does.
    """
    rows = counts.shape[0]
    in_one_row = (1 / rows) * (1 - 1 / rows)
    occurs = sparse.csr_matrix((np.ones_like(counts.data), counts.indices, counts.indptr), shape=counts.shape)
    threshold = in_one_row * 1.01 if rows >= RARE_WORD_ROWS else 0.0
    try:
        selection = VarianceThreshold(threshold).fit(occurs)
    except ValueError:  # no feature does
        return None
    return selection if selection.get_support().sum() >= least else None


def _tokenizer_options(texts: npt.NDArray[Any]) -> dict[str, Any]:
    """Choose words and pairs of words, or n-grams of characters for texts without spaces: names, Chinese."""
    words = sum(len(text.split()) for text in texts)
    characters = sum(map(len, texts))
    if words < 2 * len(texts) or characters > 20 * words:
        return {"analyzer": "char_wb", "ngram_range": (1, 3)}
    return {"ngram_range": (1, 2)}


def _combine(parts: Sequence[tuple[str, Any, Any]], example: Any, shape: Shape) -> ColumnTransformer:
    """Combine fitted parts. Fitting the result only sets its number of columns, hence the short `example`."""
    frozen = [(name, FrozenEstimator(part), indices) for name, part, indices in parts]
    is_sparse = shape in (Shape.SCALED, Shape.COUNTS)
    return ColumnTransformer(frozen, sparse_threshold=1.0 if is_sparse else 0.0).fit(example)


@contextmanager
def without_warnings() -> Iterator[None]:
    """Suppress the warnings about categories that are not among the training rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def pipeline(transformer: Any, estimator: Any) -> Pipeline:
    """Return the pipeline of features and model."""
    return Pipeline([("features", transformer), ("model", estimator)])
