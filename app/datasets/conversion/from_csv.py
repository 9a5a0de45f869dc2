"""CSV: RFC 4180 in UTF-8, with a header; commas, quotes, line breaks within quotes. An empty cell is null."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.csv

from app.datasets.conversion import cells, row_sizes
from app.datasets.conversion.cells import ColumnType
from app.datasets.conversion.columns import TEXT, check_names, field
from app.datasets.conversion.faults import NO_LIMIT, Fault, row_too_large
from app.datasets.conversion.row_groups import RowGroups

BLOCK_BYTES: Final = 4 * 1024 * 1024
"""How much is parsed at a time. A row is never longer."""

_RAGGED: Final = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+)")
_STRADDLES: Final = "straddling object"


def convert(source: Path, target: Path, max_rows: int = NO_LIMIT) -> pa.Schema:
    """Write the rows of a CSV file as Parquet. It is read twice: for the types, then for the values.

    Raises a Fault.
    """
    names = _header(source)
    types = [ColumnType() for _ in names]
    for batch in _batches(source, names):
        for column, column_type in zip(batch.columns, types, strict=True):
            column_type.see(column)
    schema = pa.schema(
        [field(name, column_type.arrow_type) for name, column_type in zip(names, types, strict=True)]
    )
    with RowGroups(target, schema, max_rows) as groups:
        for batch in _batches(source, names):
            columns = [
                cells.convert(column, wanted)
                for column, wanted in zip(batch.columns, schema.types, strict=True)
            ]
            groups.add(pa.RecordBatch.from_arrays(columns, schema=schema))
    return schema


def _header(source: Path) -> list[str]:
    with source.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        names = next((row for row in reader if row), None)
    if names is None:
        raise Fault("bad_file", "it is empty")
    check_names(names, line=reader.line_num)
    return names


def _batches(source: Path, names: list[str]) -> Iterator[pa.RecordBatch]:
    """All rows, every cell a text or null."""
    rows = 1  # the header
    try:
        reader = pyarrow.csv.open_csv(
            source,
            # With more threads than one it cannot say which row it is that is wrong.
            read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, TEXT),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
                check_utf8=False,  # checked as it arrived
            ),
        )
        if reader.schema.names != names:
            raise Fault("bad_header", "its quotes do not match", line=1)
        for batch in reader:
            if (place := row_sizes.first_too_large(row_sizes.of(batch))) is not None:
                raise row_too_large(_line_of(source, rows + place + 1))
            rows += batch.num_rows
            yield batch
    except pa.ArrowInvalid as error:
        raise _fault(source, rows, str(error)) from error


def _fault(source: Path, rows: int, message: str) -> Fault:
    if ragged := _RAGGED.search(message):
        row, expected, got = (int(number) for number in ragged.groups())
        reason = f"{got} cells, but there are {expected} columns"
        return Fault("bad_row", reason, line=_line_of(source, row))
    if _STRADDLES in message:
        reason = f"a row longer than {BLOCK_BYTES} bytes; perhaps a quote is never closed"
        return Fault("bad_row", reason, line=_line_of(source, rows + 1))
    return Fault("bad_row", message.splitlines()[0], line=_line_of(source, rows + 1))


def _line_of(source: Path, row: int) -> int:
    """The line on which a row starts; the header is row 1. Slow, for a file that is refused anyhow."""
    csv.field_size_limit(2**31 - 1)  # a cell that never ends is what we may be looking for
    with source.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        line = 0
        for cells_of_row in reader:
            row -= bool(cells_of_row)  # a blank line is no row
            if row == 0:
                break
            line = reader.line_num
        return line + 1
