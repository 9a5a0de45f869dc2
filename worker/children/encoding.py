"""What handlers compute, as JSON: checked here, where the error still knows which row it was."""

import math
from collections.abc import Mapping, Sequence
from itertools import repeat, starmap
from typing import Any, Final

import msgspec

MAX_TEXT_CHARACTERS: Final = 8000


class RowError(msgspec.Struct, frozen=True):
    """Stands where the output of a row would, if there can be none: a stable code, and a sentence."""

    code: str
    message: str


class _Line(msgspec.Struct, gc=False):
    """What is stored for a row. A member that is not set is not written."""

    id: Any = msgspec.UNSET
    prediction: Any = msgspec.UNSET
    error: RowError | msgspec.UnsetType = msgspec.UNSET


_encode: Final = msgspec.json.Encoder().encode
_encode_lines: Final = msgspec.json.Encoder().encode_lines

_REFUSALS: Final = (TypeError, ValueError, OverflowError, RecursionError)


class NotJson(Exception):
    """This is not JSON, or not such as Postgres can store; the message says where and why."""


def json_lines(outputs: Sequence[Any], first_row: int, ids: Sequence[Any] | None = None) -> bytes:
    """One line for each output: `{"prediction": …}`, or `{"error": …}` for a RowError, after the row's `id`.

    Raises NotJson naming the row, counted from `first_row`.
    """
    try:
        lines = _encode_lines(_lines(outputs, ids))
        # msgspec writes NaN and infinity as null. Looking for them costs more than the encoding, so
        # it is done only where a null shows that there may be some.
        if b"null" in lines:
            _check_numbers(msgspec.to_builtins(outputs))
    except _REFUSALS as error:
        raise NotJson(_fault_in_rows(outputs, first_row)) from error
    return lines


def _lines(outputs: Sequence[Any], ids: Sequence[Any] | None) -> list[_Line]:
    row_ids = repeat(msgspec.UNSET, len(outputs)) if ids is None else ids
    by_row = zip(row_ids, outputs, strict=True)
    if RowError in map(type, outputs):
        return [_line(output, row_id) for row_id, output in by_row]
    return list(starmap(_Line, by_row))


def _line(output: Any, row_id: Any) -> _Line:
    return _Line(row_id, error=output) if isinstance(output, RowError) else _Line(row_id, output)


def json_object(value: object) -> bytes:
    """The JSON of one object that goes into a jsonb column. Raises NotJson."""
    return _encode(plain_object(value))


def plain_object(value: object) -> dict[str, Any]:
    """The object in plain JSON types, as a jsonb column takes it. Raises NotJson."""
    if not isinstance(value, Mapping):
        raise NotJson(f"a {type(value).__name__} is no JSON object")
    try:
        plain: dict[str, Any] = msgspec.to_builtins(dict(value), str_keys=True)
        _check_numbers(plain)
        _check_texts(plain)
    except _REFUSALS as error:
        raise NotJson(_told(error)) from error
    return plain


def plain_text(text: str) -> str:
    """The text as a text column takes it: no NUL, no lone surrogates, and not endless."""
    return (
        text[:MAX_TEXT_CHARACTERS]
        .replace("\0", "\N{REPLACEMENT CHARACTER}")
        .encode(errors="replace")
        .decode()
    )


def _fault_in_rows(outputs: Sequence[Any], first_row: int) -> str:
    for row, output in enumerate(outputs, first_row):
        try:
            _encode(output)
            _check_numbers(msgspec.to_builtins(output))
        except _REFUSALS as error:
            return f"row {row}: {_told(error)}"
    return "the outputs are no list"


def _told(error: Exception) -> str:
    return "too deeply nested" if isinstance(error, RecursionError) else str(error)


def _check_numbers(value: Any) -> None:
    match value:
        case float() if not math.isfinite(value):
            raise ValueError(f"{value} is no JSON number")
        case dict():
            for member in value.values():
                _check_numbers(member)
        case list() | tuple():
            for member in value:
                _check_numbers(member)


def _check_texts(value: Any) -> None:
    match value:
        case str():
            if "\0" in value:
                raise ValueError("a text with NUL cannot be stored")
            value.encode()
        case dict():
            for name, member in value.items():
                _check_texts(name)
                _check_texts(member)
        case list() | tuple():
            for member in value:
                _check_texts(member)
