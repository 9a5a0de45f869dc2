"""Search the results of a job for rows that match: a bounded number at a time, or all for a download."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from app.core import paging
from app.jobs.result_filters.row_filter import RowFilter
from app.jobs.results import ResultBatch
from app.jobs.snapshots import Position, Snapshot

MAX_ROWS: Final = 100_000
"""Rows that one request searches."""

MAX_BYTES: Final = 64 * 1024 * 1024
"""Large rows end a search earlier: after the piece with which it has read this much."""

SMALL_BYTES: Final = 32 * 1024
"""Smaller pieces are searched on the event loop, because a thread would take longer."""


WriteRows = Callable[[ResultBatch], Iterable[bytes]]


@dataclass(frozen=True)
class Found:
    """The rows that match, as JSON, and how far the search has come.

    The rows before number `scanned_through` have been searched. `next_position` is that at which to go on;
    None if there is nothing more.
    """

    items: list[bytes]
    scanned_through: int
    next_position: Position | None


async def search(
    snapshot: Snapshot,
    pieces: AsyncGenerator[ResultBatch, None],
    wanted: RowFilter,
    position: Position,
    *,
    write: WriteRows,
    limit: int,
    is_whole: bool,
    max_rows: int = MAX_ROWS,
) -> Found:
    """Return the first rows of these pieces of a snapshot that match: at most `limit`, and bounded in bytes.

    `position` is that of the first piece; `is_whole` means that no more rows follow those of the snapshot.
    `write` returns the rows of a piece as JSON.
    """
    items: list[bytes] = []
    left_items, left_rows, left_bytes = paging.PAGE_BYTES, max_rows, MAX_BYTES
    scanned: int | None = None
    async with aclosing(pieces):
        async for whole in pieces:
            piece = _first_rows(whole, left_rows)
            for number, row in await _matching_rows(wanted, piece, write):
                left_items -= len(row)
                if items and (len(items) == limit or left_items < 0):
                    return Found(items, piece.first_row + number, piece.position(number))
                items.append(row)
            rows = len(piece.lines)
            position, scanned = piece.position(rows), piece.first_row + rows
            left_rows -= rows
            left_bytes -= piece.size
            if left_rows <= 0 or left_bytes <= 0:
                break
    if scanned is None:  # nothing is stored behind the position
        scanned = snapshot.end
    return Found(items, scanned, None if is_whole and scanned >= snapshot.end else position)


async def matching(
    pieces: AsyncGenerator[ResultBatch, None], wanted: RowFilter
) -> AsyncGenerator[ResultBatch, None]:
    """Yield the pieces with only the rows that match; a piece without any is left out."""

    def select(piece: ResultBatch) -> ResultBatch | None:
        found = sorted(wanted.matching(piece))
        return piece.only(found) if found else None

    async with aclosing(pieces):
        async for piece in pieces:
            is_small = piece.size <= SMALL_BYTES
            selected = select(piece) if is_small else await asyncio.to_thread(select, piece)
            if selected is not None:
                yield selected


def _first_rows(piece: ResultBatch, count: int) -> ResultBatch:
    return piece if len(piece.lines) <= count else piece.part(0, count)


async def _matching_rows(wanted: RowFilter, piece: ResultBatch, write: WriteRows) -> list[tuple[int, bytes]]:
    def find() -> list[tuple[int, bytes]]:
        found = wanted.matching(piece)
        return [(number, row) for number, row in enumerate(write(piece)) if number in found] if found else []

    return find() if piece.size <= SMALL_BYTES else await asyncio.to_thread(find)
