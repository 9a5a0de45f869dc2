"""Rows that lie in columns: sequences like any other, and to whoever asks for columns nothing is copied.

A batch of a dataset comes as an Arrow table. To make a dict of each row, and an array of the dicts again,
costs several times what a linear model takes for its answer. So the rows are made only for those who look at
them one by one, and a model of numbers has its matrix at once.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import types

from app.datasets import reading
from app.datasets.conversion.columns import NUMBER, view


class TableRows(Sequence[dict[str, Any]]):
    """The rows of a table, each an object by the columns' names."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @overload
    def __getitem__(self, place: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, place: slice) -> list[dict[str, Any]]: ...

    def __getitem__(self, place: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        return self._objects[place]

    def column(self, name: str) -> list[Any]:
        """The values of one column; None for each row if there is no such column."""
        return self._column(name, reading.values)

    def written(self, name: str) -> list[Any]:
        """The values of one column as they were written, texts where the file has texts."""
        return self._column(name, reading.written)

    def _column(self, name: str, read: Callable[[pa.Table, int], list[Any]]) -> list[Any]:
        if name not in self._table.column_names:
            return [None] * len(self)
        return read(self._table, self._table.column_names.index(name))

    def lists(self, columns: Sequence[str]) -> "TableLists | list[list[Any]]":
        """Some columns of each row, as a list in this order; None for a column that is not there."""
        if set(columns) <= set(self._table.column_names):
            return TableLists(self._table.select(list(columns)))
        return [list(row) for row in zip(*map(self.column, columns), strict=True)]

    @cached_property
    def _objects(self) -> list[dict[str, Any]]:
        return reading.objects(self._table)


class TableLists(Sequence[list[Any]]):
    """The rows of a table, each a list in the order of the columns."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @overload
    def __getitem__(self, place: int) -> list[Any]: ...

    @overload
    def __getitem__(self, place: slice) -> list[list[Any]]: ...

    def __getitem__(self, place: int | slice) -> list[Any] | list[list[Any]]:
        return self._lists[place]

    @property
    def width(self) -> int:
        """How many values each row has."""
        return int(self._table.num_columns)

    def columns(self) -> list[list[Any]]:
        """The values column by column."""
        return [reading.values(self._table, place) for place in range(self.width)]

    def written(self, place: int) -> list[Any]:
        """The values of one column as they were written, texts where the file has texts."""
        return reading.written(self._table, place)

    def numbers(self) -> npt.NDArray[np.float64] | None:
        """The rows as a matrix of their own, NaN where nothing is; None unless all columns hold numbers."""
        matrix = np.empty((len(self), self.width))
        for place, (field, stored) in enumerate(zip(self._table.schema, self._table.columns, strict=True)):
            numbers = _numbers(field, stored)
            if numbers is None:
                return None
            matrix[:, place] = numbers
        return matrix

    def numbers_at(self, place: int) -> npt.NDArray[np.float64] | None:
        """One column as numbers, NaN where nothing is; None if it holds something else."""
        return _numbers(self._table.schema.field(place), self._table.column(place))

    @cached_property
    def _lists(self) -> list[list[Any]]:
        return [list(row) for row in zip(*self.columns(), strict=True)]


def _numbers(field: pa.Field, stored: pa.ChunkedArray) -> npt.NDArray[np.float64] | None:
    found: npt.NDArray[np.float64]
    if stored.type == NUMBER:
        found = stored.to_numpy()
    elif _is_number(view(field)):
        found = reading.typed(field, stored).cast(NUMBER, safe=False).to_numpy()
    elif stored.null_count == len(stored):
        found = np.full(len(stored), np.nan)
    else:
        return None
    return found


def _is_number(of_column: pa.DataType) -> bool:
    is_number: bool = (
        types.is_floating(of_column) or types.is_integer(of_column) or types.is_boolean(of_column)
    )
    return is_number
