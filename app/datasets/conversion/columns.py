"""Columns: their names, their types, and how each type is kept in Arrow and Parquet.

What JSON calls a list or an object is kept as its JSON text: a Parquet struct has the same members in every
row, and would give back nulls where there was nothing.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import pyarrow as pa

from app.datasets.conversion.faults import Fault
from app.datasets.values import Column

MAX_COLUMNS: Final = 1000
MAX_NAME_LENGTH: Final = 500

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
"""The key of a field's metadata that says that its text is the JSON of a list or an object."""

_WORDS: Final = {
    TEXT: "text",
    INTEGER: "integer",
    NUMBER: "number",
    BOOLEAN: "boolean",
    DATE: "date",
    TIMESTAMP: "timestamp",
    INSTANT: "timestamp",
}


def field(name: str, arrow_type: pa.DataType, json_type: str | None = None) -> pa.Field:
    """A column of the Parquet file."""
    return pa.field(name, arrow_type, metadata=None if json_type is None else {JSON_TYPE: json_type.encode()})


def json_type(column: pa.Field) -> str | None:
    """`list` or `object` if that is what the column's text is."""
    kept: bytes | None = (column.metadata or {}).get(JSON_TYPE)
    return None if kept is None else kept.decode()


def describe(schema: pa.Schema) -> list[Column]:
    """The columns of a Parquet file of ours, as users see them."""
    return [Column(name=column.name, type=json_type(column) or _WORDS[column.type]) for column in schema]


def check_names(names: Sequence[str], *, line: int) -> None:
    """Raise a Fault unless each column has a name, and each name has one column."""
    if len(names) > MAX_COLUMNS:
        raise Fault("bad_header", f"there are {len(names)} columns, more than {MAX_COLUMNS}", line=line)
    for place, name in enumerate(names, start=1):
        if (reason := name_fault(name)) is not None:
            raise Fault("bad_header", f"column {place} {reason}", line=line)
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise Fault("bad_header", f"more than one column is called {quoted(repeated)}", line=line)


def name_fault(name: str) -> str | None:
    """What is wrong with the name of a column, if anything."""
    if not name.strip():
        return "has no name"
    if len(name) > MAX_NAME_LENGTH:
        return f"has a name of {len(name)} characters, more than {MAX_NAME_LENGTH}"
    if "\0" in name:
        return "has a NUL character in its name"
    return None


def quoted(names: Iterable[str], *, at_most: int = 5) -> str:
    """Names as a sentence has them."""
    return ", ".join(repr(name[:50]) for name in list(names)[:at_most])
