"""Rows backed by an Arrow table: read them as a sequence of rows or column by column.

A batch of a dataset arrives as an Arrow table. Making a dict of each row, only to make an array of the
dicts again, costs several times the prediction of a linear model. So rows are built only for callers that
iterate over them. Numbers and times become arrays straight from the columns, and a model parses each distinct
value of any other column once.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Final, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import types

from app.datasets import reading
from app.datasets.conversion.columns import DATE, INSTANT, NUMBER, TIMESTAMP, view
from worker.cells import SECONDS_OF_A_DAY
from worker.distinct import Distinct

_MICROSECONDS: Final = 1e6
_MAX_EXACT: Final = 2.0**53
"""A double holds every smaller integer exactly."""


class TableRows(Sequence[dict[str, Any]]):
    """The rows of a table, each a dict by column name."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...

    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        return self._dicts[index]

    def column(self, name: str) -> list[Any]:
        """Return the values of a column; None for each row if the table has no such column."""
        return self._column(name, reading.values)

    def column_as_written(self, name: str) -> list[Any]:
        """Return the values of a column with texts exactly as the file has them, like `3.10`."""
        return self._column(name, reading.as_written)

    def to_vector(self, name: str) -> npt.NDArray[np.float64] | None:
        """Return one column as floats, NaN for null; None unless the table has it and it is numeric."""
        if name not in self._table.column_names:
            return None
        return _to_floats(self._table.schema.field(name), self._table.column(name))

    def to_days(self, name: str) -> npt.NDArray[np.float64] | None:
        """Return dates or times as days since 1970; None unless the table has the column, see TableLists."""
        return _to_days(self._table.column(name)) if name in self._table.column_names else None

    def distinct(self, name: str) -> Distinct:
        """Return a column as written by its distinct values; only None if the table has no such column."""
        if name not in self._table.column_names:
            return Distinct([None], np.zeros(len(self), np.int32))
        return _to_distinct(self._table.schema.field(name), self._table.column(name))

    def _column(self, name: str, read: Callable[[pa.Table, int], list[Any]]) -> list[Any]:
        if name not in self._table.column_names:
            return [None] * len(self)
        return read(self._table, self._table.column_names.index(name))

    def select(self, columns: Sequence[str]) -> "TableLists | list[list[Any]]":
        """Return each row as a list of these columns, in this order; None where the table lacks a column."""
        if set(columns) <= set(self._table.column_names):
            return TableLists(self._table.select(list(columns)))
        return [list(row) for row in zip(*map(self.column, columns), strict=True)]

    @cached_property
    def _dicts(self) -> list[dict[str, Any]]:
        return reading.objects(self._table)


class TableLists(Sequence[list[Any]]):
    """The rows of a table, each a list in column order."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @overload
    def __getitem__(self, index: int) -> list[Any]: ...

    @overload
    def __getitem__(self, index: slice) -> list[list[Any]]: ...

    def __getitem__(self, index: int | slice) -> list[Any] | list[list[Any]]:
        return self._lists[index]

    @property
    def width(self) -> int:
        """The number of columns."""
        return int(self._table.num_columns)

    def columns(self) -> list[list[Any]]:
        """Return the values column by column."""
        return [self.column(index) for index in range(self.width)]

    def column(self, index: int) -> list[Any]:
        """Return the values of a column."""
        return reading.values(self._table, index)

    def column_as_written(self, index: int) -> list[Any]:
        """Return the values of a column with texts exactly as the file has them, like `3.10`."""
        return reading.as_written(self._table, index)

    def distinct(self, index: int) -> Distinct:
        """Return a column as written by its distinct values."""
        return _to_distinct(self._table.schema.field(index), self._table.column(index))

    def to_matrix(self) -> npt.NDArray[np.float64] | None:
        """Return a new matrix of shape (rows, columns), NaN for null; None unless all columns are numeric."""
        matrix = np.empty((len(self), self.width))
        for index, (field, stored) in enumerate(zip(self._table.schema, self._table.columns, strict=True)):
            numbers = _to_floats(field, stored)
            if numbers is None:
                return None
            matrix[:, index] = numbers
        return matrix

    def to_vector(self, index: int) -> npt.NDArray[np.float64] | None:
        """Return one column as floats, NaN for null; None unless it is numeric."""
        return _to_floats(self._table.schema.field(index), self._table.column(index))

    def to_days(self, index: int) -> npt.NDArray[np.float64] | None:
        """Return dates or times as days since 1970-01-01 UTC, NaN for null, like `cells.parse_date`.

        None unless the column has them, and none that a double cannot hold exactly.
        """
        return _to_days(self._table.column(index))

    @cached_property
    def _lists(self) -> list[list[Any]]:
        return [list(row) for row in zip(*self.columns(), strict=True)]


def _to_floats(field: pa.Field, stored: pa.ChunkedArray) -> npt.NDArray[np.float64] | None:
    floats: npt.NDArray[np.float64]
    if stored.type == NUMBER:
        floats = stored.to_numpy()
    elif _is_numeric(view(field)):
        floats = reading.typed(field, stored).cast(NUMBER, safe=False).to_numpy()
    elif stored.null_count == len(stored):
        floats = np.full(len(stored), np.nan)
    else:
        return None
    return floats


def _is_numeric(column_type: pa.DataType) -> bool:
    is_numeric: bool = (
        types.is_floating(column_type) or types.is_integer(column_type) or types.is_boolean(column_type)
    )
    return is_numeric


def _to_days(stored: pa.ChunkedArray) -> npt.NDArray[np.float64] | None:
    floats: npt.NDArray[np.float64]
    if stored.type == DATE:
        floats = stored.cast(pa.int32()).cast(NUMBER).to_numpy()
        return floats
    if stored.type not in (TIMESTAMP, INSTANT):
        return None
    floats = stored.cast(pa.int64()).cast(NUMBER, safe=False).to_numpy()
    with np.errstate(invalid="ignore"):
        if (np.abs(floats) >= _MAX_EXACT).any():
            return None
    # Rounded twice, as in `datetime.timestamp` and the division after it.
    return floats / _MICROSECONDS / SECONDS_OF_A_DAY


def _to_distinct(field: pa.Field, stored: pa.ChunkedArray) -> Distinct:
    if not _has_exact_values(stored.type):
        values = reading.values_as_written(field, stored)
        return Distinct(values, np.arange(len(values)))
    whole = stored.chunk(0) if stored.num_chunks == 1 else stored.combine_chunks()
    encoded = whole.dictionary_encode(null_encoding="encode")
    values = reading.values_as_written(field, pa.chunked_array([encoded.dictionary]))
    return Distinct(values, encoded.indices.to_numpy())


def _has_exact_values(column_type: pa.DataType) -> bool:
    """Whether equal values are written alike. Of floats, 0.0 and -0.0 are not."""
    has_exact_values: bool = (
        types.is_string(column_type)
        or types.is_integer(column_type)
        or types.is_boolean(column_type)
        or types.is_date(column_type)
        or types.is_timestamp(column_type)
    )
    return has_exact_values
