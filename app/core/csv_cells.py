"""Cells of CSV files that no spreadsheet takes for a formula."""

import csv
import io
import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

# A spreadsheet runs a cell that starts with one of these characters, or a full-width one, as a formula. Some
# skip white space and invisible characters before it.
_FORMULA: Final = re.compile(
    r"[\s\x00-\x20\x7f-\xa0\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]*[=+\-@＝＋－＠]|[\t\r\n]"
)

_PLAIN_NUMBER: Final = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
"""The class -1 and the phone number +4791234567 are not formulas."""

_encode: Final = msgspec.json.Encoder().encode


def cell(value: Any) -> Any:
    """Return a value as a cell: JSON for lists and objects, an apostrophe before what would be a formula."""
    match value:
        case bool() | dict() | list():
            return _encode(value).decode()
        case str() if _FORMULA.match(value) and not _PLAIN_NUMBER.fullmatch(value):
            return f"'{value}"
        case _:
            return value


def lines(rows: Sequence[Sequence[Any]]) -> bytes:
    """Return rows of cells as lines (RFC 4180)."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
