"""What rows are to an ONNX model: the tensors that it takes, a row in each place of their first dimension.

A row is, for a model with one input, the value of that input: a number or a text, a list of them, or lists
in lists, as deep as the tensor; or an object that has it under the input's name. For a model with several
inputs a row is an object by their names, or a list in their order. The places of a vector are columns, called
as the file's metadata says, or else x0, x1, …; so it takes objects by those names too. Single values are read
as everywhere else (`worker.cells`).
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from worker import cells
from worker.columnar import TableLists
from worker.context import RowError
from worker.runtimes.runtime import BrokenModel

Array = npt.NDArray[Any]

FEATURE_NAMES: Final = "feature_names"
"""The member of a file's metadata that may name the places of a vector: a JSON list of texts."""

MAX_COLUMNS: Final = 10_000
"""A vector that is longer has no names for its places unless the file gives them."""

MAX_EXAMPLE: Final = 1_000_000
"""A larger row is not made up, only to be tried: as lists it would take too much memory."""

BAD_ROW: Final = "bad_row"

_DTYPES: Final[dict[str, type]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int8)": np.int8,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8,
    "tensor(uint16)": np.uint16,
    "tensor(uint32)": np.uint32,
    "tensor(uint64)": np.uint64,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}


class _TypeMismatch(ValueError):
    """A row that a model does not take; the message is the end of a sentence."""


@dataclass(frozen=True)
class Input:
    """One input of a model. `dims` are the dimensions of one row, None where any length goes."""

    name: str
    dtype: type
    dims: tuple[int | None, ...]

    @property
    def takes_text(self) -> bool:
        """Whether its values are texts; otherwise they are numbers."""
        return self.dtype is np.object_

    @property
    def takes_one_value(self) -> bool:
        """Whether a row has one value in it, and not a list of them."""
        return self.dims in ((), (1,))

    def whole(self, values: Sequence[Any]) -> Array | None:
        """The values of all rows at once; None if that does not go, whatever the reason."""
        if self.takes_text:
            if not self.takes_one_value or not all(isinstance(value, str) for value in values):
                return None
            return np.array(values, dtype=object).reshape((len(values), *self._ones))
        try:
            read = np.asarray(values)
        except (ValueError, OverflowError, TypeError):
            return None
        # Integers that go into floats, and floats as they are; all else is looked at one by one.
        is_float = issubclass(self.dtype, np.floating)
        if read.dtype.kind not in ("fiub" if is_float else "") or not self._fits(read.shape[1:]):
            return None
        if read.dtype.kind == "f":
            read[np.isinf(read)] = np.nan
        with np.errstate(over="ignore"):
            return read.astype(self.dtype).reshape((len(values), *(read.shape[1:] or self._ones)))

    def whole_matrix(self, matrix: npt.NDArray[np.float64]) -> Array | None:
        """The numbers of all rows at once, a row a vector; None if the input takes something else."""
        is_vector = len(self.dims) == 1 and self._fits(matrix.shape[1:])
        if not is_vector or not issubclass(self.dtype, np.floating):
            return None
        matrix[np.isinf(matrix)] = np.nan
        with np.errstate(over="ignore"):
            return matrix.astype(self.dtype, copy=False)

    def one(self, value: Any) -> Array:
        """The value of one row. Raises ValueError that says what is wrong with it."""
        if self.takes_one_value and not isinstance(value, list):
            return self._read(value).reshape(self._ones)
        if not isinstance(value, list):
            raise _TypeMismatch(f"{cells.shown(value)} is not {self.described}")
        lengths = tuple(_lengths(value))
        if len(lengths) != len(self.dims):
            raise _TypeMismatch(f"a list nested {_times(len(lengths))} is not {self.described}")
        if not self._fits(lengths):
            raise _TypeMismatch(f"a list of {_by(lengths)} is not {self.described}")
        flat = list(_flat(value, lengths))
        return np.array([self._read(part) for part in flat], dtype=self.dtype).reshape(lengths)

    @property
    def described(self) -> str:
        """What it takes, for a message."""
        what = "text" if self.takes_text else "number"
        if self.takes_one_value:
            return f"a {what}"
        return f"a list of {_by(self.dims)} {what}s"

    def filled(self, number: int) -> Any:
        """A value of one row with this number, or a text, in each place."""
        filled: Any = "a" if self.takes_text else number
        for length in () if self.takes_one_value else reversed(self.dims):
            filled = [filled] * (length or 0)
        return filled

    @property
    def _ones(self) -> tuple[int, ...]:
        return (1,) * len(self.dims)

    def _fits(self, lengths: tuple[int, ...]) -> bool:
        if lengths == () and self.takes_one_value:
            return True
        return len(lengths) == len(self.dims) and all(
            dim in (None, length) for dim, length in zip(self.dims, lengths, strict=True)
        )

    def _read(self, value: Any) -> Array:
        if self.takes_text:
            return np.array(cells.text(value), dtype=object)
        number = cells.number(value)
        if issubclass(self.dtype, np.floating):
            with np.errstate(over="ignore"):
                return np.array(number).astype(self.dtype)
        if self.dtype is np.bool_ and number in (0.0, 1.0):
            return np.array(number == 1.0)
        if self.dtype is not np.bool_ and number.is_integer():
            whole = _whole_number(value, number)
            limits: Any = np.iinfo(self.dtype)
            if limits.min <= whole <= limits.max:
                return np.array(whole, dtype=self.dtype)
        raise _TypeMismatch(f"{cells.shown(value)} does not go into a tensor of {self.dtype.__name__}")


class Inputs:
    """The inputs of a model."""

    def __init__(self, inputs: Sequence[Any], metadata: dict[str, str]) -> None:
        """Take them as ONNX Runtime tells of them. Raises BrokenModel for what rows cannot be turned into."""
        self._inputs = tuple(_input(told) for told in inputs)
        batches = {_batch(told) for told in inputs}
        if len(batches) != 1:
            raise BrokenModel("its inputs do not agree on how many rows they take at a time")
        (self.rows_at_a_time,) = batches
        self._features = self._named_places(metadata)

    @property
    def columns(self) -> tuple[tuple[str, bool], ...] | None:
        """The name of each column, and whether it is text; None if the rows have no columns with names."""
        if self._features is not None:
            return tuple((name, self._inputs[0].takes_text) for name in self._features)
        if all(known.takes_one_value for known in self._inputs):
            return tuple((known.name, known.takes_text) for known in self._inputs)
        return None

    def examples(self) -> Iterator[Any]:
        """Rows that fit: numbers and texts in the shapes of the inputs; none if those go by any length."""
        sizes = [math.prod(dim or 0 for dim in known.dims) for known in self._inputs]
        if not all(1 <= size <= MAX_EXAMPLE for size in sizes):
            return
        for number in (1, 0):
            values = [known.filled(number) for known in self._inputs]
            yield values[0] if len(values) == 1 else values

    def feeds(self, rows: Sequence[Any], results: list[Any]) -> Iterator[tuple[list[int], dict[str, Array]]]:
        """The rows as tensors, those of one shape together, each time with their places.

        Where a row cannot be one there is a RowError in its place of the results.
        """
        rows = self._as_written(rows)
        if (feed := self._whole(rows)) is not None:
            yield list(range(len(rows))), feed
            return
        alike: dict[tuple[tuple[int, ...], ...], tuple[list[int], list[list[Array]]]] = {}
        for place, row in enumerate(rows):
            try:
                values = self._read(row)
            except ValueError as error:
                results[place] = RowError(BAD_ROW, str(error))
                continue
            places, group = alike.setdefault(tuple(value.shape for value in values), ([], []))
            places.append(place)
            group.append(values)
        for places, group in alike.values():
            columns = zip(*group, strict=True)
            yield (
                places,
                {known.name: np.stack(column) for known, column in zip(self._inputs, columns, strict=True)},
            )

    def _as_written(self, rows: Sequence[Any]) -> Sequence[Any]:
        """Rows of a table as lists in which texts are as they were written; other rows as they are."""
        if not isinstance(rows, TableLists) or not any(known.takes_text for known in self._inputs):
            return rows
        are_texts = [known.takes_text for known in self._inputs]
        if len(are_texts) == 1:
            are_texts *= rows.width
        if len(are_texts) != rows.width:
            return rows
        columns = zip(rows.columns(), are_texts, strict=True)
        read = [rows.written(place) if is_text else values for place, (values, is_text) in enumerate(columns)]
        return [list(row) for row in zip(*read, strict=True)]

    def _whole(self, rows: Sequence[Any]) -> dict[str, Array] | None:
        if isinstance(rows, TableLists) and len(self._inputs) == 1:
            known = self._inputs[0]
            matrix = rows.numbers()
            vectors = None if matrix is None else known.whole_matrix(matrix)
            if vectors is not None:
                return {known.name: vectors}
        try:
            columns = self._columns(rows)
            feed = {
                known.name: known.whole(column) for known, column in zip(self._inputs, columns, strict=True)
            }
        except ValueError:
            return None
        whole = {name: array for name, array in feed.items() if array is not None}
        return whole if len(whole) == len(self._inputs) else None

    def _read(self, row: Any) -> list[Array]:
        """A row as a piece of each tensor. Raises ValueError that says what is wrong with it."""
        read = []
        for known, value in zip(self._inputs, self._values(row), strict=True):
            try:
                read.append(known.one(value))
            except ValueError as error:
                raise _TypeMismatch(f"{known.name!r}: {error}") from None
        return read

    def _columns(self, rows: Sequence[Any]) -> Iterable[Sequence[Any]]:
        """The values of each input in all rows. Raises ValueError."""
        if len(self._inputs) == 1 and not any(isinstance(row, dict) for row in rows):
            return (list(rows),)
        if isinstance(rows, TableLists) and rows.width == len(self._inputs):
            return rows.columns()
        return zip(*(self._values(row) for row in rows), strict=True)

    def _values(self, row: Any) -> list[Any]:
        """The value of each input in a row. Raises _Misfit."""
        names = [known.name for known in self._inputs]
        if isinstance(row, dict):
            if self._features is not None and names[0] not in row:
                return [_picked(row, self._features)]
            return _picked(row, names)
        if len(names) == 1:
            return [row]
        if isinstance(row, list) and len(row) == len(names):
            return row
        raise _TypeMismatch(f"{cells.shown(row)} is neither an object nor a list of {len(names)} values")

    def _named_places(self, metadata: dict[str, str]) -> tuple[str, ...] | None:
        only = self._inputs[0]
        if len(self._inputs) != 1 or len(only.dims) != 1 or only.takes_one_value:
            return None
        (length,) = only.dims
        if FEATURE_NAMES not in metadata:
            is_nameable = length is not None and length <= MAX_COLUMNS
            return tuple(f"x{place}" for place in range(length or 0)) if is_nameable else None
        try:
            names = json.loads(metadata[FEATURE_NAMES])
        except (ValueError, RecursionError):
            names = None
        if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
            raise BrokenModel(f"the {FEATURE_NAMES} in its metadata are no JSON list of texts")
        if len(set(names)) != len(names) or length not in (None, len(names)):
            raise BrokenModel(f"the {FEATURE_NAMES} in its metadata do not name each place of its input once")
        return tuple(names)


def _whole_number(value: Any, read: float) -> int:
    """All digits of an integer: as a float it may have lost some."""
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal():
        return int(value)
    return int(value) if isinstance(value, int) else int(read)


def _input(told: Any) -> Input:
    dtype = _DTYPES.get(told.type)
    if dtype is None:
        raise BrokenModel(f"its input {told.name!r} is a {told.type}, which rows cannot be turned into")
    if not told.shape:
        raise BrokenModel(f"its input {told.name!r} has no dimension for rows")
    return Input(told.name, dtype, tuple(_length(dim) for dim in told.shape[1:]))


def _batch(told: Any) -> int | None:
    return _length(told.shape[0])


def _length(dim: Any) -> int | None:
    """A dimension's length; None if it is only named, or not even that."""
    return dim if isinstance(dim, int) and dim > 0 else None


def _picked(row: dict[str, Any], names: Sequence[str]) -> list[Any]:
    missing = [name for name in names if name not in row]
    if missing:
        raise _TypeMismatch(f"the row has no {', '.join(repr(name) for name in missing)}")
    return [row[name] for name in names]


def _lengths(value: Any) -> Iterator[int]:
    """How long the lists are on each level, told from the first one of each."""
    while isinstance(value, list):
        yield len(value)
        value = value[0] if value else None


def _flat(value: Any, lengths: tuple[int, ...]) -> Iterator[Any]:
    if not lengths:
        if isinstance(value, list):
            raise _TypeMismatch("its lists are not all nested alike")
        yield value
        return
    if not isinstance(value, list) or len(value) != lengths[0]:
        raise _TypeMismatch("its lists are not all of one length")
    for part in value:
        yield from _flat(part, lengths[1:])


def _by(lengths: Sequence[int | None]) -> str:
    return "×".join("any number of" if length is None else str(length) for length in lengths)


def _times(depth: int) -> str:
    return "once" if depth == 1 else f"{depth} times"
