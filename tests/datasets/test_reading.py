"""Rows are read by range, and only what is needed is read."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.datasets.conversion.row_groups import MAX_BYTES, MAX_ROWS, RowGroups
from app.datasets.reading import RowReader

ROWS = 35_000
SCHEMA = pa.schema([("n", pa.int64()), ("t", pa.string())])


def write(path: Path, batches: list[pa.RecordBatch]) -> None:
    with RowGroups(path, batches[0].schema) as groups:
        for batch in batches:
            groups.add(batch)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows that know their number, in several groups."""
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    table = pa.table({"n": list(range(ROWS)), "t": [f"row {n}" for n in range(ROWS)]}, SCHEMA)
    write(path, table.to_batches(max_chunksize=777))
    return path


@given(first=st.integers(0, ROWS + 10), count=st.integers(0, ROWS))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_range_is_what_a_list_would_give(path: Path, first: int, count: int) -> None:
    with RowReader(path) as reader:
        assert (
            reader.table(first, count, ["n"]).column("n").to_pylist()
            == list(range(ROWS))[first : first + count]
        )


def test_rows_are_plain_values_and_know_their_columns(path: Path) -> None:
    with RowReader(path) as reader:
        assert len(reader) == ROWS
        assert [(column.name, column.type) for column in reader.columns] == [("n", "integer"), ("t", "text")]
        assert reader.rows(9_999, 2) == [{"n": 9_999, "t": "row 9999"}, {"n": 10_000, "t": "row 10000"}]
        assert reader.rows(ROWS, 5) == []
        assert reader.table(0, 1, ["t", "n"]).column_names == ["t", "n"]
        assert reader.table(ROWS, 1, ["t"]).column_names == ["t"]


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the row groups that are decoded from now on."""
    read: list[int] = []
    original = pq.ParquetFile.read_row_group

    def counted(file: pq.ParquetFile, index: int, **options: object) -> pa.Table:
        read.append(index)
        return original(file, index, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    return read


def test_whoever_goes_through_in_order_decodes_each_group_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = pq.read_metadata(path).num_row_groups
    read = count_reads(monkeypatch)

    with RowReader(path) as reader:
        rows = [row["n"] for first in range(0, ROWS, 1234) for row in reader.rows(first, 1234)]

    assert rows == list(range(ROWS))
    assert read == list(range(groups))


def test_a_range_in_the_middle_reads_none_of_the_others(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = count_reads(monkeypatch)

    with RowReader(path) as reader:
        reader.rows(15_000, 10)

    assert len(read) == 1


def test_a_group_is_bounded_in_rows_and_in_bytes(tmp_path: Path) -> None:
    path = tmp_path / "wide.parquet"
    cells = ["x" * 500_000, *["y" * 10] * 20_000, *["z" * 900_000] * 30, *["w"] * 5_000]
    write(path, [pa.record_batch({"t": cells})])

    with RowReader(path) as reader:
        assert [row["t"] for row in reader.rows(0, len(cells))] == cells
    metadata = pq.read_metadata(path)
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    assert max(group.num_rows for group in groups) <= MAX_ROWS
    # Both as they are in memory; in the file repeated texts are kept once.
    file = pq.ParquetFile(path)
    assert max(file.read_row_group(index).nbytes for index in range(len(groups))) <= MAX_BYTES
    assert sum(group.num_rows for group in groups) == len(cells)


def test_a_flipped_byte_is_noticed(path: Path, tmp_path: Path) -> None:
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 3] ^= 1
    (tmp_path / "damaged").write_bytes(damaged)

    with RowReader(tmp_path / "damaged") as reader, pytest.raises(OSError, match=r"checksum|CRC"):
        reader.table(0, ROWS)
