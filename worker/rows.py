"""The rows of a job, wherever they are: sent along with it, or in a dataset that is read by range."""

from collections.abc import Sequence
from typing import Any, Protocol

from app.datasets.canonical_text import written as as_text
from app.datasets.reading import RowReader
from app.jobs.params import RowShape
from worker.columnar import TableRows
from worker.context import JobContext

DATASET = "dataset"


class Rows(Protocol):
    """Rows, numbered from 0."""

    def __len__(self) -> int:
        """How many there are."""

    def read(self, first: int, count: int) -> Sequence[Any]:
        """At most `count` rows from row `first` on."""


class InlineRows:
    """Rows that came with the job."""

    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, first: int, count: int) -> Sequence[Any]:
        """At most `count` rows from row `first` on."""
        return self._rows[first : first + count]


class DatasetRows:
    """Rows of a dataset, of which only those that are asked for are read, and only some columns."""

    def __init__(self, reader: RowReader, columns: Sequence[str] | None) -> None:
        self._reader = reader
        self._columns = columns

    def __len__(self) -> int:
        return len(self._reader)

    def read(self, first: int, count: int) -> Sequence[Any]:
        """At most `count` rows from row `first` on, each an object by the columns' names."""
        return TableRows(self._reader.table(first, count, self._columns))


def of_job(job: JobContext, shape: RowShape, *others: str) -> Rows:
    """A job's rows, with all columns that the shape and the `others` name. Raises BadInput."""
    if not job.has_file(DATASET):
        return InlineRows(job.rows())
    return DatasetRows(RowReader(job.file(DATASET)), _needed(shape, others))


def given(rows: Sequence[Any], shape: RowShape) -> Sequence[Any]:
    """What the model is given of each row. A value that is not there is None."""
    if shape.column is not None:
        return _column_or_row(rows, shape.column, is_text=shape.is_text)
    if shape.columns is not None:
        if shape.is_list and isinstance(rows, TableRows):
            return rows.lists(shape.columns)
        picked = _listed if shape.is_list else _named
        return [picked(row, shape.columns) if isinstance(row, dict) else row for row in rows]
    return rows


def ids(rows: Sequence[Any], shape: RowShape) -> list[Any] | None:
    """The rows' own ids, None for a row without one; None altogether if they are not asked for."""
    if shape.id_column is None:
        return None
    return written(rows, shape.id_column)


def written(rows: Sequence[Any], name: str) -> list[Any]:
    """One column of rows as it was written; a row that does not have it has None."""
    if isinstance(rows, TableRows):
        return rows.written(name)
    return [row.get(name) if isinstance(row, dict) else None for row in rows]


def _column_or_row(rows: Sequence[Any], name: str, *, is_text: bool) -> list[Any]:
    if isinstance(rows, TableRows):
        return list(map(as_text, rows.written(name))) if is_text else rows.column(name)
    return [row.get(name) if isinstance(row, dict) else row for row in rows]


def _named(row: dict[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    return {name: row.get(name) for name in columns}


def _listed(row: dict[str, Any], columns: Sequence[str]) -> list[Any]:
    return [row.get(name) for name in columns]


def _needed(shape: RowShape, others: Sequence[str]) -> Sequence[str] | None:
    if shape.column is None and shape.columns is None:
        return None
    model_columns = shape.columns if shape.column is None else (shape.column,)
    return tuple(dict.fromkeys((*(model_columns or ()), *filter(None, (shape.id_column,)), *others)))
