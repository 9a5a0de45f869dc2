"""Reads the rows of a dataset by range. Imported by children of workers, so it needs only pyarrow."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from app.datasets.conversion import columns, notation
from app.datasets.values import Column

_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode

_ROWS_AT_ONCE: Final = 4


class RowReader:
    """Reads the Parquet file of one dataset. Rows are numbered from 0. Not thread-safe.

    Only the requested row groups are read, and the last one is cached, so that reading in order decodes each
    row group once.
    """

    def __init__(self, source: Path | Any) -> None:
        """Open a local file, or a binary file object that can seek."""
        self._file = pq.ParquetFile(source, pre_buffer=False, page_checksum_verification=True)
        metadata = self._file.metadata
        sizes = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
        self._starts: list[int] = [0, *accumulate(sizes)]
        self._kept: tuple[int, tuple[str, ...] | None, pa.Table] | None = None
        self.columns: list[Column] = columns.describe(self._file.schema_arrow)

    def __len__(self) -> int:
        """The number of rows."""
        return self._starts[-1]

    def __enter__(self) -> Self:
        """Return itself; the end of the body closes the file."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def rows(self, first: int, count: int, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """At most `count` rows from row `first` on, as JSON values, of all columns or some.

        Dates and timestamps are ISO 8601 strings.
        """
        return objects(self.table(first, count, columns))

    def first_rows(self, count: int, max_bytes: int) -> list[msgspec.Raw]:
        """The first rows as JSON objects: at least one, then as many as fit in `max_bytes`.

        At most one row group and the result are in memory, however large the rows are.
        """
        encoded: list[msgspec.Raw] = []
        left = max_bytes
        for row in self._encoded_rows(min(count, len(self))):
            left -= len(row)
            if left < 0 and encoded:
                break
            encoded.append(msgspec.Raw(row))
        return encoded

    def _encoded_rows(self, end: int) -> Iterator[bytes]:
        for first in range(0, end, _ROWS_AT_ONCE):
            part = self.table(first, min(_ROWS_AT_ONCE, end - first))
            names = part.column_names
            by_column = [_raw_values(part, index) for index in range(part.num_columns)]
            for row in zip(*by_column, strict=True):
                yield _encode(dict(zip(names, row, strict=True)))

    def table(self, first: int, count: int, columns: Sequence[str] | None = None) -> pa.Table:
        """At most `count` rows from row `first` on, of all columns or some.

        Lists and objects are columns of JSON text.
        """
        end = min(first + count, len(self))
        wanted = None if columns is None else tuple(columns)
        parts = []
        at = first
        while at < end:
            index = bisect_right(self._starts, at) - 1
            group_start, group_end = self._starts[index], self._starts[index + 1]
            part_end = min(end, group_end)
            parts.append(self._group(index, wanted).slice(at - group_start, part_end - at))
            at = part_end
        if not parts:
            schema = self._file.schema_arrow
            empty = schema.empty_table()
            return empty if wanted is None else empty.select(list(wanted))
        return pa.concat_tables(parts)

    def pieces(
        self, first: int, count: int, columns: Sequence[str] | None = None
    ) -> Iterator[tuple[int, pa.Table]]:
        """At most `count` rows from row `first` on, in pieces within one row group, each with its first row.

        So only as much is in memory as one row group holds, however large the rows are.
        """
        end = min(first + count, len(self))
        while first < end:
            group_end = self._starts[bisect_right(self._starts, first)]
            piece_end = min(end, group_end)
            yield first, self.table(first, piece_end - first, columns)
            first = piece_end

    def take(self, rows: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """These rows, whose numbers ascend, of some columns."""
        parts = [self.table(0, 0, columns)]
        start = 0
        while start < len(rows):
            index = bisect_right(self._starts, rows[start]) - 1
            end = bisect_left(rows, self._starts[index + 1], start)
            inside = [row - self._starts[index] for row in rows[start:end]]
            parts.append(self._group(index, tuple(columns)).take(pa.array(inside, pa.int64())))
            start = end
        return pa.concat_tables(parts)

    def rows_in_group(self, first: int) -> int:
        """How many rows from row `first` on are in its row group: as many as are read at once."""
        return self._starts[bisect_right(self._starts, first)] - first

    def _group(self, index: int, wanted: tuple[str, ...] | None) -> pa.Table:
        if self._kept is None or self._kept[:2] != (index, wanted):
            self._kept = None  # freed before the next one is read: only one fits in memory
            names = None if wanted is None else list(wanted)
            table = self._file.read_row_group(index, columns=names, use_threads=False)
            self._kept = index, wanted, table if names is None else table.select(names)
        return self._kept[2]


def values(table: pa.Table, index: int) -> list[Any]:
    """One column of a table as JSON values."""
    column = table.schema.field(index)
    return _plain(column)(typed(column, table.column(index)))


def objects(table: pa.Table, read: Callable[[pa.Table, int], list[Any]] = values) -> list[dict[str, Any]]:
    """The rows of a table as JSON values. `read` returns the values of one column."""
    names = table.column_names
    by_column = [read(table, index) for index in range(table.num_columns)]
    return [dict(zip(names, row, strict=True)) for row in zip(*by_column, strict=True)]


def _raw_values(table: pa.Table, index: int) -> list[Any]:
    """One column of a table as JSON values; JSON text is passed on unparsed."""
    if columns.json_type(table.schema.field(index)) is None:
        return values(table, index)
    return [None if text is None else msgspec.Raw(text.encode()) for text in table.column(index).to_pylist()]


def as_stored(table: pa.Table, index: int) -> list[Any]:
    """One column as JSON values, with each cell as text if its type would lose how it was written."""
    if columns.json_type(table.schema.field(index)) is not None:
        return _raw_values(table, index)
    return _to_list(table.column(index))


def as_cells(table: pa.Table, index: int) -> list[Any]:
    """One column as cells of a CSV file: as written in the upload, lists and objects as JSON text."""
    column, stored = table.schema.field(index), table.column(index)
    if columns.json_type(column) is not None:
        return list(stored.to_pylist())
    return values_as_written(column, stored)


def as_written(table: pa.Table, index: int) -> list[Any]:
    """One column of a table as written in the upload: text where the file had text."""
    return values_as_written(table.schema.field(index), table.column(index))


def values_as_written(column: pa.Field, stored: pa.ChunkedArray) -> list[Any]:
    """The values of one column as written in the upload."""
    original = columns.notation(column)
    if original is not None:
        return notation.texts_of(stored, original)
    return _plain(column)(stored)


def in_shown_types(table: pa.Table) -> pa.Table:
    """The table with each column in the type that users see."""
    values = [typed(column, stored) for column, stored in zip(table.schema, table.columns, strict=True)]
    fields = [
        column if found.type == column.type else pa.field(column.name, found.type)
        for column, found in zip(table.schema, values, strict=True)
    ]
    return pa.table(values, schema=pa.schema(fields))


def typed(column: pa.Field, stored: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values of a column in the type that users see."""
    view = columns.view(column)
    if view == stored.type:
        return stored
    return pa.chunked_array([notation.convert(chunk, view) for chunk in stored.chunks], view)


def _plain(column: pa.Field) -> Callable[[pa.ChunkedArray], list[Any]]:
    if columns.json_type(column) is not None:
        return _parse_json
    return _to_list


def _to_list(column: pa.ChunkedArray) -> list[Any]:
    found: list[Any] = column.to_pylist()
    if types.is_temporal(column.type):
        return [None if value is None else value.isoformat() for value in found]
    return found


def _parse_json(column: pa.ChunkedArray) -> list[Any]:
    return [None if text is None else _decode(text) for text in column.to_pylist()]
