"""Measures the size of each row in bytes, without decoding it.

A dictionary-encoded column can repeat one long text in every row at the cost of an index. So the sizes are
computed from the lengths of the encoded values.
"""

from collections.abc import Iterator
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

MAX_ROW_BYTES: Final = 1024 * 1024
BATCH_BYTES: Final = 4 * 1024 * 1024

_VALUE_BYTES: Final = 8
"""The size of a number or a null, and the overhead of a text, a list or an object."""


def measure(batch: pa.RecordBatch) -> pa.Array:
    """The size of each row of a batch."""
    return _sum(batch.num_rows, [_sizes(column) for column in batch.columns])


def may_be_too_large(batch: pa.RecordBatch) -> bool:
    """Whether a row of texts may be larger than MAX_ROW_BYTES, by the longest cell of each column."""
    longest = (pc.max(pc.binary_length(column)).as_py() or 0 for column in batch.columns)
    bound: int = sum(longest) + batch.num_columns * _VALUE_BYTES
    return bound > MAX_ROW_BYTES


def first_too_large(sizes: pa.Array) -> int | None:
    """The index of the first row that is larger than MAX_ROW_BYTES; None if there is none."""
    index: int = pc.index(pc.greater(sizes, MAX_ROW_BYTES), True).as_py()
    return None if index < 0 else index


def slices(batch: pa.RecordBatch, sizes: pa.Array) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The batch in slices of at most BATCH_BYTES, or one row, each with the number of rows before it."""
    if (pc.sum(sizes).as_py() or 0) <= BATCH_BYTES:
        yield 0, batch
        return
    start, slice_bytes = 0, 0
    for number, size in enumerate(sizes.to_pylist()):
        if slice_bytes + size > BATCH_BYTES and number > start:
            yield start, batch.slice(start, number - start)
            start, slice_bytes = number, 0
        slice_bytes += size
    yield start, batch.slice(start)


def _sizes(values: pa.Array) -> pa.Array:
    """The size of each value of an array."""
    kind = values.type
    if types.is_dictionary(kind):
        return _or_null(_sizes(values.dictionary).take(values.indices))
    if types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind):
        return _or_null(pc.add(pc.binary_length(values), _VALUE_BYTES))
    if types.is_string_view(kind):
        return _sizes(values.cast(pa.large_string()))
    if types.is_map(kind):
        members = _sum(len(values.keys), [_sizes(values.keys), _sizes(values.items)])
        return _between(members, values.offsets)
    if types.is_fixed_size_list(kind):
        start, width = values.offset, kind.list_size
        offsets = pa.array(range(start * width, (start + len(values) + 1) * width, width) if width else [])
        return _between(_sizes(values.values), offsets) if width else _constant(len(values))
    if types.is_list(kind) or types.is_large_list(kind):
        return _between(_sizes(values.values), values.offsets)
    if types.is_struct(kind):
        names = sum(len(member.name) + _VALUE_BYTES for member in kind)
        members = _sum(len(values), [_sizes(member) for member in values.flatten()])
        return pc.add(members, names)
    return _constant(len(values))


def _between(sizes: pa.Array, offsets: pa.Array) -> pa.Array:
    """The sizes of lists whose members lie between one offset and the next."""
    through = pa.concat_arrays([pa.array([0], pa.int64()), pc.cumulative_sum(sizes)])
    ends = through.take(offsets)
    return pc.add(pc.subtract(ends.slice(1), ends.slice(0, len(ends) - 1)), _VALUE_BYTES)


def _sum(count: int, columns: list[pa.Array]) -> pa.Array:
    total = pa.repeat(pa.scalar(0, pa.int64()), count)
    for column in columns:
        total = pc.add(total, column)
    return total


def _constant(count: int) -> pa.Array:
    return pa.repeat(pa.scalar(_VALUE_BYTES, pa.int64()), count)


def _or_null(sizes: pa.Array) -> pa.Array:
    return pc.fill_null(sizes.cast(pa.int64()), _VALUE_BYTES)
