"""Rows of an Arrow table equal lists of rows as sequences, and their matrix holds the same numbers."""

import math
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from worker.columnar import TableRows

COLUMNS: dict[str, list[Any]] = {
    "whole": [1, None, 2**60],
    "part": [0.5, math.inf, None],
    "is_new": [True, None, False],
    "name": ["a", "b", None],
    "day": [date(2024, 1, 1), None, date(2024, 1, 3)],
}


def table_rows() -> TableRows:
    return TableRows(pa.table(COLUMNS))


def test_a_row_is_a_dict_by_column_name() -> None:
    rows = table_rows()

    assert len(rows) == 3
    assert rows[0] == {"whole": 1, "part": 0.5, "is_new": True, "name": "a", "day": "2024-01-01"}
    assert [row["name"] for row in rows] == ["a", "b", None]
    assert rows.column("day") == ["2024-01-01", None, "2024-01-03"]
    assert rows.column("nowhere") == [None, None, None]


def test_select_returns_lists_in_the_requested_order() -> None:
    lists = table_rows().select(("name", "whole"))

    assert list(lists) == [["a", 1], ["b", None], [None, 2**60]]
    assert lists[1:] == [["b", None], [None, 2**60]]
    assert table_rows().select(("whole", "nowhere"))[0] == [1, None]


def test_numeric_columns_become_a_matrix_with_nan_for_null() -> None:
    lists = table_rows().select(("part", "whole", "is_new"))

    assert not isinstance(lists, list)
    matrix = lists.to_matrix()

    expected = [[0.5, 1.0, 1.0], [math.inf, math.nan, math.nan], [math.nan, float(2**60), 0.0]]
    np.testing.assert_array_equal(matrix, expected)


def test_a_column_that_is_not_numeric_prevents_a_matrix() -> None:
    for name in ("name", "day"):
        lists = table_rows().select(("whole", name))
        assert not isinstance(lists, list)
        assert lists.to_matrix() is None
