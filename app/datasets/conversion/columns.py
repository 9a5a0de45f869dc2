"""Columns: their names, their types, and how each type is stored in Arrow and Parquet.

Lists and objects are stored as JSON text: a Parquet struct has the same members in every row, and would
return nulls for absent ones.

Cells of a CSV file that a type would not reproduce exactly (`0.560`, `TRUE`, `2024-01-01 10:00`) are stored
as text, and the field names the type that users see: its *view*. A model with a text or category column
receives the text, a model with a number column the number.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import pyarrow as pa

from app.datasets.column_names import MAX_COLUMNS, name_fault
from app.datasets.conversion.faults import Fault
from app.datasets.values import Column

TEXT: Final = pa.string()
INTEGER: Final = pa.int64()
NUMBER: Final = pa.float64()
BOOLEAN: Final = pa.bool_()
DATE: Final = pa.date32()
TIMESTAMP: Final = pa.timestamp("us")
INSTANT: Final = pa.timestamp("us", tz="UTC")

LIST: Final = "list"
OBJECT: Final = "object"
JSON_TYPE: Final = b"headrace.json"
"""Metadata key: the text is the JSON of a `list` or an `object`."""

VIEW: Final = b"headrace.view"
"""Metadata key: the type in which the stored text is shown."""

DECLARED: Final = b"headrace.declared"
"""Metadata key: the type that the client, or pandas, declared."""

INDEX: Final = "index"
"""Declared type of a column that was the index of a pandas data frame."""

HOLDS: Final = b"headrace.holds"
"""Metadata key: what a text column holds if not ordinary text; see `Column.holds`."""

NOTE: Final = b"headrace.note"
"""Metadata key: why the type is not the one that a reader may expect."""

NOTATION: Final = b"headrace.form"
"""Metadata key: the notation of the numbers; see `conversion.numbers`."""

_VIEWS: Final = {b"number": NUMBER, b"boolean": BOOLEAN, b"timestamp": TIMESTAMP, b"instant": INSTANT}
_VIEW_NAMES: Final = {arrow_type: name for name, arrow_type in _VIEWS.items()}

_TYPE_NAMES: Final = {
    TEXT: "text",
    INTEGER: "integer",
    NUMBER: "number",
    BOOLEAN: "boolean",
    DATE: "date",
    TIMESTAMP: "timestamp",
    INSTANT: "timestamp",
}


def field(
    name: str,
    stored: pa.DataType,
    json_type: str | None = None,
    *,
    view: pa.DataType | None = None,
    declared: str | None = None,
    holds: str | None = None,
    note: str | None = None,
    notation: str | None = None,
) -> pa.Field:
    """A column of the Parquet file. `view` is the type in which its text is shown, if not as text."""
    metadata: dict[bytes, bytes] = {}
    if json_type is not None:
        metadata[JSON_TYPE] = json_type.encode()
    if view is not None and view != stored:
        metadata[VIEW] = _VIEW_NAMES[view]
    for key, value in ((DECLARED, declared), (HOLDS, holds), (NOTE, note), (NOTATION, notation)):
        if value is not None:
            metadata[key] = value.encode()
    return pa.field(name, stored, metadata=metadata or None)


def json_type(column: pa.Field) -> str | None:
    """`list` or `object` for a column of JSON text; None for any other."""
    return _read_metadata(column, JSON_TYPE)


def view(column: pa.Field) -> pa.DataType:
    """The type in which a column is shown. It is stored in this type, or as text."""
    shown: bytes | None = (column.metadata or {}).get(VIEW)
    return column.type if shown is None else _VIEWS[shown]


def declared(column: pa.Field) -> str | None:
    """The type that the client declared, or `index` for a pandas index."""
    return _read_metadata(column, DECLARED)


def notation(column: pa.Field) -> str | None:
    """The notation of the numbers of a column, if it is known."""
    return _read_metadata(column, NOTATION)


def describe(schema: pa.Schema) -> list[Column]:
    """The columns of a converted file, as users see them."""
    return [
        Column(
            name=column.name,
            type=json_type(column) or _TYPE_NAMES[view(column)],
            declared=declared(column),
            holds=_read_metadata(column, HOLDS),
            note=_read_metadata(column, NOTE),
        )
        for column in schema
    ]


def _read_metadata(column: pa.Field, key: bytes) -> str | None:
    value: bytes | None = (column.metadata or {}).get(key)
    return None if value is None else value.decode()


def check_names(names: Sequence[str], *, line: int) -> None:
    """Raise a Fault unless each column has a valid and unique name."""
    if len(names) > MAX_COLUMNS:
        raise Fault("bad_header", f"there are {len(names)} columns, more than {MAX_COLUMNS}", line=line)
    for number, name in enumerate(names, start=1):
        if (reason := name_fault(name)) is not None:
            raise Fault("bad_header", f"column {number} {reason}", line=line)
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise Fault("bad_header", f"more than one column is called {quote(repeated)}", line=line)


def ensure_declared_exist(declared: Iterable[str], names: Iterable[str]) -> None:
    """Raise a Fault for a declared column that the file does not have."""
    existing = set(names)
    missing = [name for name in declared if name not in existing]
    if missing:
        raise Fault("bad_header", f"`columns` names columns that do not exist: {quote(missing)}", line=1)


def quote(names: Iterable[str], *, at_most: int = 5) -> str:
    """Quote and join names for an error message."""
    return ", ".join(repr(name[:50]) for name in list(names)[:at_most])
