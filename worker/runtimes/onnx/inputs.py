"""Convert rows to the input tensors of an ONNX model. The first dimension of each tensor is the rows.

If the model has one input, a row is the value of that input: a number, a text or nested lists of the
tensor's shape; or an object that has this value under the input's name. If the model has several inputs, a
row is an object by input name, or a list in the order of the inputs.

If the only input is a vector, its positions are columns. Their names come from the file's metadata, else
they are x0, x1, …; a row may be an object by these names. Single values are parsed as everywhere else
(`worker.cells`).
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from worker.columnar import TableLists
from worker.context import RowError
from worker.runtimes.onnx.tensor_input import Array, TensorInput, TypeMismatch
from worker.runtimes.runtime import BrokenModel

FEATURE_NAMES: Final = "feature_names"
"""The metadata key of a file that may hold the column names of a vector: a JSON list of texts."""

MAX_COLUMNS: Final = 10_000
"""The positions of a longer vector get no names, unless the file has them."""

MAX_EXAMPLE_VALUES: Final = 1_000_000
"""Models with larger rows are not tried on examples: these rows would take too much memory as lists."""

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


class Inputs:
    """The inputs of a model. `batch_size` is the number of rows that each run must have, None for any."""

    def __init__(self, inputs: Sequence[Any], metadata: dict[str, str]) -> None:
        """Take inputs as ONNX Runtime describes them. Raises BrokenModel for unsupported types and shapes."""
        self._inputs = tuple(_parse_input(described) for described in inputs)
        batch_sizes = {_fixed_length(described.shape[0]) for described in inputs}
        if len(batch_sizes) != 1:
            raise BrokenModel("its inputs have different batch sizes")
        (self.batch_size,) = batch_sizes
        self._column_names = self._name_columns(metadata)

    @property
    def columns(self) -> tuple[tuple[str, bool], ...] | None:
        """The name of each column and whether it is text; None if the values of rows have no names."""
        if self._column_names is not None:
            return tuple((name, self._inputs[0].is_text) for name in self._column_names)
        if all(tensor.is_single_value for tensor in self._inputs):
            return tuple((tensor.name, tensor.is_text) for tensor in self._inputs)
        return None

    def examples(self) -> Iterator[Any]:
        """Yield rows of the right shape to try the model on; none if a dimension may have any length."""
        sizes = [math.prod(dim or 0 for dim in tensor.dims) for tensor in self._inputs]
        if not all(1 <= size <= MAX_EXAMPLE_VALUES for size in sizes):
            return
        for number in (1, 0):
            values = [tensor.example(number) for tensor in self._inputs]
            yield values[0] if len(values) == 1 else values

    def feeds(self, rows: Sequence[Any], results: list[Any]) -> Iterator[tuple[list[int], dict[str, Array]]]:
        """Convert rows, and yield the tensors of all rows of one shape with the indices of these rows.

        Puts a RowError into `results` at the index of each row that cannot be converted.
        """
        rows = self._restore_texts(rows)
        if (feed := self._convert_batch(rows)) is not None:
            yield list(range(len(rows))), feed
            return
        by_shape: dict[tuple[tuple[int, ...], ...], tuple[list[int], list[list[Array]]]] = {}
        for index, row in enumerate(rows):
            try:
                arrays = self._convert_row(row)
            except ValueError as error:
                results[index] = RowError(BAD_ROW, str(error))
                continue
            indices, group = by_shape.setdefault(tuple(array.shape for array in arrays), ([], []))
            indices.append(index)
            group.append(arrays)
        for indices, group in by_shape.values():
            columns = zip(*group, strict=True)
            yield (
                indices,
                {tensor.name: np.stack(column) for tensor, column in zip(self._inputs, columns, strict=True)},
            )

    def _restore_texts(self, rows: Sequence[Any]) -> Sequence[Any]:
        """Return table rows as lists with texts exactly as the file has them; other rows unchanged."""
        if not isinstance(rows, TableLists) or not any(tensor.is_text for tensor in self._inputs):
            return rows
        are_texts = [tensor.is_text for tensor in self._inputs]
        if len(are_texts) == 1:
            are_texts *= rows.width
        if len(are_texts) != rows.width:
            return rows
        columns = [
            rows.column_as_written(index) if is_text else values
            for index, (values, is_text) in enumerate(zip(rows.columns(), are_texts, strict=True))
        ]
        return [list(row) for row in zip(*columns, strict=True)]

    def _convert_batch(self, rows: Sequence[Any]) -> dict[str, Array] | None:
        """Convert all rows at once; None if they have to be converted one by one."""
        if isinstance(rows, TableLists) and len(self._inputs) == 1:
            tensor = self._inputs[0]
            matrix = rows.to_matrix()
            array = None if matrix is None else tensor.convert_matrix(matrix)
            if array is not None:
                return {tensor.name: array}
        try:
            columns = self._values_by_input(rows)
            converted = {
                tensor.name: tensor.convert_batch(column)
                for tensor, column in zip(self._inputs, columns, strict=True)
            }
        except ValueError:
            return None
        feed = {name: array for name, array in converted.items() if array is not None}
        return feed if len(feed) == len(self._inputs) else None

    def _convert_row(self, row: Any) -> list[Array]:
        """Convert one row to an array for each input. Raises ValueError with a message for the user."""
        arrays = []
        for tensor, value in zip(self._inputs, self._values(row), strict=True):
            try:
                arrays.append(tensor.convert(value))
            except ValueError as error:
                raise TypeMismatch(f"{tensor.name!r}: {error}") from None
        return arrays

    def _values_by_input(self, rows: Sequence[Any]) -> Iterable[Sequence[Any]]:
        """Return the values of each input over all rows. Raises ValueError."""
        if len(self._inputs) == 1 and not any(isinstance(row, dict) for row in rows):
            return (list(rows),)
        if isinstance(rows, TableLists) and rows.width == len(self._inputs):
            return rows.columns()
        return zip(*(self._values(row) for row in rows), strict=True)

    def _values(self, row: Any) -> list[Any]:
        """Return the value of each input in a row. Raises TypeMismatch."""
        names = [tensor.name for tensor in self._inputs]
        if isinstance(row, dict):
            if self._column_names is not None and names[0] not in row:
                return [_pick(row, self._column_names)]
            return _pick(row, names)
        if len(names) == 1:
            return [row]
        if isinstance(row, list) and len(row) == len(names):
            return row
        raise TypeMismatch(f"the row must be an object or a list of {len(names)} values")

    def _name_columns(self, metadata: dict[str, str]) -> tuple[str, ...] | None:
        tensor = self._inputs[0]
        if len(self._inputs) != 1 or len(tensor.dims) != 1 or tensor.is_single_value:
            return None
        (length,) = tensor.dims
        if FEATURE_NAMES not in metadata:
            is_nameable = length is not None and length <= MAX_COLUMNS
            return tuple(f"x{index}" for index in range(length or 0)) if is_nameable else None
        try:
            names = json.loads(metadata[FEATURE_NAMES])
        except (ValueError, RecursionError):
            names = None
        if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
            raise BrokenModel(f"{FEATURE_NAMES} in its metadata must be a JSON list of texts")
        if len(set(names)) != len(names) or length not in (None, len(names)):
            raise BrokenModel(f"{FEATURE_NAMES} in its metadata must name each position of its input once")
        return tuple(names)


def _parse_input(described: Any) -> TensorInput:
    dtype = _DTYPES.get(described.type)
    if dtype is None:
        raise BrokenModel(f"its input {described.name!r} has the unsupported type {described.type}")
    if not described.shape:
        raise BrokenModel(f"its input {described.name!r} is a scalar; its first dimension must be the rows")
    return TensorInput(described.name, dtype, tuple(_fixed_length(dim) for dim in described.shape[1:]))


def _fixed_length(dim: Any) -> int | None:
    """Return the length of a dimension; None for one that is symbolic or unknown."""
    return dim if isinstance(dim, int) and dim > 0 else None


def _pick(row: dict[str, Any], names: Sequence[str]) -> list[Any]:
    missing = [name for name in names if name not in row]
    if missing:
        raise TypeMismatch(f"the row has no {', '.join(repr(name) for name in missing)}")
    return [row[name] for name in names]
