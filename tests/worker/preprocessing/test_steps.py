"""Each step does to the rows what a few lines of plain Python do."""

import math
import statistics
import unicodedata
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.datasets.reading import RowReader
from app.jobs.preprocessing.steps import DatePart, Fill, NormalizeText, Part, Split, Statistic
from tests.worker.preprocessing import running
from tests.worker.preprocessing.running import Rows
from worker.context import JobError
from worker.preprocessing.chunk import Chunk
from worker.preprocessing.column_steps import normalized
from worker.preprocessing.filling import StatisticFilling
from worker.preprocessing.operation import BadValue, TooManyValues
from worker.preprocessing.pipeline import Pipeline
from worker.preprocessing.splitting import Splitting


def chunks(source: Path, size: int) -> list[Chunk]:
    """The rows in chunks of any size: their borders must not matter."""
    with RowReader(source) as reader:
        return [
            Chunk(table, pa.array(range(first, first + table.num_rows), pa.int64()))
            for at in range(0, len(reader), size)
            for first, table in reader.pieces(at, size)
        ]


def parts(
    source: Path, *requested: dict[str, Any], joined: tuple[Path, ...] = (), size: int = 7
) -> list[Rows]:
    """The rows of each output."""
    found = running.plain(requested)
    others = iter(joined)
    pipeline = Pipeline(found, lambda _name: RowReader(next(others)))
    for number in range(pipeline.passes - 1):
        pipeline.begin(number)
        for chunk in chunks(source, size):
            pipeline.survey(number, chunk)
    pipeline.begin(pipeline.passes - 1)
    outputs: list[Rows] = [[] for _ in pipeline.outputs]
    for chunk in chunks(source, size):
        for output, part in zip(outputs, pipeline.finish(chunk), strict=True):
            output += rows_of(part)
    return outputs


def rows_of(chunk: Chunk) -> Rows:
    names = chunk.table.column_names
    return [dict(zip(names, row, strict=True)) for row in zip(*map(chunk.as_json, names), strict=True)]


@pytest.fixture
def after(tmp_path: Path) -> Callable[..., Rows]:
    """The rows after some steps."""

    def after(rows: Rows | str, *requested: dict[str, Any], joined: tuple[Rows, ...] = ()) -> Rows:
        if isinstance(rows, str):
            source = running.stored_csv(tmp_path, rows)
        else:
            source = running.stored(tmp_path, rows)
        others = tuple(running.stored(tmp_path, other, f"other-{n}") for n, other in enumerate(joined))
        [output] = parts(source, *requested, joined=others)
        return output

    return after


def condition(column: str, op: str, **more: Any) -> dict[str, Any]:
    return {"step": "filter", "conditions": [{"column": column, "op": op, **more}]}


ROWS: Rows = [
    {"n": 1, "x": 0.5, "label": "a", "is_new": True},
    {"n": 2, "x": None, "label": "b", "is_new": False},
    {"n": None, "x": 2.0, "label": None, "is_new": None},
    {"n": 4, "x": -1.0, "label": "ab", "is_new": True},
]


def test_columns_are_selected_dropped_and_renamed(after: Callable[..., Rows]) -> None:
    assert list(after(ROWS, {"step": "select", "columns": ["x", "n"]})[0]) == ["x", "n"]
    assert list(after(ROWS, {"step": "drop", "columns": ["x"]})[0]) == ["n", "label", "is_new"]
    swapped = after(ROWS, {"step": "rename", "columns": {"n": "x", "x": "n"}})
    assert [(row["x"], row["n"]) for row in swapped] == [(row["n"], row["x"]) for row in ROWS]


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        (condition("n", "ge", value=2), [1, 3]),
        (condition("n", "ne", value=2), [0, 3]),
        (condition("x", "lt", value=1), [0, 3]),
        (condition("label", "in", value=["a", "b"]), [0, 1]),
        (condition("label", "not_in", value=["a", "b"]), [3]),
        (condition("label", "contains", value="b"), [1, 3]),
        (condition("label", "matches", value="^a"), [0, 3]),
        (condition("label", "is_missing"), [2]),
        (condition("x", "is_present"), [0, 2, 3]),
        (condition("is_new", "eq", value=True), [0, 3]),
    ],
)
def test_a_filter_keeps_the_rows_that_meet_its_condition(
    asked: dict[str, Any], kept: list[int], after: Callable[..., Rows]
) -> None:
    assert after(ROWS, asked) == [ROWS[index] for index in kept]


def test_conditions_are_all_met_or_any(after: Callable[..., Rows]) -> None:
    conditions = [
        {"column": "n", "op": "gt", "value": 1},
        {"column": "label", "op": "eq", "value": "a"},
    ]

    assert after(ROWS, {"step": "filter", "conditions": conditions}) == []
    either = after(ROWS, {"step": "filter", "conditions": conditions, "match": "any"})
    assert either == [ROWS[0], ROWS[1], ROWS[3]]


def test_times_are_compared_as_times(after: Callable[..., Rows]) -> None:
    text = "day,at\n2024-01-31,2024-01-31T10:00:00\n2024-02-01,2024-01-31T10:00:01\n"

    assert len(after(text, condition("day", "gt", value="2024-01-31"))) == 1
    assert len(after(text, condition("at", "le", value="2024-01-31T10:00:00"))) == 1
    assert len(after(text, condition("at", "in", value=["2024-01-31T11:00:01+01:00"]))) == 1


def test_what_no_step_changes_stays_as_it_was_written(tmp_path: Path) -> None:
    source = running.stored_csv(tmp_path, "price,note\n0.560,a\n0.5,b\n0.560,c\n")

    [chunk] = chunks(source, 10)
    pipeline = Pipeline(running.plain([condition("note", "ne", value="b")]), lambda _: RowReader(source))
    pipeline.begin(0)
    [kept] = pipeline.finish(chunk)

    assert kept.as_written("price") == ["0.560", "0.560"]
    assert kept.values("price") == [0.56, 0.56]


CASTS: list[tuple[str, str, list[Any], list[Any]]] = [
    ("text", "integer", [" 7", "-3", "+4", None], [7, -3, 4, None]),
    ("text", "number", ["1.5", ".5", "2.", "1e3"], [1.5, 0.5, 2.0, 1000.0]),
    ("text", "boolean", ["true", "FALSE", "1", "0"], [True, False, True, False]),
    ("text", "date", ["2024-02-29"], ["2024-02-29"]),
    ("text", "timestamp", ["2024-01-01T10:00:00+02:00"], ["2024-01-01T08:00:00"]),
    ("integer", "number", [1, None], [1.0, None]),
    ("integer", "boolean", [1, 0], [True, False]),
    ("number", "integer", [1.0, -2.0], [1, -2]),
    ("number", "text", [1.0, 0.25], ["1", "0.25"]),
    ("boolean", "text", [True, None], ["true", None]),
    ("boolean", "integer", [True, False], [1, 0]),
    ("date", "timestamp", [date(2024, 1, 1)], ["2024-01-01T00:00:00"]),
    ("timestamp", "date", [datetime(2024, 1, 1, 23, 59)], ["2024-01-01"]),  # noqa: DTZ001
]


@pytest.mark.parametrize(("_from", "to", "values", "expected"), CASTS)
def test_a_cast_converts_exactly(
    _from: str, to: str, values: list[Any], expected: list[Any], after: Callable[..., Rows]
) -> None:
    rows = [{"x": value} for value in values]

    assert [row["x"] for row in after(rows, {"step": "cast", "columns": ["x"], "to": to})] == expected


@pytest.mark.parametrize(
    ("to", "value"),
    [
        ("integer", "1.5"),
        ("integer", "1_000"),
        ("integer", "9223372036854775808"),
        ("integer", 1.5),
        ("number", "nan"),
        ("number", "1e999"),
        ("number", 2**53 + 1),
        ("boolean", "yes"),
        ("boolean", 2),
        ("date", "2024-02-30"),
        ("date", "01.02.2024"),
        ("timestamp", "noon"),
    ],
)
def test_a_value_that_would_lose_something_fails_the_job_or_becomes_missing(
    to: str, value: Any, after: Callable[..., Rows]
) -> None:
    rows = [{"x": None}, {"x": value}]
    step = {"step": "cast", "columns": ["x"], "to": to}

    assert after(rows, {**step, "on_error": "null"}) == [{"x": None}, {"x": None}]
    with pytest.raises(BadValue) as failed:
        after(rows, step)
    assert failed.value.message.startswith("Step 1 (cast), row 2: ")
    assert "'x'" in failed.value.message
    assert not failed.value.is_retryable


def test_the_row_of_a_bad_value_is_that_of_the_source(after: Callable[..., Rows]) -> None:
    rows = [{"n": n, "x": "bad" if n == 19 else "1"} for n in range(30)]

    with pytest.raises(BadValue, match=r"Step 2 \(cast\), row 20: 'bad'"):
        after(rows, condition("n", "ge", value=11), {"step": "cast", "columns": ["x"], "to": "integer"})


def test_a_cast_to_text_gives_the_text_of_the_file(after: Callable[..., Rows]) -> None:
    step = {"step": "cast", "columns": ["price"], "to": "text"}

    assert after("price\n0.560\n0.5\n", step) == [{"price": "0.560"}, {"price": "0.5"}]


def test_a_format_says_how_dates_are_written(after: Callable[..., Rows]) -> None:
    rows = [{"x": "31.12.2024"}, {"x": None}]
    step = {"step": "cast", "columns": ["x"], "to": "date", "format": "%d.%m.%Y"}

    assert after(rows, step) == [{"x": "2024-12-31"}, {"x": None}]


def test_missing_values_are_filled_by_a_value(after: Callable[..., Rows]) -> None:
    filled = after(
        ROWS,
        {"step": "fill", "columns": ["n"], "value": 0},
        {"step": "fill", "columns": ["label"], "value": "?"},
        {"step": "fill", "columns": ["x"], "value": 3},
    )

    assert [(row["n"], row["x"], row["label"]) for row in filled] == [
        (1, 0.5, "a"),
        (2, 3.0, "b"),
        (0, 2.0, "?"),
        (4, -1.0, "ab"),
    ]


def test_a_day_is_divided_into_its_parts(after: Callable[..., Rows]) -> None:
    step = {"step": "date_parts", "column": "at", "parts": list(DatePart), "prefix": ""}

    [row] = after("at\n2024-12-30T23:59:58\n", step)

    assert {str(part): row[part] for part in DatePart} == {
        "year": 2024,
        "quarter": 4,
        "month": 12,
        "week": 1,
        "day": 30,
        "day_of_year": 365,
        "weekday": 0,
        "hour": 23,
        "minute": 59,
        "second": 58,
    }


def test_texts_are_normalised(after: Callable[..., Rows]) -> None:
    rows = [{"x": "  Ｃafe\u0301\tau  LAIT "}, {"x": None}, {"x": " "}]
    step = {"step": "normalize_text", "columns": ["x"]}

    assert [row["x"] for row in after(rows, step)] == ["ｃafé au lait", None, ""]
    plain = {**step, "unicode": "NFKC", "remove_accents": True}
    assert after(rows, plain)[0]["x"] == "cafe au lait"
    kept = {**step, "unicode": None, "lowercase": False, "collapse_whitespace": False}
    assert after(rows, kept) == rows


def test_values_are_mapped(after: Callable[..., Rows]) -> None:
    rows = [{"x": "a"}, {"x": "b"}, {"x": None}]
    step = {"step": "map_values", "column": "x", "mapping": {"a": "A"}}

    assert [row["x"] for row in after(rows, step)] == ["A", "b", None]
    assert [row["x"] for row in after(rows, {**step, "others": "null"})] == ["A", None, None]
    with pytest.raises(BadValue, match="row 2: the mapping lacks 'b'"):
        after(rows, {**step, "others": "fail"})
    numbers = {"step": "map_values", "column": "n", "mapping": {"1": 0.5}}
    assert [row["n"] for row in after([{"n": 1}, {"n": 2}], numbers)] == [0.5, 2.0]


def test_a_join_adds_columns_of_the_row_that_matches(after: Callable[..., Rows]) -> None:
    rows = [{"k": 2, "v": "x"}, {"k": 1, "v": "y"}, {"k": None, "v": "z"}, {"k": 9, "v": "w"}]
    other = [{"id": 1.0, "v": "one"}, {"id": 2.0, "v": "two"}, {"id": None, "v": "none"}]
    step = {"step": "join", "dataset": "other", "on": {"k": "id"}, "suffix": "_r"}

    assert after(rows, step, joined=(other,)) == [
        {"k": 2, "v": "x", "v_r": "two"},
        {"k": 1, "v": "y", "v_r": "one"},
        {"k": None, "v": "z", "v_r": None},
        {"k": 9, "v": "w", "v_r": None},
    ]
    inner = after(rows, {**step, "how": "inner"}, joined=(other,))
    assert [row["v_r"] for row in inner] == ["two", "one"]


def test_a_join_that_would_multiply_rows_fails(after: Callable[..., Rows]) -> None:
    step = {"step": "join", "dataset": "other", "on": ["k"]}

    with pytest.raises(JobError, match="rows 1 and 3 of the joined dataset have the same keys") as failed:
        after([{"k": 1}], step, joined=([{"k": 1, "a": 1}, {"k": 2, "a": 2}, {"k": 1, "a": 3}],))
    assert failed.value.code == "duplicate_keys"


def test_a_join_reads_rows_of_any_row_group(tmp_path: Path) -> None:
    other = running.stored(tmp_path, [{"k": n, "name": f"name {n}"} for n in range(25_000)], "other")
    source = running.stored(tmp_path, [{"k": n * 7919 % 30_000} for n in range(300)])

    [joined] = parts(source, {"step": "join", "dataset": "o", "on": ["k"]}, joined=(other,), size=50)

    assert joined == [
        {"k": k, "name": f"name {k}" if k < 25_000 else None} for k in (n * 7919 % 30_000 for n in range(300))
    ]


quick = settings(max_examples=40)
values = st.none() | st.integers(-3, 3)
tables = st.lists(
    st.fixed_dictionaries({"a": values, "b": st.none() | st.sampled_from(["x", "y", "é"])}),
    min_size=1,
    max_size=60,
)


def built(rows: Rows, folder: Path) -> Path:
    schema = pa.schema([("a", pa.int64()), ("b", pa.string())])
    return running.stored(folder, pa.Table.from_pylist(rows, schema=schema))


@quick
@given(rows=tables, size=st.integers(1, 30))
def test_of_equal_rows_the_first_is_kept(
    rows: Rows, size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    source = built(rows, tmp_path_factory.mktemp("rows"))

    [whole] = parts(source, {"step": "deduplicate"}, size=size)
    [by_b] = parts(source, {"step": "deduplicate", "columns": ["b"]}, size=size)

    distinct: dict[Any, dict[str, Any]] = {}
    for row in rows:
        distinct.setdefault((row["a"], row["b"]), row)
    assert whole == list(distinct.values())
    first: dict[Any, dict[str, Any]] = {}
    for row in rows:
        first.setdefault(row["b"], row)
    assert by_b == list(first.values())


@quick
@given(rows=tables, size=st.integers(1, 30))
def test_statistics_are_those_of_the_values_that_are_there(
    rows: Rows, size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    source = built(rows, tmp_path_factory.mktemp("rows"))
    numbers = [row["a"] for row in rows if row["a"] is not None]
    texts = [row["b"] for row in rows if row["b"] is not None]
    expected = {
        "mean": math.fsum(numbers) / len(numbers) if numbers else None,
        "median": statistics.median(numbers) if numbers else None,
    }

    for statistic, value in expected.items():
        [filled] = parts(source, {"step": "fill", "columns": ["a"], "statistic": statistic}, size=size)
        assert [row["a"] for row in filled] == [value if row["a"] is None else row["a"] for row in rows]
    [filled] = parts(source, {"step": "fill", "columns": ["b"], "statistic": "most_frequent"}, size=size)
    most = Counter(texts).most_common(1)[0][0] if texts else None
    assert [row["b"] for row in filled] == [most if row["b"] is None else row["b"] for row in rows]


@given(
    count=st.integers(1, 200),
    wanted=st.integers(1, 250),
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(1, 90),
)
def test_a_sample_has_the_size_that_was_asked_for_and_keeps_the_order(
    count: int, wanted: int, seed: int, size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    source = running.stored(tmp_path_factory.mktemp("rows"), [{"n": n} for n in range(count)])
    step = {"step": "sample", "rows": wanted, "seed": seed}

    [sampled] = parts(source, step, size=size)
    numbers = [row["n"] for row in sampled]

    assert len(numbers) == min(wanted, count)
    assert numbers == sorted(set(numbers))
    assert parts(source, step, size=size + 1) == [sampled]
    [fraction] = parts(source, {"step": "sample", "fraction": 0.3, "seed": seed}, size=size)
    assert len(fraction) == max(1, round(0.3 * count))


def test_every_row_is_sampled_about_equally_often(tmp_path: Path) -> None:
    source = running.stored(tmp_path, [{"n": n} for n in range(20)])
    counts: Counter[int] = Counter()
    for seed in range(400):
        [sampled] = parts(source, {"step": "sample", "rows": 5, "seed": seed}, size=20)
        counts.update(row["n"] for row in sampled)

    # Binomial with n = 400 and p = 1/4: mean 100, standard deviation 8.7.
    assert all(60 < counts[n] < 140 for n in range(20)), counts


@quick
@given(rows=tables, size=st.integers(1, 30), seed=st.integers(0, 5))
def test_a_split_loses_no_row_and_its_parts_have_their_sizes(
    rows: Rows, size: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    numbered = [{**row, "i": n} for n, row in enumerate(rows)]
    schema = pa.schema([("a", pa.int64()), ("b", pa.string()), ("i", pa.int64())])
    source = running.stored(tmp_path_factory.mktemp("rows"), pa.Table.from_pylist(numbered, schema=schema))
    step = {
        "step": "split",
        "parts": [
            {"name": "x", "fraction": 0.5},
            {"name": "y", "fraction": 0.3},
            {"name": "z", "fraction": 0.2},
        ],
        "seed": seed,
    }
    count = len(rows)

    plain = parts(source, step, size=size)
    assert sorted(row["i"] for part in plain for row in part) == list(range(count))
    assert [len(part) for part in plain][:2] == [round(0.5 * count), round(0.8 * count) - round(0.5 * count)]

    strata = parts(source, {**step, "by": "stratified", "column": "b"}, size=size)
    assert sorted(row["i"] for part in strata for row in part) == list(range(count))
    for value, total in Counter(row["b"] for row in rows).items():
        of_value = [sum(row["b"] == value for row in part) for part in strata]
        assert of_value[0] == round(0.5 * total)
        assert of_value[0] + of_value[1] == round(0.8 * total)

    groups = parts(source, {**step, "by": "group", "column": "a"}, size=size)
    found = [{row["a"] for row in part} for part in groups]
    assert sum(map(len, found)) == len({row["a"] for row in rows})
    assert sorted(row["i"] for part in groups for row in part) == list(range(count))

    early, middle, late = parts(source, {**step, "by": "time", "column": "a"}, size=size)
    assert sorted(row["i"] for row in early + middle + late) == list(range(count))
    assert all(row["a"] is not None for row in middle + late)
    times = [[row["a"] for row in part if row["a"] is not None] for part in (early, middle, late)]
    for before, behind in ((times[0], times[1] + times[2]), (times[1], times[2])):
        assert not before or not behind or max(before) < min(behind)
    assert len(early) <= max(round(0.5 * count), sum(row["a"] is None for row in rows))


def test_a_split_by_time_without_ties_has_its_sizes(tmp_path: Path) -> None:
    rows = [{"at": f"2024-01-{day:02}"} for day in (5, 3, 1, 9, 7, 2, 8, 4, 6, 10)]
    source = running.stored_csv(tmp_path, "at\n" + "".join(f"{row['at']}\n" for row in rows))

    early, late = parts(
        source,
        {
            "step": "split",
            "by": "time",
            "column": "at",
            "parts": [{"name": "a", "fraction": 0.7}, {"name": "b", "fraction": 0.3}],
        },
    )

    assert sorted(row["at"] for row in late) == ["2024-01-08", "2024-01-09", "2024-01-10"]
    assert len(early) == 7


def test_too_many_distinct_values_are_refused(tmp_path: Path) -> None:
    [chunk] = chunks(running.stored(tmp_path, [{"x": n} for n in range(5)]), 10)
    filling = StatisticFilling(1, Fill(("x",), statistic=Statistic.MOST_FREQUENT), max_distinct=4)
    splitting = Splitting(2, Split((Part("a", 0.5), Part("b", 0.5)), "stratified", "x"), max_distinct=4)

    for operation in (filling, splitting):
        with pytest.raises(TooManyValues, match="more than 4 distinct values"):
            operation.survey(chunk)


@given(st.text())
def test_normalised_text_stays_as_it_is(text: str) -> None:
    step = NormalizeText(("x",), lowercase=False)
    once = normalized(text, step)

    assert normalized(once, step) == once
    assert once == " ".join(unicodedata.normalize("NFC", text).split())
