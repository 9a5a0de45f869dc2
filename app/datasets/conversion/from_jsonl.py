"""JSON Lines: an object a line. What a row does not have is null; JSON itself says what is a number.

A column of integers and numbers is one of numbers; one in which other things are mixed is text, each value as
JSON writes it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa

from app.datasets.conversion import json_values
from app.datasets.conversion.columns import (
    BOOLEAN,
    INTEGER,
    LIST,
    MAX_COLUMNS,
    NUMBER,
    OBJECT,
    TEXT,
    field,
    name_fault,
)
from app.datasets.conversion.faults import NO_LIMIT, Fault
from app.datasets.conversion.row_groups import RowGroups

BATCH_ROWS: Final = 2_500
BATCH_BYTES: Final = 4 * 1024 * 1024

_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode
_BOM: Final = b"\xef\xbb\xbf"


def convert(source: Path, target: Path, max_rows: int = NO_LIMIT) -> pa.Schema:
    """Write the rows of a JSON Lines file as Parquet. It is read twice: for the types, then for the values.

    Raises a Fault.
    """
    kinds: dict[str, set[type]] = {}
    for line, row in _rows(source):
        if (reason := json_values.fault(row)) is not None:
            raise Fault("bad_row", reason, line=line)
        for name, value in row.items():
            known = kinds.get(name)
            if known is None:
                known = kinds[name] = _new_column(name, kinds, line)
            known.add(type(value))
    if not kinds:
        raise Fault("bad_file", "it has no columns")
    plans = {name: _plan(found - {type(None)}) for name, found in kinds.items()}
    schema = pa.schema([field(name, *plan[:2]) for name, plan in plans.items()])
    with RowGroups(target, schema, max_rows) as groups:
        for rows in _batches(source):
            arrays = [
                pa.array([to_value(row.get(name)) for row in rows], arrow_type)
                for name, (arrow_type, _, to_value) in plans.items()
            ]
            groups.add(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return schema


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
            raise Fault("bad_row", "it is JSON, but no object", line=number)
        yield number, row


def _batches(source: Path) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    size = 0
    for _, line in _lines(source):
        rows.append(_decode(line))
        size += len(line)
        if len(rows) == BATCH_ROWS or size > BATCH_BYTES:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


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


Plan = tuple[pa.DataType, str | None, Callable[[Any], Any]]


def _plan(kinds: set[type]) -> Plan:
    """How a column that holds these kinds of values is kept: its type, its type in JSON, and each value."""
    if kinds == {bool}:
        return BOOLEAN, None, _as_it_is
    if kinds == {int}:
        return INTEGER, None, _as_it_is
    if kinds in ({float}, {int, float}):
        return NUMBER, None, _to_float
    if kinds == {list}:
        return TEXT, LIST, _to_json
    if kinds == {dict}:
        return TEXT, OBJECT, _to_json
    if kinds <= {str}:
        return TEXT, None, _as_it_is
    return TEXT, None, _to_text


def _as_it_is(value: Any) -> Any:
    return value


def _to_float(value: Any) -> float | None:
    return None if value is None else float(value)


def _to_json(value: Any) -> str | None:
    return None if value is None else _encode(value).decode()


def _to_text(value: Any) -> str | None:
    return value if isinstance(value, str) else _to_json(value)
