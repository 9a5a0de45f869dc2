"""Columns: their names, their types, and how each type is kept in Arrow and Parquet.

What JSON calls a list or an object is kept as its JSON text: a Parquet struct has the same members in every
row, and would give back nulls where there was nothing.

Cells of a CSV that a type would not give back as they were written (`0.560`, `TRUE`, `2024-01-01 10:00`) are
kept as texts, and the field says which type they are shown in: its *view*. A model whose column is a category
or a text is given the text, one whose column is a number the number.
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

VIEW: Final = b"headrace.view"
"""The key of a field's metadata that says in which type its texts are shown."""

DECLARED: Final = b"headrace.declared"
"""The key of a field's metadata that says what the client, or pandas, called it."""

INDEX: Final = "index"
"""What a column is declared to be that pandas had as the index of a frame."""

HOLDS: Final = b"headrace.holds"
"""The key of a field's metadata that says what a text column holds, where it is not just texts."""

NOTE: Final = b"headrace.note"
"""The key of a field's metadata that says why the type is not the one that a reader may expect."""

FORM: Final = b"headrace.form"
"""The key of a field's metadata that says how numbers were written; see `conversion.numbers`."""

_VIEWS: Final = {b"number": NUMBER, b"boolean": BOOLEAN, b"timestamp": TIMESTAMP, b"instant": INSTANT}
_VIEW_NAMES: Final = {arrow_type: name for name, arrow_type in _VIEWS.items()}

_WORDS: Final = {
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
    form: str | None = None,
) -> pa.Field:
    """A column of the Parquet file. `view` is the type in which its texts are shown, if it is not text."""
    metadata: dict[bytes, bytes] = {}
    if json_type is not None:
        metadata[JSON_TYPE] = json_type.encode()
    if view is not None and view != stored:
        metadata[VIEW] = _VIEW_NAMES[view]
    for key, value in ((DECLARED, declared), (HOLDS, holds), (NOTE, note), (FORM, form)):
        if value is not None:
            metadata[key] = value.encode()
    return pa.field(name, stored, metadata=metadata or None)


def json_type(column: pa.Field) -> str | None:
    """`list` or `object` if that is what the column's text is."""
    return _kept(column, JSON_TYPE)


def view(column: pa.Field) -> pa.DataType:
    """The type in which a column is shown; it is stored in it, or as the texts that were written."""
    shown: bytes | None = (column.metadata or {}).get(VIEW)
    return column.type if shown is None else _VIEWS[shown]


def declared(column: pa.Field) -> str | None:
    """What the client said that a column is, or `index` if pandas said so."""
    return _kept(column, DECLARED)


def form(column: pa.Field) -> str | None:
    """How the numbers of a column were written, if that is known."""
    return _kept(column, FORM)


def describe(schema: pa.Schema) -> list[Column]:
    """The columns of a Parquet file of ours, as users see them."""
    return [
        Column(
            name=column.name,
            type=json_type(column) or _WORDS[view(column)],
            declared=declared(column),
            holds=_kept(column, HOLDS),
            note=_kept(column, NOTE),
        )
        for column in schema
    ]


def _kept(column: pa.Field, key: bytes) -> str | None:
    value: bytes | None = (column.metadata or {}).get(key)
    return None if value is None else value.decode()


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


def ensure_declared_are_there(declared: Iterable[str], names: Iterable[str]) -> None:
    """Raise a Fault for a column that the client says something of, and that is not there."""
    there = set(names)
    missing = [name for name in declared if name not in there]
    if missing:
        raise Fault("bad_header", f"`columns` names what is not there: {quoted(missing)}", line=1)


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
