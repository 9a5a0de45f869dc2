"""The inference of columns: each is used by its content, or not used for a reason."""

import datetime as dt
from typing import Any

import pyarrow as pa
import pytest

from worker import cells
from worker.cells import BadCell, Content
from worker.context import BadInput
from worker.training import columns, table

WORDS = ["red", "green", "blue"]


def infer(values: list[Any], name: str = "column") -> columns.Column:
    rows = table.to_arrow([{name: value, "target": index % 2} for index, value in enumerate(values)])
    (column,) = columns.infer_columns(rows, "target", [name])
    return column


def infer_unrequested(values: Any, name: str = "column") -> columns.Column:
    """Infer a column that is not in `features`, beside a useful one."""
    count = len(values)
    rows = pa.table(
        {"use": [index % 7 for index in range(count)], name: values, "target": [0, 1] * (count // 2)}
    )
    return columns.infer_columns(rows, "target", None)[1]


@pytest.mark.parametrize(
    ("values", "content"),
    [
        ([1, 2, None, 4] * 5, Content.NUMBER),
        ([1.5, float("nan"), 2.0, 3.0] * 5, Content.NUMBER),
        (["1.5", "-2", "3e+4", ""] * 5, Content.NUMBER),
        ([True, False, None, True] * 5, Content.BOOLEAN),
        (["true", "FALSE", "True", "false"] * 5, Content.BOOLEAN),
        (["2024-01-31", "2024-02-01T10:00:00Z", None, "2023-01-01"] * 5, Content.DATE),
        (["007", "008", "009", "010"] * 5, Content.CATEGORY),
        ([f"{WORDS[index % 3]}" for index in range(20)], Content.CATEGORY),
        (["New York City Manhattan", "San Juan de Puerto Rico"] * 10, Content.CATEGORY),
        ([f"I have seen {index} of them" for index in range(20)], Content.TEXT),
        (
            ["很好", "太慢了，退款", "非常满意", "值得推荐"] * 3 + [f"第{n}次购买" for n in range(24)],
            Content.TEXT,
        ),
        ([1, "one", 2.5, True] * 5, Content.CATEGORY),
    ],
)
def test_the_content_of_a_column_is_inferred_from_its_values(values: list[Any], content: Content) -> None:
    assert infer(values).content is content


@pytest.mark.parametrize(
    ("kind", "values", "content"),
    [
        (pa.date32(), [dt.date(2024, 1, 1), dt.date(2024, 1, 2)], Content.DATE),
        (pa.timestamp("us"), [dt.datetime(2024, 1, 1), None], Content.DATE),  # noqa: DTZ001  # without a time zone
        (pa.timestamp("us", "UTC"), [dt.datetime(2024, 1, 1, tzinfo=dt.UTC), None], Content.DATE),
        (pa.decimal128(5, 2), [1, 2], Content.NUMBER),
        (pa.large_string(), ["a b c", "a b c"], Content.CATEGORY),
    ],
)
def test_the_content_of_a_typed_column_is_inferred_from_its_type(
    kind: pa.DataType, values: list[Any], content: Content
) -> None:
    values = [*values, values[0]] * 10
    rows = pa.table({"column": pa.array(values, kind), "target": pa.array([0, 1] * (len(values) // 2))})
    if kind == pa.large_string():
        rows = rows.set_column(0, "column", pa.array(["a b c", "d e f"] * (len(values) // 2), kind))

    (column,) = columns.infer_columns(rows, "target", None)

    assert column.content is content
    assert len(columns.read(column, rows.column("column"))) == len(values)


def test_dates_from_a_file_and_from_json_are_the_same_days() -> None:
    days = [dt.date(1970, 1, 2), dt.date(2024, 2, 29)]
    column = columns.Column("day", Content.DATE, "")

    from_file = columns.read(column, pa.chunked_array([pa.array(days)]))
    from_json = columns.read(column, pa.chunked_array([pa.array([day.isoformat() for day in days])]))

    assert from_file.tolist() == from_json.tolist() == [1.0, 19782.0]


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("id", list(range(100, 180, 2)), "named like an id"),
        ("customerId", list(range(100, 180, 2)), "named like an id"),
        ("row", list(range(5, 45)), "counts the rows"),
        ("key", [f"c-{index:03}" for index in range(40)], "a code that is different in every row"),
        ("key", [f"c-{index:03}" for index in [*range(40), 7, 8]], "different in nearly every row"),
        ("id", [*range(100, 180, 2), 100, 102], "named like an id, and different in nearly every row"),
        ("row", [*range(5, 25), *range(24, 46)], "counts the rows"),
        ("same", [1] * 40, "the same value in every row"),
        ("nothing", [None] * 40, "missing"),
        ("nan", [float("nan")] * 40, "missing"),
        ("empty", ["", " "] * 20, "missing"),
        ("list", [[1]] * 40, "values of type list<item: int64> are not supported"),
    ],
)
def test_a_useless_column_is_not_used_and_the_reason_given(name: str, values: list[Any], reason: str) -> None:
    column = infer_unrequested(values, name)

    assert column.content is None
    assert column.used_as is None
    assert reason in column.reason


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("paid", list(range(100, 180, 2))),
        ("name", [chr(97 + index % 26) * 3 + "y" + chr(97 + index // 26) for index in range(40)]),
        ("day", [f"2024-01-{index % 31 + 1:02}T{index:02}:00:00" for index in range(1, 23)]),
        ("size", [f"{index}.5" for index in range(40)]),
        ("id", [*range(100, 180, 2), *range(100, 108, 2)]),
        ("room", [f"r-{index % 37}" for index in range(40)]),
        ("week", [*range(58), 59, 60]),
    ],
)
def test_a_column_that_is_not_an_id_is_used(name: str, values: list[Any]) -> None:
    assert infer_unrequested(values, name).content is not None


def test_a_requested_id_is_used() -> None:
    assert infer(list(range(40)), "id").content is Content.NUMBER


def test_a_list_in_a_dataset_is_not_a_text() -> None:
    field = pa.field("tags", pa.string(), metadata={b"headrace.json": b"list"})
    kept = pa.table([pa.array(["[1]", "[2]"] * 20)], schema=pa.schema([field]))
    kept = kept.append_column("x", pa.array([1, 2, 3, 4] * 10)).append_column("target", pa.array([0, 1] * 20))

    tags, x = columns.infer_columns(kept, "target", None)

    assert tags.reason == "not used: values of type list are not supported"
    assert x.content is Content.NUMBER


@pytest.mark.parametrize(
    ("target", "features", "message"),
    [
        ("label", None, "no column 'label'; their columns are: a, b, target"),
        ("target", ["a", "c"], "no column 'c'"),
        ("target", ["a", "target"], "cannot be one of the features"),
        ("target", ["a", "a"], "named twice"),
    ],
)
def test_a_missing_column_is_named(target: str, features: list[str] | None, message: str) -> None:
    rows = pa.table({"a": [1, 2, 3], "b": [0, 0, 0], "target": [1, 2, 3]})

    with pytest.raises(BadInput, match=message):
        columns.check_names(rows, target, features or ())


def test_the_error_for_no_useful_column_has_the_reasons() -> None:
    rows = pa.table({"a": [0, 0, 0], "target": [1, 2, 3]})

    with pytest.raises(BadInput, match=r"no column is useful as a feature \(a: not used: the same value"):
        columns.infer_columns(rows, "target", None)


def test_rows_may_lack_columns_and_mix_what_they_hold() -> None:
    rows = table.to_arrow([{"a": 1}, {"b": "x", "a": "one"}, {"a": True}])

    assert rows.to_pylist() == [
        {"a": "1", "b": None},
        {"a": "one", "b": "x"},
        {"a": "true", "b": None},
    ]


@pytest.mark.parametrize(
    ("rows", "message"), [([], "no rows"), ([{"a": 1}, [1]], "row 1 is"), (["x"], "row 0 is")]
)
def test_rows_that_are_not_objects_are_refused(rows: list[Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        table.to_arrow(rows)


@pytest.mark.parametrize("value", ["abc", "1_000", "nan", "12 apples", [1], {"a": 1}, "0x10"])
def test_a_value_that_is_not_a_number_is_refused(value: Any) -> None:
    with pytest.raises(BadCell):
        cells.parse_number(value)


@pytest.mark.parametrize(
    ("value", "label"),
    [(3, "3"), (3.0, "3"), (2.5, "2.5"), (True, "true"), ("x", "x"), (None, None), (float("nan"), None)],
)
def test_a_label_has_one_canonical_form(value: Any, label: str | None) -> None:
    assert cells.to_label(value) == label
