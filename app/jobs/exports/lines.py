"""Results as text, streamed batch by batch: NDJSON and CSV."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from app.core import csv_cells
from app.jobs import views
from app.jobs.exports.layout import Layout
from app.jobs.results import ResultBatch

SMALL_BYTES: Final = 32 * 1024
"""Smaller batches are encoded on the event loop, because a thread would take longer."""

_CSV_SCALARS: Final = frozenset({int, float, type(None)})


async def ndjson(batches: AsyncIterator[ResultBatch]) -> AsyncIterator[bytes]:
    """Yield each row as a JSON object on its own line."""
    async for batch in batches:
        yield await _encode_batch(_ndjson_of, batch)


async def csv_rows(batches: AsyncIterator[ResultBatch], layout: Layout) -> AsyncIterator[bytes]:
    """Yield a header, and each row as a line (RFC 4180). No cell is a formula to a spreadsheet."""
    yield csv_cells.lines([[csv_cells.cell(name) for name in layout.names]])
    async for batch in batches:
        yield await _encode_batch(lambda batch: csv_cells.lines(_csv_cells(layout, batch)), batch)


async def _encode_batch(write: Callable[[ResultBatch], bytes], batch: ResultBatch) -> bytes:
    if batch.size <= SMALL_BYTES:
        return write(batch)
    return await asyncio.to_thread(write, batch)


def _ndjson_of(batch: ResultBatch) -> bytes:
    return b"".join(row + b"\n" for row in views.result_rows(batch))


def _csv_cells(layout: Layout, batch: ResultBatch) -> list[tuple[Any, ...]]:
    return list(zip(*map(_cells, layout.columns(batch)), strict=True))


def _cells(column: list[Any]) -> list[Any]:
    if _CSV_SCALARS.issuperset(map(type, column)):
        return column
    return [csv_cells.cell(value) for value in column]
