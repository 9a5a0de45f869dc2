"""Tables of as many columns as are promised are converted, within little memory."""

from pathlib import Path

import pytest

from app.datasets.reading import RowReader
from app.datasets.values import Format
from tests.datasets import wide
from tests.datasets.conftest import Preview

LIMIT_MIB = 300


@pytest.mark.parametrize("file_format", list(Format))
def test_a_thousand_columns_are_converted_within_the_limit(tmp_path: Path, file_format: Format) -> None:
    source, target = tmp_path / "content", tmp_path / "rows.parquet"
    wide.write(source, file_format, rows=1500, columns=1000)

    answer, used_mib = wide.convert(source, file_format, target)

    assert (answer["type"], answer["rows"], len(answer["columns"])) == ("converted", 1500, 1000)
    assert {column["type"] for column in answer["columns"]} == {"integer"}
    assert used_mib < LIMIT_MIB
    with RowReader(target) as reader:
        last = next(reversed(list(wide.images(1500, 1000))))[-1]
        assert list(reader.rows(1499, 1)[0].values()) == last.tolist()


def test_a_long_row_of_many_columns_is_taken(read: Preview) -> None:
    header = b",".join(b"c%d" % place for place in range(1000))
    row = b",".join([b"x" * 900] * 1000)

    found = read(header + b"\n" + row + b"\n" + row + b"\n")

    assert found.total == 2
    assert set(found.rows[1].values()) == {"x" * 900}
