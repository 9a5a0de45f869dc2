"""A table of the size of MNIST, 784 columns and 70 000 rows, is converted within little memory."""

from pathlib import Path

import pytest

from app.datasets.values import Format
from tests.datasets import wide

LIMIT_MIB = 300

pytestmark = [pytest.mark.long, pytest.mark.huge]


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("file_format", list(Format))
def test_a_table_of_the_size_of_mnist(tmp_path: Path, file_format: Format) -> None:
    source, target = tmp_path / "content", tmp_path / "rows.parquet"
    wide.write(source, file_format, rows=70_000, columns=784)

    answer, used_mib = wide.convert(source, file_format, target)

    assert (answer["type"], answer["rows"], len(answer["columns"])) == ("converted", 70_000, 784)
    assert used_mib < LIMIT_MIB
