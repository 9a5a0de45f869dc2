"""Profiles one column: all of its values as numbers, of which equal values have equal ones.

Numbers and times are their own; of texts, booleans, lists and objects there are 64-bit digests. So 8 bytes
for each row are in memory, and some more while they are sorted, whatever the values are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from msgspec.structs import replace
from pyarrow import types

from app.datasets import reading
from app.datasets.conversion import columns
from app.datasets.profiling import warnings
from app.datasets.profiling.messages import ColumnProfile, Frequency, Histogram
from app.datasets.reading import RowReader
from app.datasets.values import Column

MOST_FREQUENT: Final = 10
BINS: Final = 20
QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
SAMPLED: Final = 1000
"""Values of a text column that are looked at for what they look like."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Numbers = npt.NDArray[Any]


@dataclass(frozen=True)
class Values:
    """The values of a column: a number for each row that has one, and which rows these are.

    `kind` is the Arrow type of the values. `lengths` are the least, the greatest and the sum of all.
    """

    kind: pa.DataType
    numbers: Numbers
    is_present: npt.NDArray[np.bool_]
    lengths: tuple[int, int, int]
    sample: tuple[str, ...]


def read(reader: RowReader, name: str) -> Values:
    """Read a column, a row group at a time."""
    field = next(iter(reader.table(0, 0, [name]).schema))
    numbers: list[Numbers] = []
    present: list[npt.NDArray[np.bool_]] = []
    lengths: list[tuple[int, int, int]] = []
    sample: list[str] = []
    for _, table in reader.pieces(0, len(reader), [name]):
        values = reading.typed(field, table.column(0)).combine_chunks()
        present.append(values.is_valid().to_numpy(zero_copy_only=False))
        filled = values.drop_null()
        numbers.append(_numbers(filled))
        if types.is_string(filled.type) and len(filled):
            found = pc.utf8_length(filled)
            lengths.append((pc.min(found).as_py(), pc.max(found).as_py(), pc.sum(found).as_py()))
            sample += filled.slice(0, max(0, SAMPLED - len(sample))).to_pylist()
    least, most, total = zip(*lengths, strict=True) if lengths else ((0,), (0,), (0,))
    return Values(
        kind=columns.view(field),
        numbers=np.concatenate(numbers),
        is_present=np.concatenate(present),
        lengths=(min(least), max(most), sum(total)),
        sample=tuple(sample),
    )


def profile(reader: RowReader, column: Column, values: Values) -> ColumnProfile:
    """Return the profile of a column."""
    numbers = values.numbers
    distinct, first, counts = np.unique(numbers, return_index=True, return_counts=True)
    is_number = types.is_integer(values.kind) or types.is_floating(values.kind)
    found = ColumnProfile(
        name=column.name,
        type=column.type,
        missing=int(len(values.is_present) - len(numbers)),
        unique=len(distinct),
        most_frequent=_most_frequent(reader, column.name, values.is_present, first, counts),
    )
    if len(numbers) and column.type == "text":
        found = replace(found, lengths=_lengths(values))
    if len(numbers) and (is_number or types.is_temporal(values.kind)):
        least, most = _shown(distinct[[0, -1]], values.kind)
        found = replace(found, min=least, max=most, histogram=_histogram(values))
    if len(numbers) and is_number:
        found = replace(found, **_moments(numbers.astype(np.float64)))
    return replace(found, warnings=warnings.of_column(found, column, len(values.is_present), values.sample))


def _numbers(values: pa.Array) -> Numbers:
    """Return a number for each value. There is no null among them."""
    found: Numbers
    if types.is_integer(values.type) or types.is_floating(values.type):
        found = values.to_numpy()
    elif types.is_date(values.type):
        found = values.cast(pa.int32()).to_numpy().astype(np.int64)
    elif types.is_timestamp(values.type):
        found = values.cast(pa.int64()).to_numpy()
    elif types.is_boolean(values.type):
        found = values.cast(pa.int8()).to_numpy().astype(np.int64)
    else:
        encoded = values.dictionary_encode()
        digests = b"".join(_digest(text) for text in encoded.dictionary.to_pylist())
        found = np.frombuffer(digests, "<u8")[encoded.indices.to_numpy()]
    return found


def _digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=8).digest()


def _most_frequent(
    reader: RowReader,
    name: str,
    is_present: npt.NDArray[np.bool_],
    first: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
) -> tuple[Frequency, ...]:
    """Return the most frequent values; of equally frequent ones, those that come first in the data."""
    chosen = np.lexsort((first, -counts))[:MOST_FREQUENT]
    rows = np.flatnonzero(is_present)[first[chosen]]
    ascending = np.argsort(rows)
    values = reading.values(reader.take(rows[ascending].tolist(), [name]), 0)
    by_rank = dict(zip(ascending.tolist(), values, strict=True))
    return tuple(Frequency(by_rank[rank], count) for rank, count in enumerate(counts[chosen].tolist()))


def _histogram(values: Values) -> Histogram:
    """Return the counts of bins of equal width from the least to the greatest value."""
    counts, edges = np.histogram(values.numbers.astype(np.float64), bins=BINS)
    is_time = types.is_temporal(values.kind)
    shown = _shown(np.rint(edges).astype(np.int64), values.kind) if is_time else edges.tolist()
    return Histogram(tuple(shown), tuple(counts.tolist()))


def _moments(numbers: npt.NDArray[np.float64]) -> dict[str, Any]:
    found = np.quantile(numbers, QUANTILES).tolist()
    return {
        "mean": float(numbers.mean()),
        "std": float(numbers.std(ddof=1)) if len(numbers) > 1 else None,
        "quantiles": {str(quantile): value for quantile, value in zip(QUANTILES, found, strict=True)},
    }


def _lengths(values: Values) -> dict[str, float]:
    least, most, total = values.lengths
    return {"min": least, "max": most, "mean": total / len(values.numbers)}


def _shown(numbers: Numbers, kind: pa.DataType) -> Sequence[Any]:
    """Return numbers as JSON has the values that they stand for."""
    if types.is_date(kind):
        return [(_EPOCH + timedelta(days=days)).date().isoformat() for days in numbers.tolist()]
    if types.is_timestamp(kind):
        moments = [_EPOCH + timedelta(microseconds=micros) for micros in numbers.tolist()]
        return [(one if kind.tz else one.replace(tzinfo=None)).isoformat() for one in moments]
    return list(numbers.tolist())
