"""Encode the outputs of handlers as JSON, in the child, where an error can name the row."""

import math
from collections.abc import Mapping, Sequence
from itertools import repeat, starmap
from typing import Any, Final

import msgspec

MAX_TEXT_CHARACTERS: Final = 8000


class RowError(msgspec.Struct, frozen=True):
    """Takes the place of the output of a row that failed. `code` is stable, `message` is for the user."""

    code: str
    message: str


class _Line(msgspec.Struct, gc=False):
    """The stored JSON object of a row. Unset members are left out."""

    id: Any = msgspec.UNSET
    prediction: Any = msgspec.UNSET
    error: RowError | msgspec.UnsetType = msgspec.UNSET


_encode: Final = msgspec.json.Encoder().encode
_encode_lines: Final = msgspec.json.Encoder().encode_lines

_ENCODING_ERRORS: Final = (TypeError, ValueError, OverflowError, RecursionError)


class NotJson(Exception):
    """The value is not JSON, or not JSON that Postgres can store. The message says where and why."""


def json_lines(outputs: Sequence[Any], first_row: int, ids: Sequence[Any] | None = None) -> bytes:
    """Return one line for each output: `{"id", "prediction"}`, or `{"id", "error"}` for a RowError.

    Raises NotJson with the number of the row, counted from `first_row`.
    """
    try:
        lines = _encode_lines(_lines(outputs, ids))
        # msgspec writes NaN and infinity as null. Searching the values costs more than encoding them, so they
        # are searched only if the output contains a null.
        if b"null" in lines:
            _check_numbers(msgspec.to_builtins(outputs))
    except _ENCODING_ERRORS as error:
        raise NotJson(_describe_first_fault(outputs, first_row)) from error
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
    """Return the JSON of an object for a jsonb column. Raises NotJson."""
    return _encode(plain_object(value))


def plain_object(value: object) -> dict[str, Any]:
    """Convert an object to plain JSON types that a jsonb column accepts. Raises NotJson."""
    if not isinstance(value, Mapping):
        raise NotJson(f"a {type(value).__name__} is not a JSON object; return a dict")
    try:
        plain: dict[str, Any] = msgspec.to_builtins(dict(value), str_keys=True)
        _check_numbers(plain)
        _check_texts(plain)
    except _ENCODING_ERRORS as error:
        raise NotJson(_describe(error)) from error
    return plain


def plain_text(text: str) -> str:
    """Make a text safe for a text column: replace NUL and lone surrogates, cut to MAX_TEXT_CHARACTERS."""
    return (
        text[:MAX_TEXT_CHARACTERS]
        .replace("\0", "\N{REPLACEMENT CHARACTER}")
        .encode(errors="replace")
        .decode()
    )


def _describe_first_fault(outputs: Sequence[Any], first_row: int) -> str:
    for row, output in enumerate(outputs, first_row):
        try:
            _encode(output)
            _check_numbers(msgspec.to_builtins(output))
        except _ENCODING_ERRORS as error:
            return f"row {row}: {_describe(error)}"
    return "the outputs are not a list with one output for each row"


def _describe(error: Exception) -> str:
    return "the value is nested too deeply" if isinstance(error, RecursionError) else str(error)


def _check_numbers(value: Any) -> None:
    match value:
        case float() if not math.isfinite(value):
            raise ValueError(f"{value} is not a JSON number")
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
                raise ValueError("Postgres cannot store the character NUL (U+0000)")
            value.encode()
        case dict():
            for name, member in value.items():
                _check_texts(name)
                _check_texts(member)
        case list() | tuple():
            for member in value:
                _check_texts(member)
