"""Results as text, streamed in pieces of some batches: NDJSON and CSV."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Final

from app.core import csv_cells
from app.jobs import views
from app.jobs.exports import groups
from app.jobs.exports.groups import Group
from app.jobs.exports.layout import Layout
from app.jobs.results import ResultBatch

SMALL_BYTES: Final = 32 * 1024
"""Smaller groups are encoded on the event loop, because a thread would take longer."""

_SCALARS: Final = frozenset({int, float, type(None)})
_TEXTS: Final = frozenset({str, type(None)})


async def ndjson(batches: AsyncGenerator[ResultBatch, None]) -> AsyncIterator[bytes]:
    """Yield each row as a JSON object on its own line."""
    async with aclosing(groups.read(batches)) as read:
        async for group in read:
            yield await _encode(_ndjson_of, group)


async def csv_rows(batches: AsyncGenerator[ResultBatch, None], layout: Layout) -> AsyncIterator[bytes]:
    """Yield a header, and each row as a line (RFC 4180). No cell is a formula to a spreadsheet."""
    yield csv_cells.lines([[csv_cells.cell(name) for name in layout.names]])
    async with aclosing(groups.read(batches)) as read:
        async for group in read:
            yield await _encode(lambda batch: csv_cells.lines(_csv_cells(layout, batch)), group)


async def _encode(write: Callable[[ResultBatch], bytes], group: Group) -> bytes:
    def write_all() -> bytes:
        return b"".join(map(write, group))

    if sum(batch.size for batch in group) <= SMALL_BYTES:
        return write_all()
    return await asyncio.to_thread(write_all)


def _ndjson_of(batch: ResultBatch) -> bytes:
    if batch.inputs is None:
        return views.numbered_lines(batch)
    return b"".join(row + b"\n" for row in views.result_rows(batch))


def _csv_cells(layout: Layout, batch: ResultBatch) -> list[tuple[Any, ...]]:
    return list(zip(*map(_cells, layout.columns(batch)), strict=True))


def _cells(column: list[Any]) -> list[Any]:
    kinds = set(map(type, column))
    if kinds <= _SCALARS:
        return column
    if kinds <= _TEXTS:  # labels repeat
        cells = {text: csv_cells.cell(text) for text in set(column)}
        return list(map(cells.__getitem__, column))
    return [csv_cells.cell(value) for value in column]
