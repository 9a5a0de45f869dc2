"""Converts Parquet: checks the file and rewrites it in small row groups.

The footer is trusted only as far as it can be checked cheaply; everything else is bounded by the memory and
time limits of this process.
"""

from collections.abc import Callable, Iterator
from errno import EFBIG
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import types

from app.datasets.canonical_text import to_canonical_text
from app.datasets.conversion import cells, json_values, notation, row_sizes
from app.datasets.conversion.cells import SAMPLED, TYPED, ColumnType, TypeMismatch
from app.datasets.conversion.columns import (
    BOOLEAN,
    DATE,
    INDEX,
    INSTANT,
    INTEGER,
    LIST,
    NUMBER,
    OBJECT,
    TEXT,
    TIMESTAMP,
    check_names,
    ensure_declared_exist,
    field,
    json_type,
)
from app.datasets.conversion.faults import NO_LIMIT, Fault, row_too_large, too_many_rows
from app.datasets.conversion.row_groups import RowGroups
from app.datasets.options import Declared, ReadOptions
from app.datasets.values import EMPTY, MOSTLY_NUMBERS

BATCH_ROWS: Final = 2_500
MAX_CELL_BYTES: Final = 1024 * 1024
MAX_FOOTER_BYTES: Final = 64 * 1024 * 1024

BATCH_VALUES: Final = 1_000_000
BUFFERS_BYTES: Final = 64 * 1024 * 1024
"""Size of the buffers of all columns together, but at least LEAST_BUFFER_BYTES each."""

LEAST_BUFFER_BYTES: Final = 64 * 1024

EXACT_DIGITS: Final = 15
"""Digits of a decimal that every double reproduces."""

CUT: Final = "kept to the microsecond"

_FIRST: Final = {DATE: -719_162, TIMESTAMP: -719_162 * 86_400_000_000, INSTANT: -719_162 * 86_400_000_000}
_LAST: Final = {
    DATE: 2_932_896,
    TIMESTAMP: 2_932_897 * 86_400_000_000 - 1,
    INSTANT: 2_932_897 * 86_400_000_000 - 1,
}
"""The last day and the last microsecond of the year 9999, the limit of Python's types."""


def convert(
    source: Path, target: Path, options: ReadOptions, max_rows: int = NO_LIMIT
) -> tuple[pa.Schema, ReadOptions]:
    """Write the rows of a Parquet file in small row groups. Raises a Fault."""
    try:
        return _convert(source, target, options, max_rows), options
    except (pa.ArrowException, OSError, MemoryError) as error:
        if isinstance(error, OSError) and error.errno == EFBIG:
            raise
        message = str(error).splitlines() or [type(error).__name__]
        raise Fault("bad_file", f"it is not a complete Parquet file ({message[0][:200]})") from error


def _convert(source: Path, target: Path, options: ReadOptions, max_rows: int) -> pa.Schema:
    _check_footer(source)
    with _open(source) as file:
        check_names(file.schema_arrow.names, line=1)
        ensure_declared_exist(options.columns, file.schema_arrow.names)
        if file.metadata.num_rows > max_rows:
            raise too_many_rows(max_rows)
        kept = [
            column for column in file.schema_arrow if options.columns.get(column.name) is not Declared.IGNORE
        ]
        index = _index_of_pandas(file.schema_arrow)
        plans = [_Plan(column, options, is_index=column.name in index) for column in kept]
        _inspect_all(source, plans)
        _inspect_sample(file, plans)
        schema = pa.schema([plan.field for plan in plans])
        names = [plan.name for plan in plans]
        with RowGroups(target, schema, max_rows) as groups:
            for first, batch in _batches(file, names):
                columns = [
                    plan.convert(column, first) for plan, column in zip(plans, batch.columns, strict=True)
                ]
                groups.add(pa.RecordBatch.from_arrays(columns, schema=schema))
        return schema


def _open(source: Path) -> pq.ParquetFile:
    """Open the file, with text read as dictionaries, so that a repeated text is in memory once."""
    options = {"pre_buffer": False, "thrift_string_size_limit": MAX_FOOTER_BYTES}
    with pq.ParquetFile(source, **options) as file:
        metadata = file.metadata
    columns = [metadata.schema.column(index) for index in range(metadata.num_columns)]
    texts = [column.path for column in columns if column.logical_type.type == "STRING"]
    # Buffered, so that a column of a large row group is not in memory as a whole.
    buffer_bytes = max(LEAST_BUFFER_BYTES, min(1024 * 1024, BUFFERS_BYTES // max(1, len(columns))))
    return pq.ParquetFile(
        source, metadata=metadata, read_dictionary=texts, buffer_size=buffer_bytes, **options
    )


def _index_of_pandas(schema: pa.Schema) -> frozenset[str]:
    """The columns that were the index of a pandas data frame, according to its metadata."""
    try:
        metadata = schema.pandas_metadata
        names = () if metadata is None else metadata.get("index_columns", ())
        return frozenset(name for name in names if isinstance(name, str))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return frozenset()


def _inspect_all(source: Path, plans: "list[_Plan]") -> None:
    """Decide the types that depend on every value of a column. Raises a Fault."""
    unsettled = [plan for plan in plans if plan.is_unsettled]
    if not unsettled:
        return
    with _open(source) as file:
        for first, batch in _batches(file, [plan.name for plan in unsettled]):
            for plan, column in zip(unsettled, batch.columns, strict=True):
                plan.see(column, first)
    for plan in unsettled:
        plan.settle()


def _inspect_sample(file: pq.ParquetFile, plans: "list[_Plan]") -> None:
    """Detect what text columns hold, from the first rows and the footer."""
    texts = [plan for plan in plans if plan.is_plain_text]
    if not texts or not file.metadata.num_row_groups:
        return
    for _, batch in _batches(file, [plan.name for plan in texts]):
        for plan, column in zip(texts, batch.columns, strict=True):
            plan.sample(column)
        break
    for plan in texts:
        if plan.is_sample_empty and _is_empty(file.metadata, plan.name):
            plan.field = field(plan.name, TEXT, holds=EMPTY)


def _is_empty(metadata: pq.FileMetaData, name: str) -> bool:
    """Whether all rows are null, according to the footer."""
    paths = [metadata.schema.column(index).path for index in range(metadata.num_columns)]
    if name not in paths:
        return False
    index = paths.index(name)
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        statistics = group.column(index).statistics
        if statistics is None or statistics.null_count != group.num_rows:
            return False
    return True


def _check_footer(source: Path) -> None:
    """Check the declared length of the footer, which is read into memory at once."""
    with source.open("rb") as file:
        size = file.seek(0, 2)
        if size < 12:
            raise Fault("bad_file", "it is not a Parquet file")
        file.seek(-8, 2)
        footer_bytes = int.from_bytes(file.read(4), "little")
    if footer_bytes > min(size, MAX_FOOTER_BYTES):
        raise Fault("bad_file", f"its footer has {footer_bytes} bytes")


def _batches(file: pq.ParquetFile, names: list[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """All rows in batches of limited size, each with the number of rows before it."""
    rows = 0
    for batch in file.iter_batches(batch_size=_batch_rows(file.metadata), use_threads=False, columns=names):
        batch.validate(full=True)  # UTF-8, and offsets within their buffers
        sizes = row_sizes.measure(batch)
        if (index := row_sizes.first_too_large(sizes)) is not None:
            raise row_too_large(rows + index + 1)
        for first, part in row_sizes.slices(batch, sizes):
            yield rows + first, part.select(names)
        rows += batch.num_rows


def _batch_rows(metadata: pq.FileMetaData) -> int:
    """How many rows to read at a time: fewer if rows have many values, as in long lists."""
    values_per_row = 1.0
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        values = sum(group.column(index).num_values for index in range(group.num_columns))
        values_per_row = max(values_per_row, values / max(1, group.num_rows))
    return max(1, min(BATCH_ROWS, int(BATCH_VALUES / values_per_row)))


class _Plan:
    """How one column is converted."""

    def __init__(self, column: pa.Field, options: ReadOptions, *, is_index: bool) -> None:
        self.name = column.name
        self._values: Callable[[pa.Array], pa.Array] = _identity
        self._nulls = pa.array(options.null_values, TEXT)
        self._declared = options.columns.get(column.name)
        self._type: ColumnType | None = None
        self._digits = 0
        self.is_unsettled = False
        self.is_sample_empty = False
        arrow_type = column.type
        if types.is_dictionary(arrow_type):
            arrow_type = arrow_type.value_type
            self._values = _decode
        declared = INDEX if is_index and self._declared is None else None
        target = _target(arrow_type)
        if self._declared is not None and target is not None:
            self._type = ColumnType(self._declared)
            self.is_unsettled = self._declared in TYPED
            self.field = self._type.field(column.name)
        elif target is not None and types.is_decimal(arrow_type):
            self.is_unsettled = arrow_type.precision > EXACT_DIGITS
            self.field = field(column.name, TEXT, view=NUMBER, declared=declared)
        elif target is not None:
            empty = EMPTY if types.is_null(arrow_type) else None
            is_cut = types.is_timestamp(arrow_type) and arrow_type.unit == "ns"
            self.field = field(
                column.name, target, declared=declared, holds=empty, note=CUT if is_cut else None
            )
        elif types.is_map(arrow_type) or types.is_struct(arrow_type):
            self._ensure_not_deep(arrow_type)
            self.field = field(column.name, TEXT, OBJECT)
        elif _is_list(arrow_type):
            self._ensure_not_deep(arrow_type)
            self.field = field(column.name, TEXT, LIST)
        else:
            raise Fault(
                "bad_header",
                f"column {column.name!r} is of the type {arrow_type}, which has no JSON equivalent",
                line=1,
            )

    @property
    def is_plain_text(self) -> bool:
        """Whether it is a text column without further metadata."""
        return self.field.type == TEXT and self.field.metadata is None

    def see(self, column: pa.Array, first: int) -> None:
        """Process values that decide the type; `first` rows precede them. Raises a Fault."""
        texts = self._texts(self._values(column))
        if self._type is None:
            digits = pc.binary_length(pc.utf8_rtrim(texts, "0")) if len(texts) else texts
            self._digits = max(self._digits, pc.max(digits).as_py() or 0)
            return
        try:
            self._type.see(texts)
        except TypeMismatch as mismatch:
            reason = f"is declared a {self._declared}, but {mismatch.cell[:50]!r} is not one"
            raise self._fault(reason, first + mismatch.index) from None

    def settle(self) -> None:
        """Set the field, after all values have been processed."""
        if self._type is not None:
            self.field = self._type.field(self.name)
        elif self._digits > EXACT_DIGITS + len("-0."):
            note = f"text, because its decimals have more than {EXACT_DIGITS} digits"
            self.field = field(self.name, TEXT, holds=MOSTLY_NUMBERS, note=note)

    def sample(self, column: pa.Array) -> None:
        """Inspect the first values of a text column."""
        filled = [text for text in self._values(column.slice(0, SAMPLED)).to_pylist() if text]
        self.is_sample_empty = not filled
        self.field = cells.text_field(self.name, filled)

    def _texts(self, values: pa.Array) -> pa.Array:
        """The values as text, without those that count as missing."""
        if types.is_decimal(values.type):
            texts = pc.cast(values, TEXT)
        elif types.is_string(values.type) or types.is_large_string(values.type):
            texts = values.cast(TEXT)
        else:
            texts = pa.array([to_canonical_text(value) for value in values.to_pylist()], TEXT)
        return self._without_nulls(texts)

    def _without_nulls(self, texts: pa.Array) -> pa.Array:
        if not len(self._nulls):
            return texts
        return pc.if_else(pc.is_in(texts, self._nulls), pa.scalar(None, TEXT), texts)

    def convert(self, column: pa.Array, first: int) -> pa.Array:
        """The values as they are stored; `first` rows precede them. Raises a Fault."""
        values = self._values(column)
        wanted = self.field.type
        if self._type is not None:
            texts = self._texts(values)
            self._refuse(texts, TEXT, first)
            return notation.convert(texts, wanted)
        if types.is_decimal(values.type):
            return self._texts(values)
        if json_type(self.field) is not None:
            return pa.array([self._json(value, first + row) for row, value in enumerate(values)], TEXT)
        try:
            # Truncated to microseconds, the resolution of Python; years outside of its range are a fault.
            values = values.cast(options=pc.CastOptions(wanted, allow_time_truncate=True))
        except pa.ArrowInvalid as error:
            raise self._fault(f"does not fit: {str(error).splitlines()[0]}", first) from error
        self._refuse(values, wanted, first)
        return self._without_nulls(values) if wanted == TEXT else values

    def _refuse(self, values: pa.Array, wanted: pa.DataType, first: int) -> None:
        if wanted == NUMBER:
            self._refuse_where(pc.invert(pc.is_finite(values)), "is not a finite number", first)
        elif wanted == TEXT:
            self._refuse_where(pc.match_substring(values, "\0"), "has a NUL character", first)
            longest = pc.greater(pc.binary_length(values), MAX_CELL_BYTES)
            self._refuse_where(longest, f"is longer than {MAX_CELL_BYTES} bytes", first)
        elif wanted in _FIRST:
            number = values.cast(pa.int32() if wanted == DATE else pa.int64())
            outside = pc.or_(pc.less(number, _FIRST[wanted]), pc.greater(number, _LAST[wanted]))
            self._refuse_where(outside, "is not between the years 1 and 9999", first)

    def _refuse_where(self, flags: pa.Array, reason: str, first: int) -> None:
        index: int = pc.index(flags, True).as_py()
        if index >= 0:
            raise self._fault(reason, first + index)

    def _fault(self, reason: str, row: int) -> Fault:
        return Fault("bad_row", f"column {self.name!r} {reason}", line=row + 1)

    def _json(self, value: pa.Scalar, row: int) -> str | None:
        try:
            plain = value.as_py(maps_as_pydicts="strict")
        except (KeyError, ValueError, OverflowError) as error:
            raise self._fault(f"has no JSON: {error}", row) from error
        if plain is None:
            return None
        if (reason := json_values.fault(plain)) is not None:
            raise self._fault(f"cannot be kept: {reason}", row)
        encoded = msgspec.json.encode(plain)
        if len(encoded) > MAX_CELL_BYTES:
            raise self._fault(f"is longer than {MAX_CELL_BYTES} bytes", row)
        return encoded.decode()

    def _ensure_not_deep(self, arrow_type: pa.DataType) -> None:
        waiting = [(arrow_type, 0)]
        while waiting:
            part, depth = waiting.pop()
            if depth > json_values.MAX_DEPTH:
                raise Fault(
                    "bad_header",
                    f"column {self.name!r} is nested deeper than {json_values.MAX_DEPTH} levels",
                    line=1,
                )
            waiting += ((part.field(index).type, depth + 1) for index in range(part.num_fields))


def _target(arrow_type: pa.DataType) -> pa.DataType | None:
    """The type that a flat column is stored as; None for nested and unsupported types."""
    if types.is_string(arrow_type) or types.is_large_string(arrow_type) or types.is_string_view(arrow_type):
        return TEXT
    if types.is_null(arrow_type):
        return TEXT
    if types.is_boolean(arrow_type):
        return BOOLEAN
    if types.is_integer(arrow_type):
        return INTEGER
    if types.is_floating(arrow_type) or types.is_decimal(arrow_type):
        return NUMBER
    if types.is_date(arrow_type):
        return DATE
    if types.is_timestamp(arrow_type):
        return TIMESTAMP if arrow_type.tz is None else INSTANT
    return None


def _is_list(arrow_type: pa.DataType) -> bool:
    return bool(
        types.is_list(arrow_type) or types.is_large_list(arrow_type) or types.is_fixed_size_list(arrow_type)
    )


def _identity(column: pa.Array) -> pa.Array:
    return column


def _decode(column: pa.Array) -> pa.Array:
    return column.dictionary_decode()
