"""A CSV file is converted as if its types were known before the first row was written."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from app.datasets.conversion import from_csv
from app.datasets.conversion.faults import Fault
from app.datasets.options import AS_FOUND
from app.datasets.reading import RowReader
from tests.datasets.conftest import Preview

ROWS = 4 * from_csv.BLOCK_BYTES // 10
"""Several blocks."""


def table(first: str, last: str) -> bytes:
    """A column of `first` cells, and a `last` one, beside a column that makes the rows long enough."""
    return b"c,other\n" + f"{first},filling\n".encode() * ROWS + f"{last},end\n".encode()


@pytest.mark.parametrize(
    ("first", "last", "expected_type", "expected"),
    [
        ("1", "2", "integer", [1, 2]),
        ("1", "0.5", "number", [1.0, 0.5]),
        ("1", "n/a", "text", ["1", "n/a"]),
        ("1", "", "integer", [1, None]),
        ("", "7", "integer", [None, 7]),
        ("", "x", "text", [None, "x"]),
        ("2.5", "2.50", "text", ["2.5", "2.50"]),
        ("2.5", "3.0", "number", [2.5, 3.0]),
        ("9.90", "9.9", "text", ["9.90", "9.9"]),
        ("true", "False", "boolean", [True, False]),
        ("true", "1", "text", ["true", "1"]),
        ("2024-02-29", "2024-02-29 10:00:00", "timestamp", ["2024-02-29T00:00:00", "2024-02-29T10:00:00"]),
        ("2024-02-29", "", "date", ["2024-02-29", None]),
        ("x", "7", "text", ["x", "7"]),
    ],
)
def test_a_file_has_the_types_and_cells_of_all_its_blocks(
    read: Preview, tmp_path: Path, first: str, last: str, expected_type: str, expected: list[Any]
) -> None:
    found = read(table(first, last))

    stored = pq.read_table(tmp_path / "rows.parquet")
    assert found.types == {"c": expected_type, "other": "text"}
    assert found.total == stored.num_rows == ROWS + 1
    assert found.rows[0]["c"] == expected[0]
    assert read_row(tmp_path / "rows.parquet", ROWS) == {"c": expected[1], "other": "end"}


def test_cells_among_empty_ones_stay_in_their_rows(read: Preview) -> None:
    cells = ["1.5", "", "2.25", "", "", "7.125"]

    found = read(b"c,other\n" + "".join(f"{cell},x\n" for cell in cells * 20).encode())

    assert [row["c"] for row in found.rows] == [float(cell) if cell else None for cell in cells * 20][:100]


def test_a_bad_row_is_told_before_too_many_rows(tmp_path: Path) -> None:
    source = tmp_path / "content"
    source.write_bytes(table("1", "2,3"))

    with pytest.raises(Fault) as refused:
        from_csv.convert(source, tmp_path / "rows.parquet", AS_FOUND, 10)

    assert (refused.value.code, refused.value.line) == ("bad_row", ROWS + 2)


def read_row(path: Path, number: int) -> dict[str, Any]:
    """A row as jobs see it."""
    with RowReader(path) as reader:
        [row] = reader.rows(number, 1)
        return row
