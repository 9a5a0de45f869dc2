"""Convert the values of rows to one input tensor of an ONNX model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from worker import cells

Array = npt.NDArray[Any]


class TypeMismatch(ValueError):
    """A value does not fit its input. The message completes a sentence that names the input."""


@dataclass(frozen=True)
class TensorInput:
    """One input of a model. `dims` are the dimensions of one row, None for a dimension of any length."""

    name: str
    dtype: type
    dims: tuple[int | None, ...]

    @property
    def is_text(self) -> bool:
        """Whether its values are texts; otherwise they are numbers."""
        return self.dtype is np.object_

    @property
    def is_single_value(self) -> bool:
        """Whether each row has a single value, which need not be in a list."""
        return self.dims in ((), (1,))

    def convert_batch(self, values: Sequence[Any]) -> Array | None:
        """Convert the values of all rows at once; None if they have to be converted one by one."""
        if self.is_text:
            if not self.is_single_value or not all(isinstance(value, str) for value in values):
                return None
            return np.array(values, dtype=object).reshape((len(values), *self._ones))
        try:
            array = np.asarray(values)
        except (ValueError, OverflowError, TypeError):
            return None
        # Only numbers into floats, where nothing can go wrong. Integer tensors check each value.
        is_float = issubclass(self.dtype, np.floating)
        if array.dtype.kind not in ("fiub" if is_float else "") or not self._fits(array.shape[1:]):
            return None
        if array.dtype.kind == "f":
            array[np.isinf(array)] = np.nan
        with np.errstate(over="ignore"):
            return array.astype(self.dtype).reshape((len(values), *(array.shape[1:] or self._ones)))

    def convert_matrix(self, matrix: npt.NDArray[np.float64]) -> Array | None:
        """Convert a matrix of shape (rows, columns) at once; None unless the input is a vector of floats."""
        is_vector = len(self.dims) == 1 and self._fits(matrix.shape[1:])
        if not is_vector or not issubclass(self.dtype, np.floating):
            return None
        matrix[np.isinf(matrix)] = np.nan
        with np.errstate(over="ignore"):
            return matrix.astype(self.dtype, copy=False)

    def convert(self, value: Any) -> Array:
        """Convert the value of one row. Raises TypeMismatch, and BadCell for a single value in it."""
        if self.is_single_value and not isinstance(value, list):
            return self._convert_scalar(value).reshape(self._ones)
        if not isinstance(value, list):
            raise TypeMismatch(f"{cells.preview(value)} is not {self.description}")
        lengths = tuple(_nested_lengths(value))
        if len(lengths) != len(self.dims):
            depth = "once" if len(lengths) == 1 else f"{len(lengths)} times"
            raise TypeMismatch(f"a list nested {depth} is not {self.description}")
        if not self._fits(lengths):
            raise TypeMismatch(f"a list of {_format_lengths(lengths)} is not {self.description}")
        scalars = [self._convert_scalar(scalar) for scalar in _flatten(value, lengths)]
        return np.array(scalars, dtype=self.dtype).reshape(lengths)

    @property
    def description(self) -> str:
        """What the input takes, for a message, like "a list of 4 numbers"."""
        noun = "text" if self.is_text else "number"
        return f"a {noun}" if self.is_single_value else f"a list of {_format_lengths(self.dims)} {noun}s"

    def example(self, number: int) -> Any:
        """Return a value for one row, with this number, or a text, at each position."""
        value: Any = "a" if self.is_text else number
        for length in () if self.is_single_value else reversed(self.dims):
            value = [value] * (length or 0)
        return value

    @property
    def _ones(self) -> tuple[int, ...]:
        return (1,) * len(self.dims)

    def _fits(self, lengths: tuple[int, ...]) -> bool:
        if lengths == () and self.is_single_value:
            return True
        return len(lengths) == len(self.dims) and all(
            dim in (None, length) for dim, length in zip(self.dims, lengths, strict=True)
        )

    def _convert_scalar(self, value: Any) -> Array:
        if self.is_text:
            return np.array(cells.parse_text(value), dtype=object)
        number = cells.parse_number(value)
        if issubclass(self.dtype, np.floating):
            with np.errstate(over="ignore"):
                return np.array(number).astype(self.dtype)
        if self.dtype is np.bool_ and number in (0.0, 1.0):
            return np.array(number == 1.0)
        if self.dtype is not np.bool_ and number.is_integer():
            integer = _exact_integer(value, number)
            limits: Any = np.iinfo(self.dtype)
            if limits.min <= integer <= limits.max:
                return np.array(integer, dtype=self.dtype)
        raise TypeMismatch(f"{cells.preview(value)} does not fit a tensor of {self.dtype.__name__}")


def _exact_integer(value: Any, number: float) -> int:
    """Return an integer with all its digits, some of which a float may have lost."""
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal():
        return int(value)
    return int(value) if isinstance(value, int) else int(number)


def _nested_lengths(value: Any) -> Iterator[int]:
    """Yield the length of the list at each level, of the first list of that level."""
    while isinstance(value, list):
        yield len(value)
        value = value[0] if value else None


def _flatten(value: Any, lengths: tuple[int, ...]) -> Iterator[Any]:
    if not lengths:
        if isinstance(value, list):
            raise TypeMismatch("its lists are not nested to the same depth")
        yield value
        return
    if not isinstance(value, list) or len(value) != lengths[0]:
        raise TypeMismatch("its lists do not have the same length")
    for inner in value:
        yield from _flatten(inner, lengths[1:])


def _format_lengths(lengths: Sequence[int | None]) -> str:
    return "×".join("any number of" if length is None else str(length) for length in lengths)
