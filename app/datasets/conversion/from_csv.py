"""Converts CSV (RFC 4180) with a header, also with line breaks within quotes. An empty cell is null."""

import csv
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import msgspec
import pyarrow as pa
import pyarrow.csv

from app.datasets.conversion import delimiters, notation, quotes, row_sizes
from app.datasets.conversion.cells import ColumnType, TypeMismatch
from app.datasets.conversion.columns import TEXT, check_names, ensure_declared_exist
from app.datasets.conversion.delimiters import Dialect
from app.datasets.conversion.draft import Draft, schema_of
from app.datasets.conversion.faults import NO_LIMIT, Fault, row_too_large
from app.datasets.conversion.numbers import MAX_DISTINCT
from app.datasets.conversion.row_groups import RowGroups
from app.datasets.options import Declared, ReadOptions

BLOCK_BYTES: Final = 4 * 1024 * 1024
"""Maximum number of bytes parsed at a time, and of a row."""

LEAST_BLOCK_BYTES: Final = 64 * 1024
CELLS_BYTES: Final = 48 * 1024 * 1024
"""Arrow reserves the size of a block for each column, regardless of its content."""

DISTINCT_CELLS: Final = 1_000_000
"""Distinct cells remembered for all columns together."""

JOINED_BYTES: Final = 4 * 1024 * 1024
"""Number of bytes of a wide table processed at a time."""

_RAGGED: Final = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+)")
_STRADDLES: Final = "straddling object"


def convert(
    source: Path, target: Path, options: ReadOptions, max_rows: int = NO_LIMIT
) -> tuple[pa.Schema, ReadOptions]:
    """Write the rows of a CSV file as Parquet. Returns the schema and the options that were used.

    The file is read once if its first block has the types that the whole file has; otherwise twice: for the
    types, then for the values. Raises a Fault.
    """
    dialect = delimiters.find(source, options.delimiter)
    names = _header(source, dialect)
    ensure_declared_exist(options.columns, names)
    kept = [name for name in names if options.columns.get(name) is not Declared.IGNORE]
    if not kept:
        raise Fault("bad_header", "all columns are declared `ignore`", line=1)
    file = _open(source, dialect, names, options)
    max_distinct = min(MAX_DISTINCT, DISTINCT_CELLS // len(kept))
    types = [ColumnType(options.columns.get(name), max_distinct) for name in kept]
    used = msgspec.structs.replace(options, delimiter=dialect.delimiter)
    with Draft(target, kept, types, max_rows) as draft:
        rows = 0
        batches = file.batches(kept)
        for batch in batches if draft.is_abandoned else _ahead(batches):
            values = []
            for name, cells, column_type in zip(kept, batch.columns, types, strict=True):
                found = file.see(name, cells, column_type, rows_before=rows)
                values.append(None if draft.is_abandoned else found)
            draft.add(batch, values)
            rows += batch.num_rows
        schema = schema_of(kept, types)
        if draft.finish(schema):
            return schema, used
    with RowGroups(target, schema, max_rows, repeating=draft.repeating) as groups:
        for batch in file.batches(kept, are_measured=True):
            values = [
                notation.convert(column, wanted)
                for column, wanted in zip(batch.columns, schema.types, strict=True)
            ]
            groups.add(pa.RecordBatch.from_arrays(values, schema=schema))
    return schema, used


def _header(source: Path, dialect: Dialect) -> list[str]:
    try:
        line, names = next((row for row in dialect.rows(source) if row[1]), (1, None))
    except csv.Error as error:
        raise Fault("bad_header", str(error), line=1) from None
    if names is None:
        raise Fault("bad_file", "it is empty")
    if line == dialect.lines_before:
        raise Fault("bad_file", "its lines end with CR alone; save it with LF or CRLF")
    check_names(names, line=line)
    return names


def _open(source: Path, dialect: Dialect, names: list[str], options: ReadOptions) -> "_File":
    """Look through the file, so that wide tables take no more memory than narrow ones.

    Raises a Fault for a misplaced quote.
    """
    where = source, dialect.delimiter, dialect.first_byte
    enough = CELLS_BYTES // len(names)
    if enough >= BLOCK_BYTES:
        rows, block_bytes = quotes.check(*where), BLOCK_BYTES
    else:
        rows = quotes.measure(*where)
        block_bytes = min(BLOCK_BYTES, max(LEAST_BLOCK_BYTES, enough, rows.longest + 2))
    return _File(source, dialect, names, options, block_bytes, rows.have_quotes)


@dataclass(frozen=True)
class _File:
    """A CSV file whose header and quotes have been read. `block_bytes` are parsed at a time."""

    source: Path
    dialect: Dialect
    names: list[str]
    options: ReadOptions
    block_bytes: int
    have_quotes: bool

    def batches(self, kept: list[str], *, are_measured: bool = False) -> Iterator[pa.RecordBatch]:
        """All rows of the kept columns, each cell a text or null.

        Checks the size of each row, unless they `are_measured` already.
        """
        with self.source.open("rb", buffering=0) as file:
            yield from self._batches(_WholeLineEnds(file), kept, are_measured=are_measured)

    def _batches(
        self, file: "_WholeLineEnds", kept: list[str], *, are_measured: bool
    ) -> Iterator[pa.RecordBatch]:
        rows = 1  # the header
        try:
            reader = pyarrow.csv.open_csv(
                pa.PythonFile(file, mode="r"),
                # With several threads, Arrow cannot tell which row is invalid.
                read_options=pyarrow.csv.ReadOptions(
                    use_threads=False, block_size=self.block_bytes, skip_rows=self.dialect.lines_before
                ),
                parse_options=pyarrow.csv.ParseOptions(
                    newlines_in_values=self.have_quotes,
                    delimiter=self.dialect.delimiter,
                ),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(self.names, TEXT),
                    include_columns=kept,
                    null_values=["", *self.options.null_values],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=True,
                    check_utf8=False,  # checked as it arrived
                ),
            )
            if reader.schema.names != kept:
                raise Fault("bad_header", "its quotes do not match", line=1)
            for batch in _join_small(reader, JOINED_BYTES if self.block_bytes < BLOCK_BYTES else 0):
                if not are_measured:
                    self._measure(batch, rows)
                rows += batch.num_rows
                yield batch
        except pa.ArrowKeyError:
            raise Fault("bad_header", "its quotes do not match", line=1) from None
        except pa.ArrowInvalid as error:
            raise self._fault(rows, str(error)) from error

    def see(
        self, name: str, cells: pa.Array, column_type: ColumnType, *, rows_before: int
    ) -> pa.Array | None:
        """Let a type see a block of its column; see `ColumnType.see`. Raises a Fault."""
        try:
            return column_type.see(cells)
        except TypeMismatch as error:
            raise self._mismatch(name, error, rows_before) from None

    def _measure(self, batch: pa.RecordBatch, rows_before: int) -> None:
        if not row_sizes.may_be_too_large(batch):
            return
        if (index := row_sizes.first_too_large(row_sizes.measure(batch))) is not None:
            raise row_too_large(self._line_of(rows_before + index + 1))

    def _mismatch(self, name: str, error: TypeMismatch, rows_before: int) -> Fault:
        """The fault of a cell that does not have the declared type."""
        declared = self.options.columns[name]
        reason = f"column {name[:50]!r} is declared a {declared}, but {error.cell[:50]!r} is not one"
        return Fault("bad_row", reason, line=self._line_of(rows_before + error.index + 2))

    def _fault(self, rows: int, message: str) -> Fault:
        if ragged := _RAGGED.search(message):
            row, expected, got = (int(number) for number in ragged.groups())
            reason = f"{got} cells, but there are {expected} columns"
            if self.dialect.delimiter != ",":
                reason += f" (separated by {self.dialect.delimiter!r})"
            return Fault("bad_row", reason, line=self._line_of(row - self.dialect.lines_before))
        if _STRADDLES in message:
            reason = f"a row longer than {BLOCK_BYTES} bytes; perhaps a quote is never closed"
            return Fault("bad_row", reason, line=self._line_of(rows + 1))
        return Fault("bad_row", message.splitlines()[0], line=self._line_of(rows + 1))

    def _line_of(self, row: int) -> int:
        """The line on which a row starts; the header is row 1. Slow, but used only for rejected files."""
        csv.field_size_limit(2**31 - 1)  # the fault may be a cell that never ends
        line = self.dialect.lines_before
        for last_line, cells_of_row in self.dialect.rows(self.source):
            row -= bool(cells_of_row)  # a blank line is not a row
            if row == 0:
                break
            line = last_line
        return line + 1


class _WholeLineEnds:
    """A file of which no part that is read ends between CR and LF: Arrow loses the LF, also within quotes."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._held = b""

    def read(self, size: int) -> bytes:
        """Read at most `size` bytes, at least two. Nothing at the end."""
        block = self._held + self._file.read(size - len(self._held))
        self._held = b""
        if len(block) > 1 and block.endswith(b"\r"):
            block, self._held = block[:-1], b"\r"
        return block

    def close(self) -> None:
        """Do nothing: the file is closed where it was opened."""


def _ahead(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same batches, each read in a thread while the caller works on the one before."""
    with ThreadPoolExecutor(1) as thread:
        reading = thread.submit(next, batches, None)
        while (batch := reading.result()) is not None:
            reading = thread.submit(next, batches, None)
            yield batch


def _join_small(batches: Iterable[pa.RecordBatch], size: int) -> Iterator[pa.RecordBatch]:
    """The batches, with small ones joined: processing each column of each of them takes far longer."""
    waiting: list[pa.RecordBatch] = []
    waiting_bytes = 0
    for batch in batches:
        waiting.append(_compact(batch) if size else batch)
        waiting_bytes += batch.nbytes if size else 0
        if waiting_bytes >= size:
            yield waiting[0] if len(waiting) == 1 else pa.concat_batches(waiting)
            waiting, waiting_bytes = [], 0
    if waiting:
        yield pa.concat_batches(waiting)


def _compact(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same batch in compact memory: Arrow's reader leaves each column far more than it needs."""
    return pa.ipc.read_record_batch(batch.serialize(), batch.schema)
