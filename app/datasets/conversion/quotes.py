"""Checks that the quotes of a CSV file follow RFC 4180. Arrow's reader accepts others, and loses characters.

A quote opens a cell only at its beginning; elsewhere in an unquoted cell it is an ordinary character. Within
quotes, a quote is doubled, and the closing quote is followed by a delimiter or the end of the line. In
`"He said \\"hi\\""`, characters follow a closing quote, and Arrow would read a different text.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from app.datasets.conversion.faults import Fault

PIECE_BYTES: Final = 4 * 1024 * 1024

_NONE: Final = np.array([], dtype=np.intp)
_QUOTE: Final = ord('"')
_LINE_FEED: Final = ord("\n")

Bytes = npt.NDArray[np.uint8]
Indexes = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Rows:
    """The size of the longest row in bytes, if it was asked for, and whether any row has a quote."""

    longest: int
    have_quotes: bool


def check(source: Path, delimiter: str, first_byte: int = 0) -> Rows:
    """Return what the rows are like, without their size. Raises a Fault for a misplaced quote.

    The first `first_byte` bytes are not rows: a byte order mark, or a line that names the delimiter.
    """
    try:
        return _scan(source, delimiter, first_byte, has_rows=False)
    except Fault:
        # Scan again, to find the line.
        _scan(source, delimiter, first_byte, has_rows=True)
        raise


def measure(source: Path, delimiter: str, first_byte: int = 0) -> Rows:
    """Return what the rows are like, with the size of the longest. Raises a Fault for a misplaced quote."""
    return _scan(source, delimiter, first_byte, has_rows=True)


def _scan(source: Path, delimiter: str, first_byte: int, *, has_rows: bool) -> Rows:
    scan = _Scan(delimiter, first_byte, has_rows=has_rows)
    with source.open("rb") as file:
        scan.lines = file.read(first_byte).count(b"\n")
        while piece := file.read(PIECE_BYTES):
            # The piece ends with a line, so that it has the characters before and after each quote.
            scan.take(piece + file.readline())
    return scan.finish()


class _Scan:
    """Scans a file piece by piece, tracking whether it is within quotes and, if required, where rows end."""

    def __init__(self, delimiter: str, first_byte: int, *, has_rows: bool) -> None:
        self._is_end = np.zeros(256, dtype=bool)
        self._is_end[[ord(delimiter), _LINE_FEED, ord("\r")]] = True
        self._has_rows = has_rows
        self._is_open = False
        self._start = first_byte
        self._row_start = first_byte
        self._row_line = 0
        self._longest_row = 0
        self._have_quotes = False
        self.lines = 0

    def take(self, piece: bytes) -> None:
        """Scan the next lines."""
        read = np.frombuffer(piece, np.uint8)
        quotes = np.flatnonzero(read == _QUOTE) if b'"' in piece else _NONE
        self._have_quotes = self._have_quotes or bool(len(quotes))
        line_ends = np.flatnonzero(read == _LINE_FEED) if self._has_rows else _NONE
        changes = quotes if self._is_plain(read, quotes) else self._walk(read, quotes, line_ends)
        self._end_rows(line_ends, changes)
        self._is_open ^= bool(len(changes) % 2)
        self._start += len(piece)
        self.lines += len(line_ends)

    def finish(self) -> Rows:
        """What the rows are like. Raises a Fault if the file ends within quotes."""
        if self._is_open:
            raise Fault("bad_row", "a quote is never closed", line=self._row_line + 1)
        longest = max(self._longest_row, self._start - self._row_start)
        return Rows(longest, self._have_quotes)

    def _is_plain(self, read: Bytes, quotes: Indexes) -> bool:
        """Whether the quotes alternately open and close cells, each in a valid position."""
        if not len(quotes):
            return True
        before = np.where(quotes > 0, read[quotes - 1], _LINE_FEED)
        after = np.where(quotes < len(read) - 1, read[np.minimum(quotes + 1, len(read) - 1)], _LINE_FEED)
        first = int(self._is_open)
        neighbours = np.concatenate((before[first::2], after[1 - first :: 2]))
        return bool((self._is_end[neighbours] | (neighbours == _QUOTE)).all())

    def _walk(self, read: Bytes, quotes: Indexes, line_ends: Indexes) -> Indexes:
        """The quotes that open or close a cell, checked one by one. Raises a Fault."""
        changes: list[int] = []
        is_open = self._is_open
        skipped = -1
        for index in quotes.tolist():
            if index == skipped:
                continue
            if not is_open:
                is_change = index == 0 or bool(self._is_end[read[index - 1]])
            else:
                following = int(read[index + 1]) if index + 1 < len(read) else _LINE_FEED
                is_change = bool(self._is_end[following])
                if following == _QUOTE:
                    skipped = index + 1
                elif not is_change:
                    self._end_rows(line_ends[line_ends < index], np.array(changes, dtype=np.intp))
                    reason = (
                        'there are characters after a closing quote; a quote within quotes is doubled: ""'
                    )
                    raise Fault("bad_row", reason, line=self._row_line + 1)
            if is_change:
                is_open = not is_open
                changes.append(index)
        return np.array(changes, dtype=np.intp)

    def _end_rows(self, line_ends: Indexes, changes: Indexes) -> None:
        """Record the row ends: the line ends that are not within quotes."""
        indexes = np.arange(len(line_ends))
        if len(changes) or self._is_open:
            is_outside = (np.searchsorted(changes, line_ends) + self._is_open) % 2 == 0
            line_ends, indexes = line_ends[is_outside], indexes[is_outside]
        if len(line_ends):
            starts = self._start + line_ends + 1
            longest = max(int(starts[0]) - self._row_start, int(np.diff(starts).max(initial=0)))
            self._longest_row = max(self._longest_row, longest)
            self._row_start = int(starts[-1])
            self._row_line = self.lines + int(indexes[-1]) + 1
