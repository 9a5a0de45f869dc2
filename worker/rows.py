"""Read the rows of a job, from its payload or, range by range, from its dataset."""

from collections.abc import Sequence
from typing import Any, Protocol

from app.datasets.canonical_text import to_canonical_text as as_text
from app.datasets.reading import RowReader
from app.jobs.params import RowShape
from worker.columnar import TableRows
from worker.context import BadInput, JobContext

DATASET = "dataset"


class Rows(Protocol):
    """The rows of a job, numbered from 0."""

    def __len__(self) -> int:
        """Return the total number of rows."""

    def read(self, first: int, count: int) -> Sequence[Any]:
        """Return at most `count` rows, starting at row `first`."""


class InlineRows:
    """Rows from the payload of the job."""

    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, first: int, count: int) -> Sequence[Any]:
        """Return at most `count` rows, starting at row `first`."""
        return self._rows[first : first + count]


class DatasetRows:
    """Rows of a dataset. Reads only the requested range and columns from disk; None means all columns."""

    def __init__(self, reader: RowReader, columns: Sequence[str] | None, within: range | None = None) -> None:
        """With `within`, the rows are those of this range only, numbered from 0."""
        self._reader = reader
        self._columns = columns
        self._within = range(len(reader)) if within is None else within

    def __len__(self) -> int:
        return len(self._within)

    def read(self, first: int, count: int) -> Sequence[Any]:
        """Return at most `count` rows, starting at row `first`, each a dict by column name."""
        wanted = self._within[first : first + count]
        return TableRows(self._reader.table(wanted.start, len(wanted), self._columns))


def open_rows(job: JobContext, shape: RowShape, *extra_columns: str) -> Rows:
    """Return the rows of a job, with the columns of the shape and the extra ones. Raises BadInput.

    Those of a shard are its range of the dataset.
    """
    if not job.has_file(DATASET):
        return InlineRows(job.rows())
    reader = RowReader(job.file(DATASET))
    return DatasetRows(reader, needed_columns(shape, extra_columns), _rows_of_shard(job, len(reader)))


def _rows_of_shard(job: JobContext, rows: int) -> range | None:
    """Return the range of a shard's rows; None if the job is no shard. Raises BadInput."""
    if job.first_row is None:
        return None
    end = job.first_row + (job.total or 0)
    if job.first_row >= end or end > rows:
        raise BadInput(f"rows {job.first_row} to {end - 1} of a dataset with {rows} rows")
    return range(job.first_row, end)


def needed_columns(shape: RowShape, extra_columns: Sequence[str]) -> Sequence[str] | None:
    """Return the columns to read from a dataset; None for all."""
    if shape.column is None and shape.columns is None:
        return None
    model_columns = shape.columns if shape.column is None else (shape.column,)
    return tuple(dict.fromkeys((*(model_columns or ()), *filter(None, (shape.id_column,)), *extra_columns)))


def model_inputs(rows: Sequence[Any], shape: RowShape) -> Sequence[Any]:
    """Return the input of the model for each row. A missing value is None."""
    if shape.column is not None:
        return _single_column(rows, shape.column, is_text=shape.is_text)
    if shape.columns is not None:
        if shape.is_list and isinstance(rows, TableRows):
            return rows.select(shape.columns)
        pick = _pick_list if shape.is_list else _pick_dict
        return [pick(row, shape.columns) if isinstance(row, dict) else row for row in rows]
    return rows


def row_ids(rows: Sequence[Any], shape: RowShape) -> list[Any] | None:
    """Return the id of each row, None for a row without one; None altogether if the job has no id column."""
    if shape.id_column is None:
        return None
    return column_as_written(rows, shape.id_column)


def column_as_written(rows: Sequence[Any], name: str) -> list[Any]:
    """Return one column with texts exactly as the file has them; None for a row that lacks it."""
    if isinstance(rows, TableRows):
        return rows.column_as_written(name)
    return [row.get(name) if isinstance(row, dict) else None for row in rows]


def _single_column(rows: Sequence[Any], name: str, *, is_text: bool) -> list[Any]:
    if isinstance(rows, TableRows):
        return list(map(as_text, rows.column_as_written(name))) if is_text else rows.column(name)
    return [row.get(name) if isinstance(row, dict) else row for row in rows]


def _pick_dict(row: dict[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    return {name: row.get(name) for name in columns}


def _pick_list(row: dict[str, Any], columns: Sequence[str]) -> list[Any]:
    return [row.get(name) for name in columns]
