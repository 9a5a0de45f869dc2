"""The sizes of rows are told before the rows are decoded, whatever they are encoded as."""

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.datasets.conversion import row_sizes
from app.datasets.conversion.faults import Fault
from app.datasets.conversion.row_sizes import BATCH_BYTES, MAX_ROW_BYTES
from tests.datasets.conftest import Preview

MANY = 20
LONG = "a" * 300_000
REPEATED = pa.array([0] * MANY, pa.int32())
DICTIONARY = pa.DictionaryArray.from_arrays(REPEATED, pa.array([LONG]))
LARGE_DICTIONARY = pa.DictionaryArray.from_arrays(REPEATED, pa.array([LONG], pa.large_string()))

# Each row of each is 1.2 MB of text, and the file has some kilobytes.
TOO_LARGE: dict[str, Any] = {
    "dictionary": {f"c{n}": DICTIONARY for n in range(4)},
    "large_dictionary": {f"c{n}": LARGE_DICTIONARY for n in range(4)},
    "plain": {f"c{n}": [LONG] * MANY for n in range(4)},
    "large_string": {f"c{n}": pa.array([LONG] * MANY, pa.large_string()) for n in range(4)},
    "string_view": {f"c{n}": pa.array([LONG] * MANY, pa.string_view()) for n in range(4)},
    "list": {"c": [[LONG] * 4] * MANY},
    "large_list": {"c": pa.array([[LONG] * 4] * MANY, pa.large_list(pa.string()))},
    "fixed_size_list": {"c": pa.array([[LONG] * 4] * MANY, pa.list_(pa.string(), 4))},
    "struct": {"c": [{"a": LONG, "b": {"a": LONG, "b": [LONG, LONG]}}] * MANY},
    "map": {"c": pa.array([[(f"k{n}", LONG) for n in range(4)]] * MANY, pa.map_(pa.string(), pa.string()))},
    "list_of_numbers": {"c": [[7] * 200_000] * MANY},
    "list_of_nulls": {"c": [[None] * 200_000] * MANY},
    "list_of_empty_lists": {"c": [[[]] * 200_000] * MANY},
    "one_row_of_many": {"c": ["short"] * (MANY - 1) + [LONG], **{f"d{n}": DICTIONARY for n in range(3)}},
}


def parquet_of(columns: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, **options)
    return file.getvalue()


@pytest.mark.parametrize("encoding", TOO_LARGE)
def test_a_row_that_is_too_large_is_refused_however_it_is_encoded(read: Preview, encoding: str) -> None:
    with pytest.raises(Fault) as refused:
        read(parquet_of(TOO_LARGE[encoding]), "parquet")

    line = MANY if encoding == "one_row_of_many" else 1
    assert (refused.value.code, refused.value.line) == ("bad_row", line)
    assert f"longer than {MAX_ROW_BYTES} bytes" in refused.value.reason


@pytest.mark.parametrize("columns", [{"c": DICTIONARY}, {"c": [[LONG, LONG]] * MANY}])
def test_rows_that_are_large_together_are_decoded_in_parts(
    read: Preview, columns: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: list[int] = []
    cut = row_sizes.slices

    def noting(batch: pa.RecordBatch, sizes: pa.Array) -> Any:
        for first, part in cut(batch, sizes):
            parts.append(sum(row_sizes.measure(part).to_pylist()))
            yield first, part

    monkeypatch.setattr(row_sizes, "slices", noting)

    seen = read(parquet_of(columns), "parquet")

    assert seen.total == MANY
    assert len(parts) >= MANY * 300_000 // BATCH_BYTES
    assert max(parts) <= BATCH_BYTES
    expected = {"c": LONG} if "c" in columns and columns["c"] is DICTIONARY else {"c": [LONG, LONG]}
    assert seen.rows == [expected] * MANY


@pytest.mark.parametrize(
    ("values", "sizes"),
    [
        (pa.array(["ab", None, ""]), [10, 8, 8]),
        (pa.array(["ab", None, ""], pa.large_string()), [10, 8, 8]),
        (pa.array(["ab", None, ""], pa.string_view()), [10, 8, 8]),
        (pa.array(["ab", None, "ab"]).dictionary_encode(), [10, 8, 10]),
        (pa.array([1, None]), [8, 8]),
        (pa.array([["ab"], None, [], ["a", "b"]]), [18, 8, 8, 26]),
        (pa.array([[1, 2], None], pa.list_(pa.int8(), 2)), [24, 24]),
        (pa.array([{"abc": "de"}, None]), [21, 19]),
        (pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())), [25, 8]),
    ],
)
def test_the_size_of_each_value(values: pa.Array, sizes: list[int]) -> None:
    batch = pa.RecordBatch.from_arrays([values], names=["c"])

    assert row_sizes.measure(batch).to_pylist() == sizes
    for first in range(len(values)):
        assert row_sizes.measure(batch.slice(first)).to_pylist() == sizes[first:]


def test_a_row_of_csv_has_the_same_limit(read: Preview) -> None:
    half = "x" * (MAX_ROW_BYTES // 2)

    with pytest.raises(Fault) as refused:
        read(f'a,b\n1,2\n"{half}\n",{half}\n'.encode())

    assert (refused.value.code, refused.value.line) == ("bad_row", 3)
