"""The profile of a dataset is what a few lines of plain Python say of its rows."""

import statistics
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.datasets.profiling.messages import ColumnProfile
from app.datasets.profiling.task import compute
from tests.worker.preprocessing import running

SCHEMA = pa.schema([("n", pa.int64()), ("x", pa.float64()), ("t", pa.string()), ("b", pa.bool_())])
tables = st.lists(
    st.fixed_dictionaries(
        {
            "n": st.none() | st.integers(-5, 5),
            "x": st.none() | st.sampled_from([-1.5, 0.0, -0.0, 2.0, 7.25]),
            "t": st.none() | st.sampled_from(["a", "b", "é", "long text"]),
            "b": st.none() | st.booleans(),
        }
    ),
    min_size=1,
    max_size=40,
)


def columns(path: Path) -> dict[str, ColumnProfile]:
    return {column.name: column for column in compute(path).columns}


def codes(found: ColumnProfile) -> list[str]:
    return [warning.code for warning in found.warnings]


@settings(max_examples=50)
@given(rows=tables)
def test_it_is_exact(rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("rows")
    found = compute(running.stored(folder, pa.Table.from_pylist(rows, schema=SCHEMA)))

    assert found.rows == len(rows)
    assert found.duplicate_rows == len(rows) - len(
        {tuple(row[name] for name in SCHEMA.names) for row in rows}
    )
    for column in found.columns:
        values = [row[column.name] for row in rows if row[column.name] is not None]
        assert column.missing == len(rows) - len(values)
        assert column.unique == len(set(values))
        expected = Counter(values).most_common(10)
        assert [(one.value, one.count) for one in column.most_frequent] == expected
        if column.type in ("integer", "number") and values:
            assert (column.min, column.max) == (min(values), max(values))
            assert column.mean == pytest.approx(statistics.fmean(values))
            expected_std = statistics.stdev(values) if len(values) > 1 else None
            assert column.std == (None if expected_std is None else pytest.approx(expected_std))
            assert column.quantiles is not None
            assert column.quantiles["0.5"] == pytest.approx(statistics.median(values))
            assert column.histogram is not None
            assert sum(column.histogram.counts) == len(values)
            assert len(column.histogram.edges) == len(column.histogram.counts) + 1
        else:
            assert (column.mean, column.quantiles, column.histogram) == (None, None, None)
        if column.type == "text" and values:
            assert column.lengths == {
                "min": min(map(len, values)),
                "max": max(map(len, values)),
                "mean": pytest.approx(statistics.fmean(map(len, values))),
            }


def test_times_have_a_range_and_a_histogram_of_times(tmp_path: Path) -> None:
    text = "day,at\n2024-01-01,2024-01-01T00:00:00\n2024-01-21,2024-01-01T10:00:00\n"

    found = columns(running.stored_csv(tmp_path, text))

    assert (found["day"].min, found["day"].max) == ("2024-01-01", "2024-01-21")
    assert found["day"].histogram is not None
    assert found["day"].histogram.edges[:2] == ("2024-01-01", "2024-01-02")
    assert (found["at"].min, found["at"].max) == ("2024-01-01T00:00:00", "2024-01-01T10:00:00")
    assert found["at"].histogram is not None
    assert found["at"].histogram.edges[1] == "2024-01-01T00:30:00"


def test_lists_and_objects_are_compared_as_they_are(tmp_path: Path) -> None:
    path = running.stored(tmp_path, [{"x": [1, 2]}, {"x": [1, 2]}, {"x": [3]}])

    found = columns(path)["x"]

    assert (found.type, found.unique, found.lengths) == ("list", 2, None)
    assert found.most_frequent[0].value == [1, 2]


def test_it_spans_row_groups(tmp_path: Path) -> None:
    rows = [{"n": n, "t": f"text {n % 7}"} for n in range(25_000)]

    found = compute(running.stored(tmp_path, rows))

    number, text = found.columns
    assert (number.unique, number.min, number.max) == (25_000, 0, 24_999)
    assert [one.value for one in text.most_frequent] == [f"text {n}" for n in range(7)]
    assert text.most_frequent[0].count == 3572


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([None] * 4, ["empty"]),
        ([None, None, "a"], ["many_missing", "constant"]),
        ([None, 1, 2], []),
        (["same"] * 4, ["constant"]),
        (list(range(20)), ["looks_like_id"]),
        (list(range(19)), []),
        ([n / 2 for n in range(40)], []),
        ([f"user-{n}" for n in range(20)], ["looks_like_id"]),
        ([f"{n} " + "long text " * 10 for n in range(20)], []),
        (["31.12.2024", "1.2.2023", "1.2.2023"], ["dates_as_text"]),
        (["2024-01-31 10:00", "2024-01-31T10:00:00Z", "2024-01-31"], ["dates_as_text"]),
        (["2024-01-31", "soon"], []),
        (["1,5", "-2,25", "1.234,50"], ["decimal_commas"]),
        ([f"{n},5" for n in range(20)], ["decimal_commas"]),
        (["1,5", "none"], []),
        (["1,500", "2,000"], []),
        (["Yes", "yes ", "no"], ["spellings"]),
        (["yes", "yes", "no"], []),
    ],
)
def test_warnings_name_what_to_look_at(values: list[Any], expected: list[str], tmp_path: Path) -> None:
    kind = pa.string() if all(value is None for value in values) else None
    path = running.stored(tmp_path, pa.table({"x": pa.array(values, kind)}))

    assert codes(columns(path)["x"]) == expected


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("n/a", "'n/a' is not a number"),
        ("09216", "'09216' is not a number: it begins with 0, as codes do"),
        ("01.02.2024", "'01.02.2024' is not a number."),
    ],
)
def test_numbers_that_are_text_are_named_with_the_reason(cell: str, reason: str, tmp_path: Path) -> None:
    path = running.stored_csv(tmp_path, "x\n" + "".join(f"{n % 9}\n" for n in range(50)) + f"{cell}\n")

    [warning] = columns(path)["x"].warnings

    assert warning.code == "numbers_as_text"
    assert reason in warning.message
