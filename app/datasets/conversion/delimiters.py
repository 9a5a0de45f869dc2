"""What separates the cells of a CSV: what the client says, what the file says, or what gives columns."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Final

from app.datasets.conversion.faults import Fault
from app.datasets.options import DELIMITERS

LOOKED_AT_ROWS: Final = 100
LOOKED_AT_BYTES: Final = 256 * 1024
_BOM: Final = b"\xef\xbb\xbf"
_SAYS: Final = b"sep="
"""How Excel begins a file to say which delimiter it has."""


@dataclass(frozen=True)
class Dialect:
    """The delimiter, and how many bytes come before the header, with how many lines."""

    delimiter: str
    first_byte: int = 0
    lines_before: int = 0

    def rows(self, source: Path) -> Iterator[tuple[int, list[str]]]:
        """The rows, blank lines among them, each with the number of its last line."""
        with source.open("rb") as binary:
            binary.seek(self.first_byte)
            yield from _rows(binary, self.delimiter, self.lines_before)


def find(source: Path, wanted: str | None) -> Dialect:
    """How the file is read. Raises a Fault for a `sep=` line that says something else than the client."""
    with source.open("rb") as file:
        begun = file.read(LOOKED_AT_BYTES)
    first_byte = len(_BOM) if begun.startswith(_BOM) else 0
    line = begun[first_byte:].split(b"\n", 1)[0]
    said = line.rstrip(b"\r")
    if said.lower().startswith(_SAYS) and len(said) == len(_SAYS) + 1:
        delimiter = said[-1:].decode("ascii", "replace")
        if delimiter not in DELIMITERS or wanted not in (None, delimiter):
            reason = f"its first line says that cells are separated by {delimiter!r}"
            raise Fault(
                "bad_header", reason + ("" if wanted is None else f", the request by {wanted!r}"), line=1
            )
        return Dialect(delimiter, first_byte + len(line) + 1, lines_before=1)
    if wanted is not None:
        return Dialect(wanted, first_byte)
    return Dialect(_likeliest(source, first_byte), first_byte)


def _likeliest(source: Path, first_byte: int) -> str:
    """The delimiter with which the first rows have as many cells as the header; a comma if in doubt."""
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
        for _, row in islice(dialect.rows(source), LOOKED_AT_ROWS):
            if row:
                found.append(len(row))
            size += sum(map(len, row))
            if size > LOOKED_AT_BYTES:
                break
    except csv.Error:  # a cell that never ends
        pass
    return found


def _rows(binary: IO[bytes], delimiter: str, lines_before: int) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader((line.decode("utf-8", "replace") for line in binary), delimiter=delimiter)
    for row in reader:
        yield lines_before + reader.line_num, row
