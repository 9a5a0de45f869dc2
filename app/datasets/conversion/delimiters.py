"""Finds the delimiter of a CSV file: from the request, from a `sep=` line, or by trying each."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Final

from app.datasets.conversion.faults import Fault
from app.datasets.options import DELIMITERS

SAMPLE_ROWS: Final = 100
SAMPLE_BYTES: Final = 256 * 1024
_ROW_ENDS_IN_LINES: Final = re.compile(r"(?<=\r)(?!\n)")
"""After a CR without LF, which ends a row as well, also for Arrow."""

_BOM: Final = b"\xef\xbb\xbf"
_SEP: Final = b"sep="
"""Excel names the delimiter in a first line such as `sep=;`."""


@dataclass(frozen=True)
class Dialect:
    """The delimiter, and how many bytes and lines precede the header."""

    delimiter: str
    first_byte: int = 0
    lines_before: int = 0

    def rows(self, source: Path) -> Iterator[tuple[int, list[str]]]:
        """The rows, including blank lines, each with the number of lines that have ended with it."""
        with source.open("rb") as binary:
            binary.seek(self.first_byte)
            yield from _rows(binary, self.delimiter, self.lines_before)


def find(source: Path, wanted: str | None) -> Dialect:
    """The dialect of a file. Raises a Fault if its `sep=` line contradicts the client."""
    with source.open("rb") as file:
        start = file.read(SAMPLE_BYTES)
    first_byte = len(_BOM) if start.startswith(_BOM) else 0
    line = start[first_byte:].split(b"\n", 1)[0]
    first_line = line.rstrip(b"\r")
    if first_line.lower().startswith(_SEP) and len(first_line) == len(_SEP) + 1:
        delimiter = first_line[-1:].decode("ascii", "replace")
        if delimiter not in DELIMITERS or wanted not in (None, delimiter):
            reason = f"its first line names the delimiter {delimiter!r}"
            if wanted is not None:
                reason += f", but the request names {wanted!r}"
            raise Fault("bad_header", reason, line=1)
        return Dialect(delimiter, first_byte + len(line) + 1, lines_before=1)
    if wanted is not None:
        return Dialect(wanted, first_byte)
    return Dialect(_likeliest(source, first_byte), first_byte)


def _likeliest(source: Path, first_byte: int) -> str:
    """The delimiter that splits the first rows into as many cells as the header; a comma if in doubt."""
    widths = {delimiter: _widths(source, Dialect(delimiter, first_byte)) for delimiter in DELIMITERS}
    apart = [delimiter for delimiter, found in widths.items() if found and found[0] > 1]
    regular = [delimiter for delimiter in apart if len(set(widths[delimiter])) == 1]
    if "," in regular:
        return ","
    if regular:
        return max(regular, key=lambda delimiter: widths[delimiter][0])
    return apart[0] if apart else ","


def _widths(source: Path, dialect: Dialect) -> list[int]:
    """How many cells each of the first rows has."""
    found: list[int] = []
    size = 0
    try:
        for _, row in islice(dialect.rows(source), SAMPLE_ROWS):
            if row:
                found.append(len(row))
            size += sum(map(len, row))
            if size > SAMPLE_BYTES:
                break
    except csv.Error:  # a quote that is never closed
        pass
    return found


def _rows(binary: IO[bytes], delimiter: str, lines_before: int) -> Iterator[tuple[int, list[str]]]:
    lines = lines_before

    def pieces() -> Iterator[str]:
        nonlocal lines
        for line in binary:
            *rows, rest = _ROW_ENDS_IN_LINES.split(line.decode("utf-8", "replace"))
            yield from rows
            lines += 1
            yield rest

    for row in csv.reader(pieces(), delimiter=delimiter):
        yield lines, row
