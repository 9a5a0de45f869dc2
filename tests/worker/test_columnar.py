"""Rows of an Arrow table equal lists of rows as sequences, and their matrix holds the same numbers."""

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.datasets import reading
from app.datasets.conversion import columns
from app.datasets.conversion.notation import Notation
from worker import cells
from worker.columnar import TableLists, TableRows

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


# Distinct values

BIG = 2**53 + 1
moment = datetime.fromisoformat
TYPED: dict[str, tuple[pa.Field, list[Any]]] = {
    "text": (columns.field("c", columns.TEXT), ["b", "", None, "a", "b", " ", "1.50", "a\tb"]),
    "integer": (columns.field("c", columns.INTEGER), [BIG, None, BIG + 1, 0, -BIG, BIG]),
    "number": (columns.field("c", columns.NUMBER), [0.0, -0.0, None, 1e300, 0.1, 3.0, -0.0]),
    "number with a notation": (
        columns.field("c", columns.NUMBER, notation=Notation.PYTHON),
        [3.0, None, 0.5, -0.0, 0.0, 3.0],
    ),
    "integer with a notation": (columns.field("c", columns.INTEGER, notation=Notation.SHORT), [3, None, 3]),
    "boolean": (columns.field("c", columns.BOOLEAN), [True, None, False, True]),
    "boolean as text": (columns.field("c", columns.TEXT, view=columns.BOOLEAN), ["TRUE", None, "false"]),
    "number as text": (columns.field("c", columns.TEXT, view=columns.NUMBER), ["0.560", None, ".5"]),
    "date": (columns.field("c", columns.DATE), [date(2024, 2, 29), None, date(1, 1, 1), date(9999, 12, 31)]),
    "timestamp": (
        columns.field("c", columns.TIMESTAMP),
        [moment("2024-01-01T10:00:00.000005"), None, moment("1969-12-31T23:00"), moment("9999-12-31")],
    ),
    "instant": (
        columns.field("c", columns.INSTANT),
        [datetime(2024, 1, 1, 10, tzinfo=UTC), None, datetime(1, 1, 1, tzinfo=UTC)],
    ),
    "list": (columns.field("c", columns.TEXT, columns.LIST), ["[1,2]", None, "[]", "[1,2]"]),
    "object": (columns.field("c", columns.TEXT, columns.OBJECT), ['{"a":1}', None, '{"a":1}', "{}"]),
    "nothing": (pa.field("c", pa.null()), [None, None]),
}


def table_of(kind: str, chunks: int = 1) -> pa.Table:
    """A table of one column, which a batch across row groups has in several chunks."""
    field, values = TYPED[kind]
    parts = [pa.array(values, field.type)] * chunks
    return pa.table([pa.chunked_array(parts, field.type)], schema=pa.schema([field]))


@pytest.mark.parametrize("kind", TYPED)
@pytest.mark.parametrize("chunks", [1, 3])
def test_distinct_values_are_those_of_the_rows_as_written(kind: str, chunks: int) -> None:
    table = table_of(kind, chunks)
    expected = [repr(value) for value in reading.as_written(table, 0)]

    for distinct in (TableRows(table).distinct("c"), TableLists(table).distinct(0)):
        assert [repr(distinct.values[place]) for place in distinct.places] == expected


def test_a_value_is_parsed_once_however_many_rows_have_it() -> None:
    distinct = TableRows(pa.table({"c": ["a", "b", None] * 100})).distinct("c")

    assert distinct.values == ["a", "b", None]


def test_the_rows_of_a_slice_have_no_other_values() -> None:
    distinct = TableRows(pa.table({"c": ["a", "b", "c"]}).slice(1, 1)).distinct("c")

    assert (distinct.values, distinct.places.tolist()) == (["b"], [0])


def test_a_column_that_the_table_lacks_is_missing_in_each_row() -> None:
    distinct = table_rows().distinct("nowhere")

    assert [distinct.values[place] for place in distinct.places] == [None] * 3
    assert table_rows().to_days("nowhere") is None


# Days

moments = st.datetimes() | st.datetimes(moment("1600-01-01"), moment("2300-01-01"))


@given(st.lists(st.none() | moments, min_size=1), st.sampled_from([columns.TIMESTAMP, columns.INSTANT]))
def test_times_are_the_days_that_are_parsed_from_their_texts(
    values: list[datetime | None], arrow_type: pa.DataType
) -> None:
    zone = UTC if arrow_type == columns.INSTANT else None
    zoned = [None if value is None else value.replace(tzinfo=zone) for value in values]

    ensure_days_as_parsed(TableLists(pa.table({"c": pa.array(zoned, arrow_type)})))


@given(st.lists(st.none() | st.dates(), min_size=1))
def test_dates_are_the_days_that_are_parsed_from_their_texts(values: list[date | None]) -> None:
    ensure_days_as_parsed(TableLists(pa.table({"c": pa.array(values, columns.DATE)})))


def ensure_days_as_parsed(lists: TableLists) -> None:
    expected = [cells.parse_date(value) for value in lists.column_as_written(0)]
    found = lists.to_days(0)

    if found is not None:
        assert [repr(day) for day in found.tolist()] == [repr(day) for day in expected]


def test_times_that_a_double_cannot_hold_are_left_to_the_parser() -> None:
    exact = moment("1970-01-01") + timedelta(microseconds=2**53 - 1)
    lists = [
        TableLists(pa.table({"c": pa.array([value], columns.TIMESTAMP)}))
        for value in (exact, exact + timedelta(microseconds=1))
    ]

    assert [one.to_days(0) is None for one in lists] == [False, True]


@pytest.mark.parametrize("kind", ["text", "integer", "number", "boolean", "list", "nothing"])
def test_a_column_without_times_has_no_days(kind: str) -> None:
    assert TableLists(table_of(kind)).to_days(0) is None
