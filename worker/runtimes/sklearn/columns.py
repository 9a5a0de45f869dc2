"""Parse rows into the matrix that a scikit-learn model takes, each value by the type of its column.

For a model trained here, the metadata in its file has the types of the columns. For an uploaded model they
are inferred from its fitted parts: an encoder has its categories, an imputer the type of its fill values,
and all others compute with numbers. So the same row gives the same input, regardless of the other rows of
its batch.
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
from worker.runtimes.sklearn.parsed_columns import ParsedColumns

MAX_DEPTH: Final = 20
"""Parts of an uploaded model may be nested to any depth; deeper ones are not inspected."""

Matrix = npt.NDArray[Any]


@dataclass(frozen=True)
class Parser:
    """Parses the values of one column. `type` is the type of the InputColumn.

    `largest` is the largest magnitude of a number, beyond which it is missing; None unless numbers in an
    Arrow column can be used without parsing. Dates and times in one can be, if it `takes_dates`. Parsers of
    texts and categories return a text as it is, unless it is empty.
    """

    parse: Callable[[Any], Any]
    type: str
    largest: float | None = None
    takes_dates: bool = False

    @property
    def is_number(self) -> bool:
        """Whether it returns floats, with NaN for a missing value."""
        return self.type == "number"


def _category_parser(missing: Any) -> Callable[[Any], Any]:
    def parse(value: Any) -> Any:
        category = cells.parse_category(value)
        return missing if category is None else category

    return parse


def _parse_text(value: Any) -> str:
    if value is None:
        raise BadCell("the text is missing")
    return cells.parse_text(value)


def _identity(value: Any) -> Any:
    return value


NUMBER: Final = Parser(cells.parse_number, "number", largest=sys.float_info.max)
BOUNDED_NUMBER: Final = Parser(cells.parse_bounded_number, "number", largest=cells.MAX_NUMBER)
TEXT: Final = Parser(_parse_text, "text")
ANY: Final = Parser(_identity, "any")
CATEGORY: Final = Parser(_category_parser(math.nan), "category")
"""A missing category is NaN, as in a pandas DataFrame."""

CATEGORY_OR_NONE: Final = Parser(_category_parser(None), "category")
"""A missing category is None, for models fitted on arrays with None."""


def infer_parsers(estimator: Any, count: int) -> tuple[Parser, ...]:
    """Infer the parsers of the `count` columns of an uploaded model from its fitted parts."""
    inferred: list[Parser | None] = [None] * count
    _inspect(estimator, list(range(count)), inferred, MAX_DEPTH)
    return tuple(NUMBER if parser is None else parser for parser in inferred)


def to_matrix(rows: Sequence[Sequence[Any]], parsers: Sequence[Parser] | None) -> Matrix:
    """Return parsed rows as an array, of floats if possible, else of objects."""
    if parsers is not None and all(parser.is_number for parser in parsers):
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(parsers))
    may_be_floats = parsers is None or all(parser.is_number or parser is ANY for parser in parsers)
    if may_be_floats and not any(isinstance(value, str) for row in rows for value in row):
        try:
            return np.array(rows, dtype=np.float64)
        except (TypeError, ValueError):  # values that are lists, or rows of different lengths
            pass
    matrix = np.empty((len(rows), len(rows[0])), dtype=object)
    matrix[:] = rows
    return matrix


def parse_table(
    rows: TableLists, parsers: Sequence[Parser], names: Sequence[str]
) -> tuple[list[int], Matrix | ParsedColumns | None, dict[int, str]]:
    """Parse table rows column by column.

    Returns the indices of the valid rows, their matrix or columns (None if there are none), and the error of
    each invalid row by its index.
    """
    if (numbers := _numeric_matrix(rows, parsers)) is not None:
        return list(range(len(rows))), numbers, {}
    errors: dict[int, str] = {}
    columns = [
        _parse_column(rows, index, parser, names[index], errors) for index, parser in enumerate(parsers)
    ]
    if not errors:
        return list(range(len(rows))), _join(columns), errors
    valid = [row for row in range(len(rows)) if row not in errors]
    return valid, _join([column[valid] for column in columns]) if valid else None, errors


def _join(columns: Sequence[npt.NDArray[Any]]) -> Matrix | ParsedColumns:
    """Return columns as one array if all are numbers."""
    if all(column.dtype != object for column in columns):
        return np.column_stack(columns)
    return ParsedColumns(columns)


def _parse_column(
    rows: TableLists, index: int, parser: Parser, name: str, errors: dict[int, str]
) -> npt.NDArray[Any]:
    if parser.largest is not None and (numbers := rows.to_vector(index)) is not None:
        return _replace_larger(numbers, parser.largest)
    if parser.takes_dates and (days := rows.to_days(index)) is not None:
        return days
    if parser is ANY:
        return np.fromiter(rows.column(index), object, len(rows))
    distinct = rows.distinct(index)
    parsed, refused = (
        distinct.parse_numbers(parser.parse) if parser.is_number else distinct.parse_texts(parser.parse)
    )
    for row, error in refused.items():
        errors.setdefault(row, f"{name!r}: {error}")
    return parsed


def _numeric_matrix(rows: TableLists, parsers: Sequence[Parser]) -> Matrix | None:
    """Return all columns at once; None unless all are numeric and have the same largest number."""
    limits = {parser.largest for parser in parsers}
    largest = limits.pop() if len(limits) == 1 else None
    matrix = None if largest is None else rows.to_matrix()
    return None if matrix is None or largest is None else _replace_larger(matrix, largest)


def _replace_larger(numbers: npt.NDArray[np.float64], largest: float) -> npt.NDArray[np.float64]:
    """Return the numbers with NaN in place of those with a larger magnitude."""
    with np.errstate(invalid="ignore"):
        is_larger = np.abs(numbers) > largest
    return np.where(is_larger, np.nan, numbers) if is_larger.any() else numbers


def _inspect(part: Any, columns: list[int], inferred: list[Parser | None], depth: int) -> None:
    """Record the parsers of the columns that a fitted part receives."""
    if depth == 0:
        return
    match part:
        case Pipeline():
            first = next((step for _, step in part.steps if step not in (None, "passthrough")), None)
            _inspect(first, columns, inferred, depth - 1)
        case FrozenEstimator():
            _inspect(part.estimator, columns, inferred, depth - 1)
        case FeatureUnion():
            for _, member in part.transformer_list:
                _inspect(member, columns, inferred, depth - 1)
        case ColumnTransformer():
            for _, member, selection in part.transformers_:
                _inspect(member, _select(selection, columns), inferred, depth - 1)
        case CountVectorizer() | HashingVectorizer():
            _record(inferred, columns, [TEXT] * len(columns))
        case SimpleImputer():
            _record(inferred, columns, [_parser_of_imputer(part)] * len(columns))
        case BaseEstimator():
            _inspect_estimator(part, columns, inferred, depth)


def _inspect_estimator(part: Any, columns: list[int], inferred: list[Parser | None], depth: int) -> None:
    categories = getattr(part, "categories_", None)
    if isinstance(categories, list) and len(categories) == len(columns):
        _record(inferred, columns, [_parser_of_categories(known) for known in categories])
        return
    preprocessor = getattr(part, "_preprocessor", None)  # of histogram boosting with categories
    if isinstance(preprocessor, ColumnTransformer):
        _inspect(preprocessor, columns, inferred, depth - 1)
    elif parts := list(first_parts(part)):  # of a search, a voting or a calibrated classifier, …
        for inner in parts:
            _inspect(inner, columns, inferred, depth - 1)
    else:
        _record(inferred, columns, [NUMBER] * len(columns))


def _record(inferred: list[Parser | None], columns: Sequence[int], parsers: Sequence[Parser]) -> None:
    for column, parser in zip(columns, parsers, strict=True):
        known = inferred[column]
        inferred[column] = parser if known is None or known is parser else _reconcile(known, parser)


def _reconcile(one: Parser, other: Parser) -> Parser:
    """Return the parser for a column that two parts of a model parse differently."""
    not_numbers = [parser for parser in (one, other) if not parser.is_number]
    if len(not_numbers) == 1 or all(parser.type != "any" for parser in not_numbers):
        return not_numbers[0]
    return ANY


def _parser_of_imputer(part: SimpleImputer) -> Parser:
    statistics = getattr(part, "statistics_", None)
    if isinstance(statistics, np.ndarray) and statistics.dtype.kind in "OUS":
        return CATEGORY_OR_NONE if part.missing_values is None else CATEGORY
    return NUMBER


def _parser_of_categories(known: Any) -> Parser:
    categories = np.asarray(known)
    if categories.dtype.kind in "iufb":
        return NUMBER
    values = categories.tolist()
    missing = [value for value in values if value is None or (isinstance(value, float) and math.isnan(value))]
    if any(not isinstance(value, str) for value in values if not any(value is one for one in missing)):
        return ANY
    return CATEGORY_OR_NONE if any(value is None for value in missing) else CATEGORY


def _select(selection: Any, columns: list[int]) -> list[int]:
    """Apply the column selection of a transformer: an index, indices, a mask or a slice."""
    try:
        if isinstance(selection, int | np.integer):
            return [columns[selection]]
        selected: list[int] = np.asarray(columns)[
            selection if isinstance(selection, slice) else np.asarray(selection)
        ].tolist()
    except (IndexError, TypeError, ValueError):  # column names, or an invalid selection
        return []
    return selected
