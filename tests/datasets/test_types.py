"""What the columns of a file are, settled over the whole file."""

import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.datasets.conversion.from_csv import BLOCK_BYTES
from tests.datasets.conftest import Preview


def csv_of(column: list[str]) -> bytes:
    return "\n".join(["c,other", *(f"{cell},x" for cell in column)]).encode()


def jsonl_of(*rows: Any) -> bytes:
    return b"\n".join(json.dumps(row).encode() for row in rows)


def parquet_of(columns: dict[str, Any], **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("cells", "expected_type", "expected"),
    [
        (["1", "-5", ""], "integer", [1, -5, None]),
        (["9223372036854775807", "0"], "integer", [2**63 - 1, 0]),
        (["1", "2.5", ""], "number", [1.0, 2.5, None]),
        (["1e+3", "-.5"], "number", [1000.0, -0.5]),
        (["1E5", "20"], "text", ["1E5", "20"]),
        (["+4791234567", "1"], "text", ["+4791234567", "1"]),
        (["3.9", "3.10", "3.1"], "text", ["3.9", "3.10", "3.1"]),
        (["3", "3.0"], "text", ["3", "3.0"]),
        (["9.90", "12.00", "0.05"], "number", [9.9, 12.0, 0.05]),
        (["1.0", "2.5", ""], "number", [1.0, 2.5, None]),
        (["12345678901234567", "2.5"], "text", ["12345678901234567", "2.5"]),
        (["0.1234567890123456789"], "text", ["0.1234567890123456789"]),
        (["-0", "1"], "number", [-0.0, 1.0]),
        (["-0.0", "0.0", "1.5"], "number", [-0.0, 0.0, 1.5]),
        (["true", "False", ""], "boolean", [True, False, None]),
        (["2024-02-29", ""], "date", ["2024-02-29", None]),
        (["2024-02-29", "2024-02-29 10:11:12"], "timestamp", ["2024-02-29T00:00:00", "2024-02-29T10:11:12"]),
        (["2024-02-29T10:11:12.5+02:00"], "timestamp", ["2024-02-29T08:11:12.500000+00:00"]),
        (["2024-02-29", "2024-02-29T10:00:00Z"], "text", ["2024-02-29", "2024-02-29T10:00:00Z"]),
        (["1", "n/a"], "text", ["1", "n/a"]),
        (["true", "1"], "text", ["true", "1"]),
        (["02134", "1"], "text", ["02134", "1"]),
        (["-007"], "text", ["-007"]),
        (["0x1F"], "text", ["0x1F"]),
        (["9223372036854775808"], "text", ["9223372036854775808"]),
        (["nan", "1.5"], "text", ["nan", "1.5"]),
        (["1e999"], "text", ["1e999"]),
        ([" 1"], "text", [" 1"]),
        (["0000-01-01"], "text", ["0000-01-01"]),
        (["2024-02-30"], "text", ["2024-02-30"]),
        (["", ""], "text", [None, None]),
        (['"a ""quoted"", text\nof two lines"', '""'], "text", ['a "quoted", text\nof two lines', None]),
        (["Grüße", "日本語", "🙂"], "text", ["Grüße", "日本語", "🙂"]),
    ],
)
def test_a_column_of_csv_is_the_narrowest_type_that_keeps_every_cell(
    read: Preview, cells: list[str], expected_type: str, expected: list[Any]
) -> None:
    found = read(csv_of(cells))

    assert found.types == {"c": expected_type, "other": "text"}
    assert [row["c"] for row in found.rows] == expected


DAY = "2024-02-29"


@pytest.mark.parametrize(
    ("cells", "note"),
    [
        (["1", "n/a"], "text, because 'n/a' is not a number"),
        (["1"] * 500 + ["n/a"], "text, because 'n/a' is not a number"),
        (["1.5"] * 500 + ["+47"], "text, because '+47' would not be reproduced as written"),
        ([DAY, "2024-02-30"], "text, because '2024-02-30' is not a date"),
        ([DAY] * 500 + ["2024-02-30", "never"], "text, because '2024-02-30' is not a date"),
        (["never", DAY, DAY], "text, because 'never' is not a date"),
        ([f"{DAY} 10:00", f"{DAY} 25:00"], f"text, because '{DAY} 25:00' is not a date"),
        ([f"{DAY}T10:00Z"] * 2 + [f"{DAY}T10:00X"], f"text, because '{DAY}T10:00X' is not a date"),
        ([DAY, "0000-01-01"], "text, because '0000-01-01' is not a date"),
        ([DAY, f"{DAY}T10:00Z"], f"text, because '{DAY}T10:00Z' has a time zone, unlike those before it"),
        ([f"{DAY}T10:00Z", DAY], f"text, because '{DAY}' has no time zone, unlike those before it"),
        ([DAY, "x", "y"], None),
        ([DAY, ""], None),
        (["x"], None),
    ],
)
def test_a_column_of_nearly_only_numbers_or_dates_says_why_it_is_text(
    read: Preview, cells: list[str], note: str | None
) -> None:
    assert read(csv_of(cells)).notes["c"] == note


@pytest.mark.parametrize(
    ("first", "last", "note"),
    [
        (DAY, "2024-02-30", "'2024-02-30' is not a date"),
        (DAY, f"{DAY}T10:00Z", f"'{DAY}T10:00Z' has a time zone, unlike those before it"),
        ("1", "n/a", "'n/a' is not a number"),
    ],
)
def test_the_last_of_many_rows_is_named_as_why_a_column_is_text(
    read: Preview, first: str, last: str, note: str
) -> None:
    rows = 4 * BLOCK_BYTES // len(first)

    assert read(csv_of([first] * rows + [last])).notes["c"] == f"text, because {note}"


@pytest.mark.parametrize(
    ("last", "expected_type", "first"), [("n/a", "text", "1"), ("0.5", "number", 1.0), ("7", "integer", 1)]
)
def test_the_last_row_of_a_million_has_as_much_to_say_as_the_first(
    read: Preview, last: str, expected_type: str, first: Any
) -> None:
    found = read(csv_of(["1"] * 1_500_000 + [last]))

    assert found.types["c"] == expected_type
    assert found.total == 1_500_001
    assert found.rows[0]["c"] == first


def test_line_ends_blank_lines_and_a_byte_order_mark_are_no_data(read: Preview) -> None:
    found = read(b"\xef\xbb\xbfa,b\r\n1,x\r\n\r\n2,y\r\n\r\n")

    assert found.rows == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


def test_json_says_itself_what_a_value_is(read: Preview) -> None:
    found = read(
        jsonl_of(
            {"i": 1, "n": 1, "b": True, "t": "1", "l": [1, {"a": None}], "o": {"b": [], "a": 1}, "m": 1},
            {"n": 0.5, "t": "2024-01-01", "l": [], "o": {}, "m": "one", "late": None},
            {"i": -(2**63), "m": [1], "l": None, "only": "here"},
        ),
        "jsonl",
    )

    assert found.types == {
        "i": "integer",
        "n": "number",
        "b": "boolean",
        "t": "text",
        "l": "list",
        "o": "object",
        "m": "text",
        "late": "text",
        "only": "text",
    }
    columns = {name: [row[name] for row in found.rows] for name in found.types}
    assert columns == {
        "i": [1, None, -(2**63)],
        "n": [1.0, 0.5, None],
        "b": [True, None, None],
        "t": ["1", "2024-01-01", None],
        "l": [[1, {"a": None}], [], None],
        "o": [{"b": [], "a": 1}, {}, None],
        "m": ["1", "one", "[1]"],
        "late": [None, None, None],
        "only": [None, None, "here"],
    }


def test_parquet_of_others_becomes_what_every_dataset_is(read: Preview) -> None:
    moment = datetime(2024, 2, 29, 10, 11, 12, 500_000, UTC)
    found = read(
        parquet_of(
            {
                "small": pa.array([1, None], pa.uint8()),
                "half": pa.array([0.5, None], pa.float32()),
                "money": pa.array([Decimal("1.50"), None]),
                "yes": pa.array([True, None]),
                "day": pa.array([date(2024, 2, 29), None]),
                "local": pa.array([moment.replace(tzinfo=None), None], pa.timestamp("ns")),
                "instant": pa.array([moment, None], pa.timestamp("ms", "Europe/Berlin")),
                "text": pa.array(["a", None], pa.large_string()),
                "category": pa.array(["a", None]).dictionary_encode(),
                "list": pa.array([[1, None], None]),
                "struct": pa.array([{"a": 1, "b": None}, None]),
                "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
                "nothing": pa.nulls(2),
            }
        ),
        "parquet",
    )

    first, second = found.rows
    assert {name: (kind, first[name]) for name, kind in found.types.items()} == {
        "small": ("integer", 1),
        "half": ("number", 0.5),
        "money": ("number", 1.5),
        "yes": ("boolean", True),
        "day": ("date", "2024-02-29"),
        "local": ("timestamp", "2024-02-29T10:11:12.500000"),
        "instant": ("timestamp", "2024-02-29T10:11:12.500000+00:00"),
        "text": ("text", "a"),
        "category": ("text", "a"),
        "list": ("list", [1, None]),
        "struct": ("object", {"a": 1, "b": None}),
        "map": ("object", {"k": 1}),
        "nothing": ("text", None),
    }
    assert set(second.values()) == {None}


def test_one_large_row_group_is_cut_into_small_ones(read: Preview) -> None:
    found = read(parquet_of({"n": list(range(100_000))}), "parquet")

    assert found.total == 100_000
    assert [row["n"] for row in found.rows] == list(range(100))
