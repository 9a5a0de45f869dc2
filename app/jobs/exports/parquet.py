"""Results as a Parquet file, written to disk in row groups before the first byte is sent.

Types are inferred from the values. If a value does not fit the type of its column, like the first text after
a million numbers, the file is started over with a type that holds both. This happens a few times at most,
because a type only ever becomes wider, and no client can see it.
"""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from enum import IntEnum
from typing import IO, Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from app.jobs.exports import groups
from app.jobs.exports.groups import Group
from app.jobs.exports.layout import Layout
from app.jobs.results import ResultBatch

GROUP_ROWS: Final = 20_000
GROUP_CELLS: Final = 1_000_000
"""No row group has more values than this, however many columns there are."""

GROUP_BYTES: Final = 8 * 1024 * 1024
"""No row group has more than about this many bytes of results, as they are stored."""

_INTEGERS: Final = range(-(2**63), 2**63)
_encode: Final = msgspec.json.Encoder().encode


class Width(IntEnum):
    """The type of a column. TEXT holds values of any type, NUMBER also integers."""

    NOTHING = 0
    BOOLEAN = 1
    INTEGER = 2
    NUMBER = 3
    TEXT = 4


_TYPES: Final = {
    Width.NOTHING: pa.string(),
    Width.BOOLEAN: pa.bool_(),
    Width.INTEGER: pa.int64(),
    Width.NUMBER: pa.float64(),
    Width.TEXT: pa.string(),
}


async def spool(read: Callable[[], AsyncGenerator[ResultBatch, None]], layout: Layout) -> IO[bytes]:
    """Return a temporary file with all batches of `read`, which may be called again. Closing deletes it."""
    widths = [Width.NOTHING] * len(layout.names)
    while True:
        file = await asyncio.to_thread(tempfile.TemporaryFile)
        try:
            wider = await _write(file, read(), layout, widths)
        except BaseException:
            file.close()
            raise
        if wider is None:
            return file
        file.close()
        widths = wider


async def _write(
    file: IO[bytes], batches: AsyncGenerator[ResultBatch, None], layout: Layout, widths: list[Width]
) -> list[Width] | None:
    """Write all batches. Return the wider types if a value does not fit."""
    table = _Table(file, layout.names, widths)
    try:
        async with aclosing(groups.read(batches)) as read:
            async for group in read:
                if not await asyncio.to_thread(table.add_all, layout, group):
                    return table.widths
        await asyncio.to_thread(table.finish)
    finally:
        table.close()
    return None


class _Table:
    """A Parquet file while it is written. Until the first row group is written, the types may change."""

    def __init__(self, file: IO[bytes], names: Sequence[str], widths: Sequence[Width]) -> None:
        self.widths = list(widths)
        self._file = file
        self._names = names
        self._columns: list[list[Any]] = [[] for _ in names]
        self._group_rows = max(1, min(GROUP_ROWS, GROUP_CELLS // len(names)))
        self._bytes = 0
        self._writer: pq.ParquetWriter | None = None

    def add_all(self, layout: Layout, group: Group) -> bool:
        """Add batches. Return False if one does not fit the row groups that are already written."""
        return all(self.add(layout, batch) for batch in group)

    def add(self, layout: Layout, batch: ResultBatch) -> bool:
        """Add a batch. Return False if it does not fit the row groups that are already written."""
        for index, values in enumerate(layout.columns(batch)):
            width = _wider(self.widths[index], _width(values))
            if width is not self.widths[index]:
                self.widths[index] = width
                if self._writer is not None:
                    return False
            self._columns[index] += values
        self._bytes += batch.size
        while len(self._columns[0]) >= self._group_rows or (self._columns[0] and self._bytes >= GROUP_BYTES):
            self._write_group()
        return True

    def finish(self) -> None:
        """Write the remaining rows and the footer."""
        if self._columns[0] or self._writer is None:
            self._write_group()
        self.close()
        self._file.flush()

    def close(self) -> None:
        """Release the file, which is incomplete unless it is finished."""
        if self._writer is not None:
            self._writer.close()

    def _write_group(self) -> None:
        if self._writer is None:
            fields = [(name, _TYPES[width]) for name, width in zip(self._names, self.widths, strict=True)]
            self._writer = pq.ParquetWriter(self._file, pa.schema(fields))
        rows = self._group_rows
        group = [column[:rows] for column in self._columns]
        self._columns = [column[rows:] for column in self._columns]
        self._bytes = 0
        arrays = [
            pa.array(_fit(values, width), _TYPES[width])
            for values, width in zip(group, self.widths, strict=True)
        ]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._writer.schema))


def _width(values: Sequence[Any]) -> Width:
    width = Width.NOTHING
    for kind in set(map(type, values)):
        width = _wider(width, _WIDTHS.get(kind, Width.TEXT))
    if width is Width.INTEGER and not all(value is None or value in _INTEGERS for value in values):
        return Width.TEXT
    return width


_WIDTHS: Final[dict[type, Width]] = {
    type(None): Width.NOTHING,
    bool: Width.BOOLEAN,
    int: Width.INTEGER,
    float: Width.NUMBER,
}


def _wider(one: Width, other: Width) -> Width:
    if one is other or other is Width.NOTHING:
        return one
    if one is Width.NOTHING:
        return other
    return Width.NUMBER if {one, other} == {Width.INTEGER, Width.NUMBER} else Width.TEXT


def _fit(values: Sequence[Any], width: Width) -> Sequence[Any]:
    """Convert values to a column of this width; in a column of texts, other values become JSON."""
    kinds = set(map(type, values))
    if width is Width.NUMBER and int in kinds:
        return [None if value is None else float(value) for value in values]
    if width is not Width.TEXT or kinds <= {str, type(None)}:
        return values
    return [value if value is None or isinstance(value, str) else _encode(value).decode() for value in values]
