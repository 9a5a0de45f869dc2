"""What the texts in a column are: the narrowest type that all of them have.

A type is settled over the whole file, block by block: it starts with the narrowest type of the first block
that has any text, and is widened when a later block does not fit. What began with integers may turn out to be
numbers, and numbers texts; nothing is ever narrowed. Where a value would not come back as it was written, it
is text: `007`, `0x1F`, and integers of more than 64 bits.
"""

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from app.datasets.conversion.columns import BOOLEAN, DATE, INSTANT, INTEGER, NUMBER, TEXT, TIMESTAMP

_NARROWEST_FIRST: Final = (BOOLEAN, INTEGER, NUMBER, DATE, TIMESTAMP, INSTANT)
_WIDER: Final = {INTEGER: NUMBER, DATE: TIMESTAMP}

_BOOLEANS: Final = pa.array(["true", "false", "True", "False", "TRUE", "FALSE"])
_TRUE: Final = pa.array(["true", "True", "TRUE"])
_NOT_AS_WRITTEN: Final = r"^[+-]?(0[0-9xX]|[0-9]{19,}$)"
_ASKED_FIRST: Final = (16, 1024, 32_768)
_FIRST_DAY: Final = -719_162
"""0001-01-01, the first day that Python knows, in days since 1970."""

_MICROSECONDS_OF_A_DAY: Final = 86_400_000_000


class ColumnType:
    """What is known of the type of one column of texts."""

    def __init__(self) -> None:
        self._type: pa.DataType | None = None

    @property
    def arrow_type(self) -> pa.DataType:
        """The type of the column; text if there was nothing in it."""
        return TEXT if self._type is None else self._type

    def see(self, texts: pa.Array) -> None:
        """Take in a block of the column."""
        if self._type == TEXT or texts.null_count == len(texts):
            return
        if self._type is None:
            self._type = next((wanted for wanted in _NARROWEST_FIRST if _fits(texts, wanted)), TEXT)
        while self._type != TEXT and not _fits(texts, self._type):
            self._type = _WIDER.get(self._type, TEXT)


def convert(texts: pa.Array, wanted: pa.DataType) -> pa.Array:
    """The texts as values of a type that they fit. Raises ArrowInvalid."""
    if wanted == TEXT:
        return texts
    if wanted == BOOLEAN:
        return pc.if_else(pc.is_null(texts), pa.scalar(None, BOOLEAN), pc.is_in(texts, _TRUE))
    return pc.cast(texts, wanted)


def _fits(texts: pa.Array, wanted: pa.DataType) -> bool:
    """Whether all texts have the type. A few are asked first: a cast composes an error for each misfit."""
    first = 0
    for end in (*_ASKED_FIRST, len(texts)):
        if first < end and not _all_fit(texts.slice(first, end - first), wanted):
            return False
        first = end
    return True


def _all_fit(texts: pa.Array, wanted: pa.DataType) -> bool:
    if wanted == BOOLEAN:
        return _all(pc.is_in(pc.drop_null(texts), _BOOLEANS))
    try:
        values = convert(texts, wanted)
    except pa.ArrowInvalid:
        return False
    if wanted == INTEGER:
        # Nineteen digits may be within 64 bits, and then they are kept as they are.
        return not _any(pc.match_substring_regex(texts, r"^-?0[0-9xX]"))
    if wanted == NUMBER:
        return _all(pc.is_finite(values)) and not _any(pc.match_substring_regex(texts, _NOT_AS_WRITTEN))
    if wanted == DATE:
        return _is_from(pc.cast(values, pa.int32()), _FIRST_DAY)
    return _is_from(pc.cast(values, pa.int64()), _FIRST_DAY * _MICROSECONDS_OF_A_DAY)


def _is_from(values: pa.Array, first: int) -> bool:
    least: int | None = pc.min(values).as_py()
    return least is None or least >= first


def _all(flags: pa.Array) -> bool:
    return pc.all(flags).as_py() is not False


def _any(flags: pa.Array) -> bool:
    return pc.any(flags).as_py() is True
