"""Decides whether cells that read as numbers may be stored as numbers, and in which notation.

A column is decided over the whole file. It is not numeric if a cell has a plus sign or is a code such as
`1E5`, if an integer has more digits than a double keeps, or if two different cells are the same number, such
as the versions `3.1` and `3.10`.
"""

from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from app.datasets.canonical_text import CODE, MAX_DIGITS, MAX_EXACT, number_fault, significant_digits
from app.datasets.conversion.notation import Notation, texts_of

MAX_DISTINCT: Final = 10_000
"""Codes and versions repeat. A column with more distinct values than this holds measurements."""

_PLAIN_CHARACTERS: Final = 16
"""A point and 15 digits, which every double reproduces."""

_LEAST: Final = 1e-4
_MOST: Final = 1e10
"""Between these, all notations write a number without an exponent."""

_ZERO: Final = ord("0")
_PLUS: Final = ord("+")
_MINUS: Final = ord("-")
_POINT: Final = ord(".")
_FOLLOWS_ZERO: Final = np.isin(np.arange(256), [_POINT, ord("e"), ord("E")])


class _Cells:
    """The characters of cells that read as numbers, so none of which is empty."""

    def __init__(self, texts: pa.Array) -> None:
        _, offsets, characters = texts.buffers()
        ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
        self._texts = texts
        self.characters = np.frombuffer(characters, np.uint8)
        self.starts, self.ends = ends[:-1], ends[1:]
        self.lengths = self.ends - self.starts

    @cached_property
    def first(self) -> npt.NDArray[np.uint8]:
        """The first character of each cell."""
        return self.characters[self.starts]

    @cached_property
    def are_negative(self) -> npt.NDArray[np.bool_]:
        """Which cells start with a minus sign."""
        found: npt.NDArray[np.bool_] = self.first == _MINUS
        return found

    @cached_property
    def are_zeros(self) -> npt.NDArray[np.intp]:
        """The places of the cells that start with a zero, after a sign."""
        return np.flatnonzero(self.characters[self.starts + self.are_negative] == _ZERO)

    @cached_property
    def points(self) -> npt.NDArray[np.int32]:
        """The position of the point in each cell; -1 if it has none. A number has at most one."""
        start, end = int(self.starts[0]), int(self.ends[-1])
        found = np.flatnonzero(self.characters[start:end] == _POINT)
        if not len(found):
            return np.full(len(self.starts), -1, np.int32)
        if len(found) == len(self.starts):
            return (found + start - self.starts).astype(np.int32)
        positions: npt.NDArray[np.int32] = pc.find_substring(self._texts, ".").to_numpy()
        return positions


class Numbers:
    """Collects facts on the cells of a column that all read as numbers."""

    def __init__(self, max_distinct: int = MAX_DISTINCT) -> None:
        self._max_distinct = max_distinct
        self._notations = set(Notation)
        self._distinct: pa.Array | None = pa.array([], pa.string())
        self._has_large_integers = False

    def see(self, texts: pa.Array, values: pa.Array) -> None:
        """Process non-missing cells and their values as doubles."""
        self._collect(texts)
        if not self._has_large_integers:
            self._has_large_integers = _has_large_integers(texts, values)
        if self._notations:
            self._compare(texts, values)

    def see_integers(self, texts: pa.Array, values: pa.Array) -> None:
        """Process non-missing cells and their values as integers."""
        self._collect(texts)
        bounds = pc.min_max(values).as_py()
        largest = max(-bounds["min"], bounds["max"])
        self._has_large_integers |= largest > MAX_EXACT
        self._notations -= {Notation.PYTHON, Notation.ARROW} if largest >= _MOST else {Notation.PYTHON}

    @property
    def notation(self) -> Notation | None:
        """The notation of all cells; None if they do not share one."""
        return next((notation for notation in Notation if notation in self._notations), None)

    def fault(self) -> str | None:
        """Why the column is not numeric although each cell reads as a number; None if it is."""
        if self._has_large_integers:
            return f"integers beyond {MAX_EXACT} would not be reproduced exactly among decimals"
        return None if self._distinct is None else number_fault(self._distinct.to_pylist())

    def _collect(self, texts: pa.Array) -> None:
        if self._distinct is None:
            return
        if len(pc.unique(texts.slice(0, 2 * self._max_distinct))) > self._max_distinct:
            self._distinct = None
            return
        self._distinct = pc.unique(pa.concat_arrays([self._distinct, pc.unique(texts)]))
        if len(self._distinct) > self._max_distinct:
            self._distinct = None

    def _compare(self, texts: pa.Array, values: pa.Array) -> None:
        cells = _Cells(texts)
        length, point = cells.lengths, cells.points
        has_point = point >= 0
        decimals = np.where(has_point, length - point - 1, 0)
        ends_in_zero = has_point & (cells.characters[cells.ends - 1] == _ZERO)
        if (has_point & (decimals == 0)).any() or (ends_in_zero & (decimals > 1)).any():
            self._notations.clear()
            return
        if not has_point.all():
            self._notations.discard(Notation.PYTHON)
        if ends_in_zero.any():
            self._notations -= {Notation.SHORT, Notation.ARROW}
        if not self._notations or self._distinct is None:
            return  # measurements are never categories, so their last digits need not be reproduced
        sizes = np.abs(values.to_numpy())
        is_odd = ((sizes < _LEAST) & (sizes > 0)) | (sizes >= _MOST)
        is_odd |= (sizes == 0) & cells.are_negative
        is_odd |= point == cells.are_negative  # it starts with the point, or with a minus sign and the point
        if (has_exponent := _has_exponent(texts)) is not None:
            is_odd |= has_exponent
        is_long = (length > _PLAIN_CHARACTERS) & ~is_odd
        if is_long.any():
            mask = _mask(is_long)
            if not _equal(pc.cast(values.filter(mask), pa.string()), texts.filter(mask)):
                self._notations.clear()
                return
        if is_odd.any():
            mask = _mask(is_odd)
            self._compare_odd(texts.filter(mask), values.filter(mask))

    def _compare_odd(self, texts: pa.Array, values: pa.Array) -> None:
        expected = texts.to_pylist()
        for notation in tuple(self._notations):
            if texts_of(values, notation) != expected:
                self._notations.discard(notation)


def fault_of(texts: pa.Array, values: pa.Array) -> str | None:
    """Why cells that all read as doubles are not numbers, judged one by one; None if they are."""
    finite = pc.is_finite(values)
    if not pc.all(finite).as_py():
        return "is not a finite number"
    cells = _Cells(texts)
    if (cells.first == _PLUS).any() or _has_zeros(cells):
        return "would not be reproduced as written"
    is_exponent = _has_exponent(texts)
    if is_exponent is not None and any(
        CODE.fullmatch(text) for text in texts.filter(_mask(is_exponent)).to_pylist()
    ):
        return "would not be reproduced as written"
    if _have_more_digits(texts, values, cells):
        return "has more digits than a number can hold"
    return None


def _have_more_digits(texts: pa.Array, values: pa.Array, cells: _Cells) -> bool:
    """Whether a cell has more significant digits than any double needs."""
    is_long = cells.lengths > MAX_DIGITS
    if not is_long.any():
        return False
    sizes = np.abs(values.to_numpy()[is_long])
    with np.errstate(divide="ignore"):
        zeros = np.where(sizes < 1, np.floor(-np.log10(sizes)) + 1, 0)  # before the first significant digit
    others = cells.are_negative[is_long].astype(int) + (cells.points[is_long] >= 0)
    # A fast upper bound; only the doubtful cells are checked one by one.
    is_doubtful = np.zeros(len(texts), dtype=bool)
    is_doubtful[is_long] = cells.lengths[is_long] - others - zeros > MAX_DIGITS
    if not is_doubtful.any():
        return False
    doubtful = texts.filter(_mask(is_doubtful))
    return any(significant_digits(text) > MAX_DIGITS for text in doubtful.to_pylist())


def has_zeros(texts: pa.Array) -> bool:
    """Whether an integer would lose a zero: 007, -0, 0x1F."""
    cells = _Cells(texts)
    return _has_zeros(cells) or bool(cells.are_negative[cells.are_zeros].any())


def _has_zeros(cells: _Cells) -> bool:
    """Whether a cell is like 007 or 0x1F: a zero that is followed by neither a point nor an exponent."""
    after = cells.starts[cells.are_zeros] + cells.are_negative[cells.are_zeros] + 1
    after = after[after < cells.ends[cells.are_zeros]]
    return bool(len(after)) and not _FOLLOWS_ZERO[cells.characters[after]].all()


def _has_large_integers(texts: pa.Array, values: pa.Array) -> bool:
    """Whether an integer, written without a point, may not be exact as a double."""
    is_large = pc.greater(pc.abs(values), float(MAX_EXACT))
    return _any(is_large) and any(text.lstrip("-").isdecimal() for text in texts.filter(is_large).to_pylist())


def _has_exponent(texts: pa.Array) -> npt.NDArray[np.bool_] | None:
    """Which cells have an exponent; None if none does."""
    if not any(letter in part for part in _buffers(texts) for letter in (b"e", b"E")):
        return None
    return _flags(pc.or_(pc.match_substring(texts, "e"), pc.match_substring(texts, "E")))


def _buffers(texts: pa.Array) -> list[bytes]:
    """The characters of all cells, concatenated."""
    if not len(texts):
        return []
    offsets = np.frombuffer(texts.buffers()[1], np.int32)
    first, last = offsets[texts.offset], offsets[texts.offset + len(texts)]
    return [texts.buffers()[2].slice(int(first), int(last - first)).to_pybytes()]


def _flags(flags: pa.Array) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = flags.to_numpy(zero_copy_only=False)
    return found


def _mask(flags: npt.NDArray[np.bool_]) -> pa.Array:
    """The flags for Arrow. `pa.array` would import numpy.ma first: a tenth of a second of each upload."""
    bits = pa.py_buffer(np.packbits(flags, bitorder="little"))
    return pa.Array.from_buffers(pa.bool_(), len(flags), [None, bits])


def _equal(one: pa.Array, two: pa.Array) -> bool:
    return pc.all(pc.equal(one, two)).as_py() is not False


def _any(flags: pa.Array) -> bool:
    return pc.any(flags).as_py() is True
