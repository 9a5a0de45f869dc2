"""CR and LF in CSV: in a cell they are kept, and as the end of a row neither hides the line of a fault."""

import io
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.datasets.conversion.faults import Fault
from app.datasets.conversion.from_csv import BLOCK_BYTES, _WholeLineEnds
from app.datasets.conversion.task import convert
from app.datasets.options import ReadOptions
from app.datasets.reading import RowReader
from app.datasets.values import Format


def converted(folder: Path, content: bytes, **options: Any) -> list[dict[str, Any]]:
    """Convert a file; return its last rows."""
    source, target = folder / "content", folder / "rows.parquet"
    source.write_bytes(content)
    convert(source, target, Format.CSV, msgspec.convert(options, ReadOptions))
    with RowReader(target) as reader:
        return reader.rows(max(0, len(reader) - 5), len(reader))


@pytest.mark.parametrize("place", [-3, -2, -1, 0, 1])
@pytest.mark.parametrize("line_end", [b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r\n"])
def test_a_line_break_in_a_cell_is_kept_also_where_a_block_ends(
    tmp_path: Path, line_end: bytes, place: int
) -> None:
    start = b"id,text\n" + b'0,"good\r\nday"\n' * (BLOCK_BYTES // 16)
    start = start[: start.rindex(b"\n0,", 0, BLOCK_BYTES - 100) + 1] + b'1,"'
    text = b"x" * (BLOCK_BYTES + place - len(start)) + line_end + b"day"

    rows = converted(tmp_path, start + text + b'"\n2,z\n')

    assert [row["text"] for row in rows[-2:]] == [text.decode(), "z"]


@pytest.mark.parametrize(
    ("content", "columns", "line"),
    [
        (b"a,b\n1\r2,3\n", {}, 2),
        (b'a,b\n"x",1\n1\r2,3\n4,5,6\n', {}, 3),
        (b"a,b\n1,2\r\n3,4\r5,6\n7\n", {}, 4),
        (b"a,b\n1,2\rx,2\n3,4\n", {"a": "number"}, 2),
        (b'a,b\n"1\r1",2\n3,4,5\n', {}, 3),
        (b"sep=;\na;b\n1;2\r3;4\n5\n", {}, 4),
    ],
)
def test_a_row_that_ends_with_cr_alone_does_not_hide_the_line_of_a_fault(
    tmp_path: Path, content: bytes, columns: dict[str, str], line: int
) -> None:
    with pytest.raises(Fault) as found:
        converted(tmp_path, content, columns=columns)

    assert (found.value.code, found.value.line) == ("bad_row", line)


@given(st.text("a\r\n", max_size=300), st.lists(st.integers(2, 9), min_size=1))
def test_no_part_that_is_read_ends_between_cr_and_lf(text: str, sizes: list[int]) -> None:
    file = _WholeLineEnds(io.BytesIO(text.encode()))
    parts: list[bytes] = []
    while part := file.read(size := sizes[len(parts) % len(sizes)]):
        assert len(part) <= size
        parts.append(part)

    assert b"".join(parts) == text.encode()
    assert not any(one.endswith(b"\r") and two.startswith(b"\n") for one, two in pairwise(parts))
