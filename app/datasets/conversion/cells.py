"""Infers the type of a text column: the narrowest type that fits all its cells.

The type is inferred over the whole file, block by block: it starts with the narrowest type of the first block
that has any text, and is widened when a later block does not fit, from integers to numbers, and to text. It
is never narrowed. A column is text if a value would not be reproduced exactly: `007`, `+47…`, `3.10` next to
`3.1`, and integers of more than 64 bits.

The type that users see and the stored type may differ: cells are stored in their type only if that reproduces
each of them exactly, and otherwise as text.
"""

import re
from bisect import bisect_left
from operator import itemgetter
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from app.datasets.canonical_text import NUMBER as READS_AS_NUMBER
from app.datasets.canonical_text import not_a_number, number_fault
from app.datasets.conversion import numbers
from app.datasets.conversion.columns import (
    BOOLEAN,
    DATE,
    INSTANT,
    INTEGER,
    NUMBER,
    TEXT,
    TIMESTAMP,
    field,
)
from app.datasets.conversion.notation import convert
from app.datasets.conversion.numbers import MAX_DISTINCT, Numbers
from app.datasets.options import Declared
from app.datasets.values import EMPTY, MOSTLY_NUMBERS

_NARROWEST_FIRST: Final = (BOOLEAN, INTEGER, NUMBER, DATE, TIMESTAMP, INSTANT)
_WIDER: Final = {INTEGER: NUMBER, DATE: TIMESTAMP}
TYPED: Final = {
    Declared.NUMBER: (INTEGER, NUMBER),
    Declared.BOOLEAN: (BOOLEAN,),
    Declared.TIMESTAMP: (DATE, TIMESTAMP, INSTANT),
}

_BOOLEANS: Final = pa.array(["true", "false", "True", "False", "TRUE", "FALSE"])
_CANONICAL: Final = pa.array(["true", "false"])
_ALSO_BOOLEANS: Final = pa.array([*_BOOLEANS.to_pylist(), "0", "1"])
_TRIED_FIRST: Final = (16, 1024)
"""A few cells are tried before all of them: a cast formats an error for each mismatch."""

SAMPLED: Final = 200
_READS_AS_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].*)?")
_FIRST_DAY: Final = -719_162
"""0001-01-01, the first day of Python's `date`, in days since 1970."""

_MICROSECONDS_OF_A_DAY: Final = 86_400_000_000


class TypeMismatch(ValueError):
    """A cell that does not have the declared type. `index` is its position in the block."""

    def __init__(self, index: int, cell: str) -> None:
        super().__init__(cell)
        self.index = index
        self.cell = cell


class ColumnType:
    """Infers the type of one text column."""

    def __init__(self, declared: Declared | None = None, max_distinct: int = MAX_DISTINCT) -> None:
        self._declared = declared
        self._type: pa.DataType | None = None
        self._numbers = Numbers(max_distinct)
        self._are_canonical = True
        self._is_filled = False
        self._sample: list[str] = []
        self._fault: str | None = None

    @property
    def kind(self) -> pa.DataType | None:
        """The type so far; None while no cell has been seen."""
        return self._type

    def see(self, texts: pa.Array) -> pa.Array | None:
        """Process a block of the column. Returns its cells as values of `kind` if they were converted.

        Raises TypeMismatch for a cell that does not have the declared type.
        """
        if texts.null_count == len(texts):
            return None
        self._is_filled = True
        wanted = None if self._declared is None else TYPED.get(self._declared)
        if self._type == TEXT or (self._declared is not None and wanted is None):
            self._type = TEXT
            return None
        filled = texts.drop_null() if texts.null_count else texts
        if not self._sample:
            self._sample = filled.slice(0, SAMPLED).to_pylist()
        if wanted is not None:
            self._see_declared(texts, filled, wanted)
            return None
        for kind in _NARROWEST_FIRST if self._type is None else _no_narrower(self._type):
            values = _read(filled, kind)
            if values is not None:
                self._type = kind
                self._learn(filled, values)
                return _with_nulls(values, texts)
        self._fault = _fault(self._sample, pa.concat_arrays([pa.array(self._sample[:1]), filled]))
        self._type = TEXT
        return None

    def field(self, name: str) -> pa.Field:
        """The field of the column: how it is stored and shown. An empty column is text."""
        declared = None if self._declared is None else self._declared.value
        if self._type is None or not self._is_filled:
            return field(name, TEXT, declared=declared, holds=EMPTY)
        view, reason = self._type, None
        if self._declared is Declared.NUMBER:
            return field(name, self._type, declared=declared)
        if view == NUMBER:
            reason = self._numbers.fault()
            view = NUMBER if reason is None else TEXT
        if view == TEXT and self._declared is None:
            return text_field(name, self._sample, reason or self._fault)
        notation = self._numbers.notation if view == NUMBER else None
        is_kept = {NUMBER: notation is not None, BOOLEAN: self._are_canonical, INTEGER: True, DATE: True}
        stored = view if is_kept.get(view, False) else TEXT
        return field(name, stored, view=view, declared=declared, notation=notation)

    def _learn(self, filled: pa.Array, values: pa.Array) -> None:
        if self._type == NUMBER:
            self._numbers.see(filled, values)
        elif self._type == INTEGER:  # a later block may widen it to numbers
            self._numbers.see_integers(filled, values)
        elif self._type == BOOLEAN and self._are_canonical:
            self._are_canonical = _all(pc.is_in(filled, _CANONICAL))

    def _see_declared(self, texts: pa.Array, filled: pa.Array, wanted: tuple[pa.DataType, ...]) -> None:
        left = wanted if self._type is None else wanted[wanted.index(self._type) :]
        for kind in left:
            if _can_be(filled, kind):
                self._type = kind
                self._are_canonical = False
                return
        for index, cell in enumerate(texts.to_pylist()):
            if cell is not None and not _can_be(pa.array([cell]), left[-1]):
                raise TypeMismatch(index, cell)
        raise TypeMismatch(0, filled[0].as_py())


def text_field(name: str, sample: list[str], reason: str | None = None) -> pa.Field:
    """The field of a text column with these first cells. `reason` says why they are no numbers or dates."""
    are_numbers = _are_mostly(READS_AS_NUMBER, sample)
    if are_numbers:
        reason = reason or _no_numbers(sample)
    note = None if reason is None else f"text, because {reason}"
    return field(name, TEXT, holds=MOSTLY_NUMBERS if are_numbers else None, note=note)


def _fault(sample: list[str], cells: pa.Array) -> str | None:
    """Why cells are text although most of the sample are numbers or dates; None if they are not."""
    if _are_mostly(READS_AS_NUMBER, sample):
        return _no_numbers(cells.to_pylist())
    return _no_date(cells) if _are_mostly(_READS_AS_DATE, sample) else None


def _are_mostly(expected: re.Pattern[str], sample: list[str]) -> bool:
    found = sum(expected.fullmatch(cell) is not None for cell in sample)
    return found > 0 and 2 * found >= len(sample)


def _with_nulls(values: pa.Array, texts: pa.Array) -> pa.Array:
    """The values of the filled cells, with a null for each empty one."""
    if not texts.null_count:
        return values
    places = pc.cumulative_sum(pc.is_valid(texts).cast(pa.int32()))
    return values.take(pc.if_else(pc.is_valid(texts), pc.subtract(places, 1), None))


def _no_narrower(kind: pa.DataType) -> tuple[pa.DataType, ...]:
    return (kind, _WIDER[kind]) if kind in _WIDER else (kind,)


def _read(filled: pa.Array, wanted: pa.DataType) -> pa.Array | None:
    """The cells as values of a type; None if one of them does not fit."""
    for end in _TRIED_FIRST:
        if end < len(filled) and _convert(filled.slice(0, end), wanted) is None:
            return None
    values = _convert(filled, wanted)
    return values if values is not None and _are_kept(filled, values, wanted) else None


def _convert(cells: pa.Array, wanted: pa.DataType) -> pa.Array | None:
    if wanted == BOOLEAN and not _all(pc.is_in(cells, _BOOLEANS)):
        return None
    try:
        return convert(cells, wanted)
    except pa.ArrowInvalid:
        return None


def _are_kept(filled: pa.Array, values: pa.Array, wanted: pa.DataType) -> bool:
    """Whether the values lose nothing of the cells."""
    if wanted == BOOLEAN:
        return True
    if wanted == INTEGER:
        return not numbers.has_zeros(filled)
    if wanted == NUMBER:
        return numbers.fault_of(filled, values) is None
    return _is_in_range(values, wanted)


def _can_be(filled: pa.Array, wanted: pa.DataType) -> bool:
    """Whether cells can be read as a declared type, in which 007 is a number and 1 is true."""
    if wanted == BOOLEAN:
        return _all(pc.is_in(filled, _ALSO_BOOLEANS))
    try:
        values = convert(filled, wanted)
    except pa.ArrowInvalid:
        return False
    if wanted == INTEGER:
        return not _any(pc.match_substring_regex(filled, "[xX]"))
    return _all(pc.is_finite(values)) if wanted == NUMBER else _is_in_range(values, wanted)


def _is_in_range(values: pa.Array, wanted: pa.DataType) -> bool:
    if wanted == DATE:
        return _is_from(pc.cast(values, pa.int32()), _FIRST_DAY)
    return _is_from(pc.cast(values, pa.int64()), _FIRST_DAY * _MICROSECONDS_OF_A_DAY)


def _is_from(values: pa.Array, first: int) -> bool:
    least: int | None = pc.min(values).as_py()
    return least is None or least >= first


def _no_numbers(cells: list[str]) -> str | None:
    """The reason that names the first cell that is not a number, or may not become one; None without any."""
    for cell in cells:
        if not READS_AS_NUMBER.fullmatch(cell):
            return not_a_number(cell, shown=repr(cell[:40]))
    return number_fault(dict.fromkeys(cells))


def _no_date(cells: pa.Array) -> str | None:
    """The reason that names the first cell that is not a date like those before it; None if there is none."""
    kind, before = max(((kind, _readable(cells, kind)) for kind in (TIMESTAMP, INSTANT)), key=itemgetter(1))
    if before == len(cells):
        return None
    cell, other = cells.slice(before, 1), INSTANT if kind == TIMESTAMP else TIMESTAMP
    shown = repr(cell[0].as_py()[:40])
    if _read(cell, other) is None:
        return f"{shown} is not a date"
    return f"{shown} has {'a' if other == INSTANT else 'no'} time zone, unlike those before it"


def _readable(cells: pa.Array, wanted: pa.DataType) -> int:
    """The number of cells before the first one that does not read as a value of the type."""

    def is_unreadable(count: int) -> bool:
        return _read(cells.slice(0, count), wanted) is None

    return bisect_left(range(1, len(cells) + 1), True, key=is_unreadable)


def _all(flags: pa.Array) -> bool:
    return pc.all(flags).as_py() is not False


def _any(flags: pa.Array) -> bool:
    return pc.any(flags).as_py() is True
