"""What a client may say about a file, to overrule what the conversion would guess."""

import codecs
from enum import StrEnum
from typing import Final

import msgspec

DELIMITERS: Final = (",", ";", "\t", "|")
"""Those that are looked for, the usual one first."""

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
"""By Python's names. Not all that Python has: some of its codecs inflate, or need not be texts."""


class Declared(StrEnum):
    """What a client may say that a column holds. A column that is to be ignored is not kept."""

    NUMBER = "number"
    CATEGORY = "category"
    TEXT = "text"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    ID = "id"
    IGNORE = "ignore"


class ReadOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a file is read. `delimiter` is None where it is to be found, and for what has none.

    `null_values` are the texts that count as missing, beside an empty cell of a CSV.
    """

    delimiter: str | None = None
    encoding: str | None = None
    null_values: tuple[str, ...] = ()
    columns: dict[str, Declared] = {}


AS_FOUND: Final = ReadOptions()
"""Nothing is said of the file."""


def encoding(name: str) -> str | None:
    """Python's name of an encoding that text files may have; None for one that is not taken."""
    try:
        found = codecs.lookup(name).name
    except (LookupError, ValueError):
        return None
    return found if found in _ENCODINGS else None
