"""From cells to what an algorithm computes with: the first step of every pipeline that is trained here.

What is made is plain scikit-learn and takes plain rows, so that the artifact can be used without us: a list
of texts if a text is all there is, else a two-dimensional array whose columns are in the model's order. It is
assembled of parts that are fitted each on its own, on typed arrays: a whole table of Python objects would
take many times the room.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, auto
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler

from worker.cells import Content
from worker.training import memory
from worker.training.columns import Column

Cells = Mapping[str, npt.NDArray[Any]]
Matrix = Any
"""A dense array or a sparse CSR matrix of float64, one row for each row."""

BLOCK_ROWS: Final = 8192

MISSING_CATEGORY: Final = "(missing)"
MAX_ONE_HOT: Final = 1000
MAX_DENSE_ONE_HOT: Final = 100
MAX_ORDINALS: Final = 250
"""Histogram boosting has 255 bins; one is for the rare categories, one for the missing."""

# Hashing keeps no vocabulary: the artifact stays small and loads at once, and a new word is no surprise.
TEXT_BUCKETS: Final = 2**16
DENSE_TEXT_BUCKETS: Final = 2**13
DENSE_TEXT_WIDTH: Final = 64


class Shape(Enum):
    """What an algorithm wants."""

    SCALED = auto()  # centred numbers; sparse where there is text
    COUNTS = auto()  # nothing below zero
    DENSE = auto()  # centred numbers, never sparse
    TREES = auto()  # dense, on any scale
    BINS = auto()  # dense, missing values and categories as they are


def fit(columns: Sequence[Column], cells: Cells, shape: Shape, seed: int) -> Any:
    """The transformer for these columns, fitted on these rows. All columns are used ones."""
    numbers = [place for place, column in enumerate(columns) if column.used_as == "number"]
    categories = [place for place, column in enumerate(columns) if column.used_as == "category"]
    texts = [place for place, column in enumerate(columns) if column.used_as == "text"]
    if texts and len(columns) == 1:
        return _fit_text(cells[columns[0].name], shape, seed)
    parts: list[tuple[str, Any, Any]] = []
    if numbers:
        stacked = np.column_stack([cells[columns[place].name] for place in numbers])
        parts.append(("numbers", _numbers(shape).fit(stacked), numbers))
    if len(numbers) == len(columns):
        return parts[0][1]
    if categories:
        stacked = np.column_stack([cells[columns[place].name] for place in categories])
        parts.append(("categories", _categories(shape).fit(stacked), categories))
    parts += ((f"text_{place}", _fit_text(cells[columns[place].name], shape, seed), place) for place in texts)
    return _assembled(parts, rows_of(columns, cells, slice(0, 2)), shape)


def transform(
    transformer: Any, columns: Sequence[Column], cells: Cells, rows: npt.NDArray[np.intp]
) -> Matrix:
    """What the algorithm computes with, for these rows; exactly as the finished pipeline does it."""
    blocks = list(_blocks(transformer, columns, cells, rows))
    if sparse.issparse(blocks[0]):
        return sparse.vstack(blocks, format="csr")
    return np.vstack(blocks)


def rows_of(columns: Sequence[Column], cells: Cells, rows: Any) -> Any:
    """Rows as a pipeline takes them."""
    if len(columns) == 1 and columns[0].content is Content.TEXT:
        return list(cells[columns[0].name][rows])
    chosen = [cells[column.name][rows] for column in columns]
    if all(column.used_as == "number" for column in columns):
        return np.column_stack(chosen)
    return np.column_stack([values.astype(object) for values in chosen])


def categorical_places(columns: Sequence[Column]) -> list[int]:
    """Where `Shape.BINS` has its categories: after all numbers."""
    first = sum(column.used_as == "number" for column in columns)
    return list(range(first, first + sum(column.used_as == "category" for column in columns)))


def _blocks(
    transformer: Any, columns: Sequence[Column], cells: Cells, rows: npt.NDArray[np.intp]
) -> Iterator[Matrix]:
    for first in range(0, len(rows), BLOCK_ROWS):
        block = transformer.transform(rows_of(columns, cells, rows[first : first + BLOCK_ROWS]))
        if first == 0 and len(rows) > BLOCK_ROWS:
            blocks = len(rows) / BLOCK_ROWS
            memory.ensure_room("the encoded rows", 2 * blocks * _bytes(block))  # the blocks and their stack
        yield block


def _bytes(block: Matrix) -> int:
    if sparse.issparse(block):
        return int(block.data.nbytes + block.indices.nbytes + block.indptr.nbytes)
    return int(block.nbytes)


def _numbers(shape: Shape) -> Any:
    if shape is Shape.BINS:
        # It changes nothing: what is missing stays so. But it makes numbers of objects.
        return SimpleImputer(strategy="constant", fill_value=np.nan, keep_empty_features=True)
    imputer = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    match shape:
        case Shape.TREES:
            return imputer
        case Shape.COUNTS:
            return make_pipeline(imputer, MinMaxScaler(clip=True))
        case _:
            return make_pipeline(imputer, StandardScaler())


def _categories(shape: Shape) -> Any:
    named = SimpleImputer(missing_values=None, strategy="constant", fill_value=MISSING_CATEGORY)
    if shape is Shape.BINS:
        ordinals = OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=MAX_ORDINALS
        )
        return make_pipeline(named, ordinals)
    is_sparse = shape in (Shape.SCALED, Shape.COUNTS)
    one_hot = OneHotEncoder(
        handle_unknown="infrequent_if_exist",
        max_categories=MAX_ONE_HOT if is_sparse else MAX_DENSE_ONE_HOT,
        sparse_output=is_sparse,
    )
    return make_pipeline(named, one_hot)


def _fit_text(texts: npt.NDArray[Any], shape: Shape, seed: int) -> Any:
    is_sparse = shape in (Shape.SCALED, Shape.COUNTS)
    steps: list[Any] = [
        HashingVectorizer(
            n_features=TEXT_BUCKETS if is_sparse else DENSE_TEXT_BUCKETS,
            alternate_sign=False,
            norm=None,
            **_tokens(texts),
        ),
        TfidfTransformer(sublinear_tf=True),
    ]
    if not is_sparse:
        width = max(1, min(DENSE_TEXT_WIDTH, len(texts) - 1))
        steps.append(TruncatedSVD(width, random_state=seed))
    return make_pipeline(*steps).fit(list(texts))


def _tokens(texts: npt.NDArray[Any]) -> dict[str, Any]:
    """Words and pairs of them; pieces of words where spaces say little: names, Chinese, Japanese."""
    looked_at = texts[:1000]
    words = sum(len(text.split()) for text in looked_at)
    characters = sum(map(len, looked_at))
    if words < 2 * len(looked_at) or characters > 20 * words:
        return {"analyzer": "char_wb", "ngram_range": (1, 3)}
    return {"ngram_range": (1, 2)}


def _assembled(parts: Sequence[tuple[str, Any, Any]], example: Any, shape: Shape) -> ColumnTransformer:
    """One transformer of parts that are fitted; of rows it only learns how many columns there are."""
    frozen = [(name, FrozenEstimator(part), places) for name, part, places in parts]
    is_sparse = shape in (Shape.SCALED, Shape.COUNTS)
    return ColumnTransformer(frozen, sparse_threshold=1.0 if is_sparse else 0.0).fit(example)


def pipeline(transformer: Any, estimator: Any) -> Pipeline:
    """The whole model."""
    return Pipeline([("features", transformer), ("model", estimator)])
