"""Digests of values, and sets of them: 16 bytes for each distinct row, however large the rows are."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from worker.preprocessing.chunk import Chunk

Digests = npt.NDArray[np.bytes_]

DIGEST_BYTES: Final = 16
"""Two different rows among a billion have the same digest with a probability of 10⁻²¹."""

_encode: Final = msgspec.msgpack.Encoder().encode
_DTYPE: Final = np.dtype(f"S{DIGEST_BYTES}")


def of_rows(chunk: Chunk, names: Sequence[str]) -> Digests:
    """Return a digest of each row: equal for rows whose values in these columns are equal.

    3 equals 3.0, and a missing value equals a missing value.
    """
    by_column = [_comparable(chunk, name) for name in names]
    joined = b"".join(
        blake2b(_encode(row), digest_size=DIGEST_BYTES).digest() for row in zip(*by_column, strict=True)
    )
    return np.frombuffer(joined, dtype=_DTYPE)


def of_values(values: Sequence[Any], seed: int) -> npt.NDArray[np.uint64]:
    """Return a number for each value, which looks random and depends on the value and the seed only."""
    found: dict[Any, bytes] = {}
    for value in values:
        if value not in found:
            found[value] = blake2b(_encode((seed, value)), digest_size=8).digest()
    return np.frombuffer(b"".join(found[value] for value in values), dtype="<u8")


def _comparable(chunk: Chunk, name: str) -> list[Any]:
    values = chunk.as_json(name)
    if chunk.kind(name) != "number":
        return values
    return [int(value) if value is not None and value.is_integer() else value for value in values]


class DigestSet:
    """A growing set of digests: sorted arrays, each at least twice as large as the next one."""

    def __init__(self, arrays: Sequence[Digests] = ()) -> None:
        self.arrays: list[Digests] = list(arrays)

    def add(self, digests: Digests) -> npt.NDArray[np.bool_]:
        """Add digests. Returns which of them are new; of equal ones only the first is."""
        distinct, first = np.unique(digests, return_index=True)
        is_new = ~self._has(distinct)
        result = np.zeros(len(digests), np.bool_)
        result[first[is_new]] = True
        self._append(distinct[is_new])
        return result

    def _has(self, digests: Digests) -> npt.NDArray[np.bool_]:
        found = np.zeros(len(digests), np.bool_)
        for array in self.arrays:
            found |= is_in(digests, array)
        return found

    def _append(self, distinct: Digests) -> None:
        if len(distinct):
            self.arrays.append(distinct)
        while len(self.arrays) > 1 and len(self.arrays[-2]) < 2 * len(self.arrays[-1]):
            merged = np.concatenate([self.arrays.pop(), self.arrays.pop()])
            merged.sort(kind="stable")
            self.arrays.append(merged)


def is_in(digests: Digests, array: Digests) -> npt.NDArray[np.bool_]:
    """Return which digests a sorted array has."""
    if not len(array):
        return np.zeros(len(digests), np.bool_)
    positions = np.minimum(np.searchsorted(array, digests), len(array) - 1)
    found: npt.NDArray[np.bool_] = array[positions] == digests
    return found
