"""A row gets the same prediction in any batch, and uploaded values are returned unchanged."""

import csv
import functools
import io
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.datasets import reading
from app.datasets.canonical_text import to_canonical_text
from app.datasets.reading import RowReader
from app.datasets.values import Format
from tests.cases.pipelines import CATEGORIES, MODELS, Model, Row
from tests.cases.workbench import (
    Loaded,
    Uploaded,
    Workbench,
    predict_dataset,
    predict_instances,
    predict_texts,
)

NAMES = ("x0", "x1", "x2")
FEW = settings(max_examples=12, suppress_health_check=list(HealthCheck))
MORE = settings(max_examples=60, suppress_health_check=list(HealthCheck))

numbers = st.one_of(
    st.floats(-50, 50, allow_nan=False, width=32).map(repr),
    st.floats(-50, 50, allow_nan=False).map(lambda value: f"{value:.2f}"),
    st.integers(-40, 40).map(str),
)
categories = st.sampled_from(CATEGORIES) | st.text("abc0123456789.-+eE ", min_size=1, max_size=6).filter(
    str.strip
)
some_rows = st.lists(st.tuples(numbers, numbers, categories), min_size=1, max_size=12)
holes = st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=12, max_size=12)


@functools.cache
def model(name: str) -> tuple[Model, Loaded]:
    made = MODELS[name]()
    bench = Workbench(Path(tempfile.mkdtemp()))
    return made, bench.upload_onnx(made.content) if made.is_onnx else bench.upload_sklearn(made.content)


def taken(made: Model, row: Sequence[Any]) -> dict[str, Any]:
    """Return the input of a model for a row, by column name."""
    if made.is_onnx and made.columns == "xyc":
        return dict(zip(("x", "y", "c"), row, strict=True))
    if made.columns == "c":
        return {"text": row[2]}
    return dict(zip(NAMES, row[: len(made.columns)], strict=False))


def as_csv(rows: Sequence[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*rows[0], "beside"])
    writer.writerows([*row.values(), "something"] for row in rows)
    return text.getvalue().encode()


def as_parquet(rows: Sequence[dict[str, Any]]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([{**row, "beside": 1} for row in rows]), file)
    return file.getvalue()


def answers(lines: list[dict[str, Any]]) -> list[Any]:
    """Return predictions in the form of `by_hand`."""
    return [
        (line["prediction"]["label"], list(line["prediction"]["scores"].values()))
        if "label" in line["prediction"]
        else line["prediction"]["value"]
        for line in lines
    ]


def ensure_same(found: list[Any], expected: list[Any]) -> None:
    for one, two in zip(found, expected, strict=True):
        if not isinstance(two, tuple):
            label, _ = one if isinstance(one, tuple) else (one, None)
            assert label == (pytest.approx(two, rel=1e-6) if isinstance(two, float) else two)
            continue
        assert one[0] == two[0]
        assert one[1] == pytest.approx(two[1], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", MODELS)
@FEW
@given(cells=some_rows, missing=holes, size=st.integers(1, 12), other=some_rows)
def test_a_row_gets_the_prediction_of_the_plain_library_in_any_batch(
    name: str, cells: list[Any], missing: list[Any], size: int, other: list[Any]
) -> None:
    made, loaded = model(name)
    bench = Workbench(Path(tempfile.mkdtemp()))
    written_rows = [
        tuple(
            None if made.takes_missing and is_missing else cell
            for cell, is_missing in zip(row, gaps, strict=True)
        )
        for row, gaps in zip(cells, missing, strict=False)
    ]
    rows: list[Row] = [(_number(x), _number(y), c) for x, y, c in written_rows]
    of_csv = [taken(made, row) for row in written_rows]
    of_json = [taken(made, row) for row in rows]
    neighbours = [taken(made, (_number(x), _number(y), c)) for x, y, c in other]

    expected = made.by_hand(rows)

    lines = b"\n".join(json.dumps(row).encode() for row in of_json)
    ensure_same(answers(predict_instances(loaded, of_json, batch_size=size)), expected)
    ensure_same(answers(predict_instances(loaded, [*of_json, *neighbours]))[: len(rows)], expected)
    for content, file_format in (
        (as_csv(of_csv), Format.CSV),
        (lines, Format.JSONL),
        (as_parquet(of_json), Format.PARQUET),
    ):
        uploaded = bench.upload(content, file_format)
        found = predict_dataset(loaded, uploaded, batch_size=size, **_told(made))
        ensure_same(answers(found), expected)
    if made.columns == "c":
        ensure_same(answers(predict_texts(loaded, [row["text"] for row in of_json])), expected)


def _number(cell: str | None) -> float | None:
    return None if cell is None else float(cell)


def _told(made: Model) -> dict[str, str]:
    return {"column": "text"} if made.columns == "c" else {}


# Cells

odd_cells = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
    st.from_regex(r"[+-]?[0-9]{0,19}(\.[0-9]{0,4})?([eE][+-]?[0-9]{1,2})?", fullmatch=True),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(
        ["TRUE", "true", "False", "2024-01-01", "2024-01-01 10:00", "2024-01-01T10:00Z", "0", "-0"]
    ),
)
alike = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1).map(str), min_size=1, max_size=6),
    st.lists(st.floats(allow_nan=False, allow_infinity=False).map(repr), min_size=1, max_size=6),
    st.lists(st.sampled_from(["true", "TRUE", "False", ""]), min_size=1, max_size=6),
    st.lists(st.datetimes().map(lambda value: value.isoformat(" ")), min_size=1, max_size=6),
    st.lists(st.dates().map(str), min_size=1, max_size=6),
    st.lists(st.decimals(-1000, 1000, places=2).map(str), min_size=1, max_size=6),
    st.lists(odd_cells, min_size=1, max_size=6),
)


def written_cells(uploaded: Uploaded, name: str) -> list[str | None]:
    with RowReader(uploaded.path) as reader:
        table = reader.table(0, len(reader))
    return [to_canonical_text(value) for value in reading.as_written(table, table.column_names.index(name))]


@MORE
@given(cells=alike, delimiter=st.sampled_from([",", ";", "\t", "|"]))
def test_every_cell_of_a_csv_is_returned_as_written(cells: list[str], delimiter: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([["c", "other"], *([cell, "x"] for cell in cells)])

    uploaded = Workbench(Path(tempfile.mkdtemp())).upload(text.getvalue().encode(), delimiter=delimiter)

    assert written_cells(uploaded, "c") == [cell or None for cell in cells]


json_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
    st.lists(st.integers(-5, 5), max_size=3),
)
of_one_kind = st.sampled_from(
    [st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False)]
).flatmap(lambda kind: st.lists(st.none() | kind, min_size=1, max_size=6))


@MORE
@given(values=st.lists(json_values, min_size=1, max_size=6) | of_one_kind)
def test_every_value_of_json_lines_is_returned_or_the_column_says_why_not(values: list[Any]) -> None:
    lines = b"\n".join(json.dumps({"c": value}).encode() for value in values)

    uploaded = Workbench(Path(tempfile.mkdtemp())).upload(lines, Format.JSONL)

    (column,) = uploaded.dataset.columns
    found = [row["c"] for row in uploaded.preview()]
    if column.note is None:
        assert found == values
        assert [type(one) is bool for one in found] == [type(one) is bool for one in values]
    else:
        assert column.type == "text"
        assert [one is None for one in found] == [one is None for one in values]


@MORE
@given(
    column=st.sampled_from(
        [
            (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
            (pa.float64(), st.floats(allow_nan=False, allow_infinity=False)),
            (pa.bool_(), st.booleans()),
            (pa.string(), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))),
            (pa.date32(), st.dates()),
            (pa.timestamp("us"), st.datetimes()),
            (pa.decimal128(12, 2), st.decimals(-(10**9), 10**9, places=2)),
            (pa.decimal128(38, 20), st.decimals(-(10**9), 10**9, places=20)),
        ]
    ).flatmap(lambda kind: st.tuples(st.just(kind[0]), st.lists(st.none() | kind[1], min_size=1, max_size=6)))
)
def test_every_value_of_parquet_is_returned(column: tuple[pa.DataType, list[Any]]) -> None:
    kind, values = column
    file = io.BytesIO()
    pq.write_table(pa.table({"c": pa.array(values, kind)}), file)

    uploaded = Workbench(Path(tempfile.mkdtemp())).upload(file.getvalue(), Format.PARQUET)

    assert written_cells(uploaded, "c") == [
        to_canonical_text(value) for value in pa.array(values, kind).to_pylist()
    ]
