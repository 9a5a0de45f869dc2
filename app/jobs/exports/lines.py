"""Results as text, streamed batch by batch: NDJSON and CSV."""

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

import msgspec

from app.jobs import views
from app.jobs.exports.layout import Layout
from app.jobs.results import ResultBatch

SMALL_BYTES: Final = 32 * 1024
"""Smaller batches are encoded on the event loop, because a thread would take longer."""

# A spreadsheet runs a cell that starts with one of these characters, or a full-width one, as a formula. Some
# skip white space and invisible characters before it.
_FORMULA: Final = re.compile(
    r"[\s\x00-\x20\x7f-\xa0\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]*[=+\-@＝＋－＠]|[\t\r\n]"
)

_PLAIN_NUMBER: Final = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
"""The class -1 and the phone number +4791234567 are not formulas."""

_CSV_SCALARS: Final = frozenset({int, float, type(None)})

_encode: Final = msgspec.json.Encoder().encode


async def ndjson(batches: AsyncIterator[ResultBatch]) -> AsyncIterator[bytes]:
    """Yield each row as a JSON object on its own line."""
    async for batch in batches:
        yield await _encode_batch(_ndjson_of, batch)


async def csv_rows(batches: AsyncIterator[ResultBatch], layout: Layout) -> AsyncIterator[bytes]:
    """Yield a header, and each row as a line (RFC 4180). No cell is a formula to a spreadsheet."""
    yield _csv_of([[_cell(name) for name in layout.names]])
    async for batch in batches:
        yield await _encode_batch(lambda batch: _csv_of(_csv_cells(layout, batch)), batch)


async def _encode_batch(write: Callable[[ResultBatch], bytes], batch: ResultBatch) -> bytes:
    if len(batch.output) <= SMALL_BYTES:
        return write(batch)
    return await asyncio.to_thread(write, batch)


def _ndjson_of(batch: ResultBatch) -> bytes:
    return b"".join(row + b"\n" for row in views.result_rows(batch))


def _csv_of(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _csv_cells(layout: Layout, batch: ResultBatch) -> list[tuple[Any, ...]]:
    return list(zip(*map(_cells, layout.columns(batch)), strict=True))


def _cells(column: list[Any]) -> list[Any]:
    if _CSV_SCALARS.issuperset(map(type, column)):
        return column
    return [_cell(value) for value in column]


def _cell(value: Any) -> Any:
    match value:
        case bool() | dict() | list():
            return _encode(value).decode()
        case str() if _FORMULA.match(value) and not _PLAIN_NUMBER.fullmatch(value):
            return f"'{value}"
        case _:
            return value
