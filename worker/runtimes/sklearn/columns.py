"""What each column of a scikit-learn model holds, and rows as the matrix that the model was fitted to take.

A value is read by its column alone. What the column holds is in the note of a file that was trained here; of
another's file it is in what was fitted: an encoder knows its categories, an imputer the type of its fills,
and whatever has neither computes with numbers. So a row is the same to the model whatever stands beside it.
"""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline

from worker import cells
from worker.cells import BadCell
from worker.columnar import TableLists
from worker.runtimes.sklearn.estimators import first_parts

MAX_DEPTH: Final = 20
"""Somebody else's pipelines may hold each other; deeper than that nobody looks."""

Matrix = npt.NDArray[Any]


@dataclass(frozen=True)
class Reader:
    """How the values of one column are read. `type` is what an InputColumn says of it.

    `largest` is the largest number that is one, None for a column whose numbers are not read as they are.
    """

    read: Callable[[Any], Any]
    type: str
    largest: float | None = None

    @property
    def is_number(self) -> bool:
        """Whether it gives floats, NaN for what is missing."""
        return self.type == "number"


def _category(missing: Any) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        found = cells.category(value)
        return missing if found is None else found

    return read


def _text(value: Any) -> str:
    if value is None:
        raise BadCell("there is no text")
    return cells.text(value)


def _as_it_is(value: Any) -> Any:
    return value


NUMBER: Final = Reader(cells.number, "number", largest=sys.float_info.max)
BOUNDED: Final = Reader(cells.bounded, "number", largest=cells.MAX_NUMBER)
TEXT: Final = Reader(_text, "text")
ANY: Final = Reader(_as_it_is, "any")
CATEGORY: Final = Reader(_category(math.nan), "category")
"""What is missing is NaN, as in a table of pandas."""

CATEGORY_OR_NONE: Final = Reader(_category(None), "category")


def found_in(estimator: Any, count: int) -> tuple[Reader, ...]:
    """What each of the columns holds, as far as the fitted parts of somebody else's model tell."""
    found: list[Reader | None] = [None] * count
    _look(estimator, list(range(count)), found, MAX_DEPTH)
    return tuple(NUMBER if reader is None else reader for reader in found)


def matrix_of(read: Sequence[Sequence[Any]], readers: Sequence[Reader] | None) -> Matrix:
    """Rows whose values were read, as a model takes them."""
    if readers is not None and all(reader.is_number for reader in readers):
        return np.array(read, dtype=np.float64).reshape(len(read), len(readers))
    is_untold = readers is None or all(reader.is_number or reader is ANY for reader in readers)
    if is_untold and not any(isinstance(value, str) for row in read for value in row):
        try:
            return np.array(read, dtype=np.float64)
        except (TypeError, ValueError):  # lists, or rows of different lengths
            pass
    matrix = np.empty((len(read), len(read[0])), dtype=object)
    matrix[:] = read
    return matrix


def read_table(
    rows: TableLists, readers: Sequence[Reader], names: Sequence[str]
) -> tuple[list[int], Matrix | None, dict[int, str]]:
    """Of rows that can be read the places and the matrix; what is wrong with the others."""
    if (numbers := _numbers(rows, readers)) is not None:
        return list(range(len(rows))), numbers, {}
    faults: dict[int, str] = {}
    columns = [_column(rows, place, reader, names[place], faults) for place, reader in enumerate(readers)]
    places = [place for place in range(len(rows)) if place not in faults]
    if not places:
        return places, None, faults
    if all(column.dtype != object for column in columns):
        matrix = np.column_stack(columns)
    else:
        matrix = np.empty((len(rows), len(columns)), dtype=object)
        for place, column in enumerate(columns):
            matrix[:, place] = column
    return places, matrix if not faults else matrix[places], faults


def _column(
    rows: TableLists, place: int, reader: Reader, name: str, faults: dict[int, str]
) -> npt.NDArray[Any]:
    if reader.largest is not None and (numbers := rows.numbers_at(place)) is not None:
        return _bounded(numbers, reader.largest)
    values = rows.columns()[place] if reader is ANY else rows.written(place)
    found = np.full(len(values), np.nan) if reader.is_number else np.empty(len(values), dtype=object)
    for row, value in enumerate(values):
        try:
            found[row] = reader.read(value)
        except BadCell as error:
            faults.setdefault(row, f"{name!r}: {error}")
    return found


def _numbers(rows: TableLists, readers: Sequence[Reader]) -> Matrix | None:
    """The matrix at once, if all columns are numbers of one kind, to the model as in the file."""
    largest = {reader.largest for reader in readers}
    bound = largest.pop() if len(largest) == 1 else None
    matrix = None if bound is None else rows.numbers()
    return None if matrix is None or bound is None else _bounded(matrix, bound)


def _bounded(numbers: npt.NDArray[np.float64], largest: float) -> npt.NDArray[np.float64]:
    """The numbers, with NaN in the place of those that are larger."""
    with np.errstate(invalid="ignore"):
        is_outside = np.abs(numbers) > largest
    return np.where(is_outside, np.nan, numbers) if is_outside.any() else numbers


def _look(part: Any, places: list[int], found: list[Reader | None], depth: int) -> None:
    """Note for each place what a fitted part takes there."""
    if depth == 0:
        return
    match part:
        case Pipeline():
            first = next((step for _, step in part.steps if step not in (None, "passthrough")), None)
            _look(first, places, found, depth - 1)
        case FrozenEstimator():
            _look(part.estimator, places, found, depth - 1)
        case FeatureUnion():
            for _, member in part.transformer_list:
                _look(member, places, found, depth - 1)
        case ColumnTransformer():
            for _, member, columns in part.transformers_:
                _look(member, _chosen(columns, places), found, depth - 1)
        case CountVectorizer() | HashingVectorizer():
            _note(found, places, [TEXT] * len(places))
        case SimpleImputer():
            _note(found, places, [_of_imputer(part)] * len(places))
        case BaseEstimator():
            _look_at_categories(part, places, found, depth)


def _look_at_categories(part: Any, places: list[int], found: list[Reader | None], depth: int) -> None:
    categories = getattr(part, "categories_", None)
    if isinstance(categories, list) and len(categories) == len(places):
        _note(found, places, [_of_categories(known) for known in categories])
        return
    preprocessor = getattr(part, "_preprocessor", None)  # of histogram boosting with categories
    if isinstance(preprocessor, ColumnTransformer):
        _look(preprocessor, places, found, depth - 1)
    elif parts := list(first_parts(part)):  # a search, a vote, a calibration, …
        for inner in parts:
            _look(inner, places, found, depth - 1)
    else:
        _note(found, places, [NUMBER] * len(places))


def _note(found: list[Reader | None], places: Sequence[int], readers: Sequence[Reader]) -> None:
    for place, reader in zip(places, readers, strict=True):
        known = found[place]
        found[place] = reader if known is None or known is reader else _both(known, reader)


def _both(one: Reader, two: Reader) -> Reader:
    """What a column holds of which two parts of a model tell differently."""
    texts = [reader for reader in (one, two) if not reader.is_number]
    return texts[0] if len(texts) == 1 or all(reader.type != "any" for reader in texts) else ANY


def _of_imputer(part: SimpleImputer) -> Reader:
    statistics = getattr(part, "statistics_", None)
    if isinstance(statistics, np.ndarray) and statistics.dtype.kind in "OUS":
        return CATEGORY_OR_NONE if part.missing_values is None else CATEGORY
    return NUMBER


def _of_categories(known: Any) -> Reader:
    categories = np.asarray(known)
    if categories.dtype.kind in "iufb":
        return NUMBER
    values = categories.tolist()
    missing = [value for value in values if value is None or (isinstance(value, float) and math.isnan(value))]
    if any(not isinstance(value, str) for value in values if not any(value is one for one in missing)):
        return ANY
    return CATEGORY_OR_NONE if any(value is None for value in missing) else CATEGORY


def _chosen(columns: Any, places: list[int]) -> list[int]:
    """The places that a transformer's columns mean, which may be numbers, a mask or a slice."""
    try:
        if isinstance(columns, int | np.integer):
            return [places[columns]]
        chosen: list[int] = np.asarray(places)[
            columns if isinstance(columns, slice) else np.asarray(columns)
        ].tolist()
    except (IndexError, TypeError, ValueError):  # names, or what somebody else's file says
        return []
    return chosen
