"""Converts JSON Lines: one object per line. Absent members are null; types are those of JSON.

A column of integers and numbers is numeric. Any other mixture is text, in the form in which models read
categories: 3.0 is `3`, true is `true`, lists and objects are JSON.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa

from app.datasets.canonical_text import MAX_EXACT, to_canonical_text
from app.datasets.column_names import MAX_COLUMNS, name_fault
from app.datasets.conversion import cells, json_values, notation
from app.datasets.conversion.cells import SAMPLED, TYPED, ColumnType, TypeMismatch
from app.datasets.conversion.columns import (
    BOOLEAN,
    INTEGER,
    LIST,
    NUMBER,
    OBJECT,
    TEXT,
    ensure_declared_exist,
    field,
)
from app.datasets.conversion.faults import NO_LIMIT, Fault
from app.datasets.conversion.row_groups import RowGroups
from app.datasets.options import Declared, ReadOptions
from app.datasets.values import EMPTY, MOSTLY_NUMBERS

BATCH_ROWS: Final = 2_500
BATCH_BYTES: Final = 4 * 1024 * 1024

_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode
_KINDS: Final = {
    bool: "booleans",
    int: "integers",
    float: "numbers",
    str: "texts",
    list: "lists",
    dict: "objects",
}
_BOM: Final = b"\xef\xbb\xbf"


def convert(
    source: Path, target: Path, options: ReadOptions, max_rows: int = NO_LIMIT
) -> tuple[pa.Schema, ReadOptions]:
    """Write the rows of a JSON Lines file as Parquet. It is read twice: for the types, then for the values.

    Returns the schema and the options that were used. Raises a Fault.
    """
    kinds = _kinds(source)
    ensure_declared_exist(options.columns, kinds)
    declared_types = _declared_types(source, options)
    samples = _samples(source, options)
    plans: list[_Plan] = []
    for name, found in kinds.items():
        declared = options.columns.get(name)
        if declared is Declared.IGNORE:
            continue
        if declared is not None:
            column_type = declared_types.get(name, ColumnType(declared))
            plans.append(_Plan(name, column_type.field(name), _to_text, is_declared=True))
        else:
            plans.append(_plan(name, found - {type(None)}, samples.get(name, [])))
    if not plans:
        raise Fault("bad_file", "it has no columns")
    schema = pa.schema([plan.field for plan in plans])
    nulls = frozenset(options.null_values)
    with RowGroups(target, schema, max_rows) as groups:
        for _, rows in _batches(source):
            groups.add(pa.RecordBatch.from_arrays([plan.array(rows, nulls) for plan in plans], schema=schema))
    return schema, options


def _kinds(source: Path) -> dict[str, set[type]]:
    """The types of values in each column; `_Large` stands for an integer that is not exact as a double."""
    kinds: dict[str, set[type]] = {}
    for line, row in _rows(source):
        if (reason := json_values.fault(row)) is not None:
            raise Fault("bad_row", reason, line=line)
        for name, value in row.items():
            known = kinds.get(name)
            if known is None:
                known = kinds[name] = _new_column(name, kinds, line)
            kind = type(value)
            known.add(kind)
            if kind is int and not -MAX_EXACT <= value <= MAX_EXACT:
                known.add(_Large)
    if not kinds:
        raise Fault("bad_file", "it has no columns")
    return kinds


def _declared_types(source: Path, options: ReadOptions) -> dict[str, ColumnType]:
    """The types of declared columns. Raises a Fault for a value that does not have the declared type."""
    types = {name: ColumnType(kind) for name, kind in options.columns.items() if kind in TYPED}
    nulls = frozenset(options.null_values)
    for lines, rows in _batches(source) if types else ():
        for name, column_type in types.items():
            texts = pa.array([_present(_to_text(row.get(name)), nulls) for row in rows], TEXT)
            try:
                column_type.see(texts)
            except TypeMismatch as mismatch:
                reason = f"column {name[:50]!r} is declared a {options.columns[name]}, but"
                reason += f" {mismatch.cell[:50]!r} is not one"
                raise Fault("bad_row", reason, line=lines[mismatch.index]) from None
    return types


def _samples(source: Path, options: ReadOptions) -> dict[str, list[str]]:
    """The first texts of each column."""
    found: dict[str, list[str]] = {}
    for _, row in islice(_rows(source), SAMPLED):
        for name, value in row.items():
            if type(value) is str and value and value not in options.null_values:
                found.setdefault(name, []).append(value)
    return found


def _lines(source: Path) -> Iterator[tuple[int, bytes]]:
    with source.open("rb") as file:
        for number, line in enumerate(file, start=1):
            content = line.removeprefix(_BOM) if number == 1 else line
            if not content.isspace():
                yield number, content


def _rows(source: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in _lines(source):
        try:
            row = _decode(line)
        except RecursionError as error:
            raise Fault("bad_row", json_values.TOO_DEEP, line=number) from error
        except msgspec.MsgspecError as error:
            raise Fault("bad_row", _reason(error), line=number) from error
        if type(row) is not dict:
            raise Fault("bad_row", "it is JSON, but not an object", line=number)
        yield number, row


def _batches(source: Path) -> Iterator[tuple[list[int], list[dict[str, Any]]]]:
    """The rows in batches, each with its line numbers."""
    lines: list[int] = []
    rows: list[dict[str, Any]] = []
    size = 0
    for number, line in _lines(source):
        lines.append(number)
        rows.append(_decode(line))
        size += len(line)
        if len(rows) == BATCH_ROWS or size > BATCH_BYTES:
            yield lines, rows
            lines, rows, size = [], [], 0
    if rows:
        yield lines, rows


def _reason(error: msgspec.MsgspecError) -> str:
    message = str(error)
    if message == "Input data was truncated":
        return "the JSON is cut off, or has a surrogate without its other half"
    return message[:1].lower() + message[1:] if not message.startswith("JSON") else message


def _new_column(name: str, kinds: dict[str, set[type]], line: int) -> set[type]:
    if (reason := name_fault(name)) is not None:
        raise Fault("bad_row", f"a member {reason}", line=line)
    if len(kinds) == MAX_COLUMNS:
        raise Fault("bad_row", f"with this row there are more than {MAX_COLUMNS} columns", line=line)
    return set()


class _Large:
    """Type of an integer that is not exact as a double."""


@dataclass(frozen=True)
class _Plan:
    """How one column is stored. If `is_declared`, the client declared its type, and its text is parsed."""

    name: str
    field: pa.Field
    to_value: Callable[[Any], Any]
    is_declared: bool = False

    def array(self, rows: list[dict[str, Any]], nulls: frozenset[str]) -> pa.Array:
        """The values of the column in some rows."""
        name, to_value = self.name, self.to_value
        values = [to_value(row.get(name)) for row in rows]
        if (nulls and self.field.type == TEXT) or self.is_declared:
            values = [_present(value, nulls) for value in values]
        if self.is_declared:
            return notation.convert(pa.array(values, TEXT), self.field.type)
        return pa.array(values, self.field.type)


def _plan(name: str, kinds: set[type], sample: list[str]) -> _Plan:
    """How a column with these types of values is stored."""
    match kinds:
        case _ if not kinds:
            return _Plan(name, field(name, TEXT, holds=EMPTY), _identity)
        case _ if kinds == {bool}:
            return _Plan(name, field(name, BOOLEAN), _identity)
        case _ if kinds - {_Large} == {int}:
            return _Plan(name, field(name, INTEGER), _identity)
        case _ if kinds <= {float, int}:
            return _Plan(name, field(name, NUMBER), _to_float)
        case _ if kinds == {list}:
            return _Plan(name, field(name, TEXT, LIST), _to_json)
        case _ if kinds == {dict}:
            return _Plan(name, field(name, TEXT, OBJECT), _to_json)
        case _ if kinds == {str}:
            return _Plan(name, cells.text_field(name, sample), _identity)
    if _Large in kinds and kinds <= {float, int, _Large}:
        note = f"text, because integers beyond {MAX_EXACT} would not be reproduced exactly among decimals"
        return _Plan(name, field(name, TEXT, holds=MOSTLY_NUMBERS, note=note), _to_text)
    several = ", ".join(sorted(_KINDS[kind] for kind in kinds - {_Large}))
    note = f"text, because it holds values of several kinds: {several}"
    return _Plan(name, field(name, TEXT, note=note), _to_text)


def _identity(value: Any) -> Any:
    return value


def _to_float(value: Any) -> float | None:
    return None if value is None else float(value)


def _to_json(value: Any) -> str | None:
    return None if value is None else _encode(value).decode()


def _to_text(value: Any) -> str | None:
    return _to_json(value) if isinstance(value, list | dict) else to_canonical_text(value)


def _present(value: Any, nulls: frozenset[str]) -> Any:
    return None if value in nulls else value
