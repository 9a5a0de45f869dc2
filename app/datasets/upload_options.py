"""Parses the options of an upload request."""

from collections.abc import Sequence
from typing import Final

import msgspec

from app.core import text
from app.datasets.errors import BadOptions
from app.datasets.options import (
    DELIMITERS,
    MAX_NULL_VALUE_LENGTH,
    MAX_NULL_VALUES,
    Declared,
    ReadOptions,
)
from app.datasets.options import encoding as find_encoding
from app.datasets.values import Format

MAX_COLUMNS_DECLARED: Final = 1000

_decode_columns: Final = msgspec.json.Decoder(dict[str, Declared]).decode
_WORDS: Final = ", ".join(Declared)


def options(
    file_format: Format,
    *,
    delimiter: str | None,
    encoding: str | None,
    null_values: Sequence[str] | None,
    columns: str | None,
) -> ReadOptions:
    """Parse and check the options of an upload of this format. Raises BadOptions."""
    if delimiter is not None and file_format is not Format.CSV:
        raise BadOptions(option="delimiter", reason=f"the format {file_format} has no delimiter")
    if delimiter is not None and delimiter not in DELIMITERS:
        raise BadOptions(
            option="delimiter", reason=f"{delimiter[:20]!r} is not one of {', '.join(map(repr, DELIMITERS))}"
        )
    return ReadOptions(
        delimiter=delimiter,
        encoding=None if encoding is None else _encoding(file_format, encoding),
        null_values=_null_values(null_values or ()),
        columns={} if columns is None else _columns(columns),
    )


def _encoding(file_format: Format, name: str) -> str:
    if file_format is Format.PARQUET:
        raise BadOptions(option="encoding", reason="Parquet has no text encoding")
    found = find_encoding(name)
    if found is None:
        raise BadOptions(option="encoding", reason=f"{name[:50]!r} is not a supported encoding")
    return found


def _null_values(values: Sequence[str]) -> tuple[str, ...]:
    if len(values) > MAX_NULL_VALUES or any(len(value) > MAX_NULL_VALUE_LENGTH for value in values):
        reason = f"at most {MAX_NULL_VALUES} texts of at most {MAX_NULL_VALUE_LENGTH} characters are allowed"
        raise BadOptions(option="null_values", reason=reason)
    return tuple(dict.fromkeys(values))


def _columns(written: str) -> dict[str, Declared]:
    try:
        found = _decode_columns(written)
    except (msgspec.MsgspecError, RecursionError):
        reason = f"it is not a JSON object whose values are among {_WORDS}"
        raise BadOptions(option="columns", reason=reason) from None
    if len(found) > MAX_COLUMNS_DECLARED or not all(map(text.is_storable, found)):
        raise BadOptions(
            option="columns", reason=f"it has more than {MAX_COLUMNS_DECLARED} columns, or a NUL character"
        )
    return found
