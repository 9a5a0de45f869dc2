"""Rows in columns: as sequences the same as lists of rows, as a matrix the same numbers."""

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


def rows() -> TableRows:
    return TableRows(pa.table(COLUMNS))


def test_a_row_is_an_object_by_the_names_of_its_columns() -> None:
    found = rows()

    assert len(found) == 3
    assert found[0] == {"whole": 1, "part": 0.5, "is_new": True, "name": "a", "day": "2024-01-01"}
    assert [row["name"] for row in found] == ["a", "b", None]
    assert found.column("day") == ["2024-01-01", None, "2024-01-03"]
    assert found.column("nowhere") == [None, None, None]


def test_lists_are_in_the_order_that_is_asked_for() -> None:
    lists = rows().lists(("name", "whole"))

    assert list(lists) == [["a", 1], ["b", None], [None, 2**60]]
    assert lists[1:] == [["b", None], [None, 2**60]]
    assert rows().lists(("whole", "nowhere"))[0] == [1, None]


def test_columns_of_numbers_are_a_matrix_with_what_is_missing_as_nan() -> None:
    lists = rows().lists(("part", "whole", "is_new"))

    assert not isinstance(lists, list)
    matrix = lists.numbers()

    expected = [[0.5, 1.0, 1.0], [math.inf, math.nan, math.nan], [math.nan, float(2**60), 0.0]]
    np.testing.assert_array_equal(matrix, expected)


def test_what_is_no_number_gives_no_matrix() -> None:
    for name in ("name", "day"):
        lists = rows().lists(("whole", name))
        assert not isinstance(lists, list)
        assert lists.numbers() is None
