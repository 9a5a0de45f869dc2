"""Converts CSV (RFC 4180) with a header, also with line breaks within quotes. An empty cell is null."""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.csv

from app.datasets.conversion import delimiters, notation, quotes, row_sizes
from app.datasets.conversion.cells import ColumnType, TypeMismatch
from app.datasets.conversion.columns import TEXT, check_names, ensure_declared_exist
from app.datasets.conversion.delimiters import Dialect
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
    """Write the rows of a CSV file as Parquet. The file is read twice: for the types, then for the values.

    Returns the schema and the options that were used. Raises a Fault.
    """
    dialect = delimiters.find(source, options.delimiter)
    file = _File(source, dialect, _header(source, dialect), options)
    ensure_declared_exist(options.columns, file.names)
    kept = [name for name in file.names if options.columns.get(name) is not Declared.IGNORE]
    if not kept:
        raise Fault("bad_header", "all columns are declared `ignore`", line=1)
    block_bytes = _block_bytes(file)
    max_distinct = min(MAX_DISTINCT, DISTINCT_CELLS // len(kept))
    types = [ColumnType(options.columns.get(name), max_distinct) for name in kept]
    rows = 0
    for batch in file.batches(kept, block_bytes):
        for name, column, column_type in zip(kept, batch.columns, types, strict=True):
            try:
                column_type.see(column)
            except TypeMismatch as error:
                raise file.mismatch(name, error, rows) from None
        rows += batch.num_rows
    schema = pa.schema([column_type.field(name) for name, column_type in zip(kept, types, strict=True)])
    with RowGroups(target, schema, max_rows) as groups:
        for batch in file.batches(kept, block_bytes, are_measured=True):
            columns = [
                notation.convert(column, wanted)
                for column, wanted in zip(batch.columns, schema.types, strict=True)
            ]
            groups.add(pa.RecordBatch.from_arrays(columns, schema=schema))
    return schema, msgspec.structs.replace(options, delimiter=dialect.delimiter)


def _header(source: Path, dialect: Dialect) -> list[str]:
    try:
        line, names = next((row for row in dialect.rows(source) if row[1]), (1, None))
    except csv.Error as error:
        raise Fault("bad_header", str(error), line=1) from None
    if names is None:
        raise Fault("bad_file", "it is empty")
    check_names(names, line=line)
    return names


@dataclass(frozen=True)
class _File:
    """A CSV file whose header has been read."""

    source: Path
    dialect: Dialect
    names: list[str]
    options: ReadOptions

    def batches(
        self, kept: list[str], block_bytes: int, *, are_measured: bool = False
    ) -> Iterator[pa.RecordBatch]:
        """All rows of the kept columns, each cell a text or null.

        Checks the size of each row, unless they `are_measured` already.
        """
        rows = 1  # the header
        try:
            reader = pyarrow.csv.open_csv(
                self.source,
                # With several threads, Arrow cannot tell which row is invalid.
                read_options=pyarrow.csv.ReadOptions(
                    use_threads=False, block_size=block_bytes, skip_rows=self.dialect.lines_before
                ),
                parse_options=pyarrow.csv.ParseOptions(
                    newlines_in_values=True, delimiter=self.dialect.delimiter
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
            for batch in _join_small(reader, JOINED_BYTES if block_bytes < BLOCK_BYTES else 0):
                if not are_measured:
                    self._measure(batch, rows)
                rows += batch.num_rows
                yield batch
        except pa.ArrowKeyError:
            raise Fault("bad_header", "its quotes do not match", line=1) from None
        except pa.ArrowInvalid as error:
            raise self._fault(rows, str(error)) from error

    def _measure(self, batch: pa.RecordBatch, rows_before: int) -> None:
        if (index := row_sizes.first_too_large(row_sizes.measure(batch))) is not None:
            raise row_too_large(self._line_of(rows_before + index + 1))

    def mismatch(self, name: str, error: TypeMismatch, rows_before: int) -> Fault:
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


def _block_bytes(file: _File) -> int:
    """How much to parse at a time, so that wide tables take no more memory than narrow ones.

    Raises a Fault for a misplaced quote.
    """
    where = file.source, file.dialect.delimiter, file.dialect.first_byte
    enough = CELLS_BYTES // len(file.names)
    if enough >= BLOCK_BYTES:
        quotes.check(*where)
        return BLOCK_BYTES
    return min(BLOCK_BYTES, max(LEAST_BLOCK_BYTES, enough, quotes.longest_row(*where) + 2))
