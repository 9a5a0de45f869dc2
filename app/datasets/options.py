"""Upload options, which override what the conversion detects."""

import codecs
from enum import StrEnum
from typing import Final

import msgspec

DELIMITERS: Final = (",", ";", "\t", "|")
"""Delimiters that are detected, the most common one first."""

MAX_NULL_VALUES: Final = 100
MAX_NULL_VALUE_LENGTH: Final = 200

UTF_8: Final = "utf-8"

_ENCODINGS: Final = frozenset(
    {
        *("ascii", "utf-8", "utf-16", "utf-16-le", "utf-16-be", "koi8-r", "koi8-u", "mac-roman"),
        *(f"iso8859-{part}" for part in (*range(1, 12), 13, 14, 15, 16)),
        *(f"cp{page}" for page in (437, 850, 852, 866, 932, 949, 950, *range(1250, 1259))),
        *("shift_jis", "euc_jp", "euc_kr", "gb2312", "gbk", "gb18030", "big5", "tis-620"),
    }
)
"""Supported encodings, by their Python names. Some Python codecs decompress, or do not decode to text."""


class Declared(StrEnum):
    """Column types that a client may declare. An ignored column is not stored."""

    NUMBER = "number"
    CATEGORY = "category"
    TEXT = "text"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    ID = "id"
    IGNORE = "ignore"


class ReadOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a file is read. `delimiter` is None if it is to be detected, and for formats without one.

    `null_values` are texts that count as missing, in addition to the empty cell of a CSV file.
    """

    delimiter: str | None = None
    encoding: str | None = None
    null_values: tuple[str, ...] = ()
    columns: dict[str, Declared] = {}


AS_FOUND: Final = ReadOptions()
"""Detect everything."""


def encoding(name: str) -> str | None:
    """Return Python's name of a supported encoding; None for any other."""
    try:
        found = codecs.lookup(name).name
    except (LookupError, ValueError):
        return None
    return found if found in _ENCODINGS else None
