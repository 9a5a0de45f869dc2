"""Values that a number would change stay text, and files that deviate from RFC 4180 are read or refused."""

import io
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.core import csv_cells
from app.datasets.conversion.faults import Fault
from app.datasets.conversion.numbers import MAX_DISTINCT
from app.datasets.reading import RowReader
from app.datasets.values import Format
from app.models.builtin import SENTIMENT
from tests.cases.workbench import Loaded, Uploaded, Workbench, evaluate, predict_dataset, predict_instances
from worker.runtimes.vader import VaderModel

SENTIMENTS = Loaded(SENTIMENT, VaderModel())


def column(uploaded: Uploaded, name: str) -> list[Any]:
    return [row[name] for row in uploaded.preview()]


@pytest.mark.parametrize(
    ("name", "of", "cells"),
    [
        ("12_versions.csv", "python", ["3.9", "3.10", "3.1"]),
        ("12_codes.csv", "code", ["1E5", "2E7"]),
        ("12_long_ids.csv", "id", ["12345678901234567", "12345678901234568", "2.5"]),
        ("12_phones.csv", "id", ["+4791234567", "+46701234567"]),
    ],
)
def test_12_values_that_a_number_would_change_stay_text(
    bench: Workbench, name: str, of: str, cells: list[str]
) -> None:
    found = bench.case(name)

    assert found.types[of] == "text"
    assert column(found, of) == cells
    assert next(one.note for one in found.dataset.columns if one.name == of)


def test_12_sibling_a_plus_is_kept_among_any_number_of_cells(bench: Workbench) -> None:
    """A column with more distinct values than are compared one by one is a column of measurements."""
    count = MAX_DISTINCT + 1
    phones = [f"+47{number:08}" for number in range(count)]
    scores = [*map(str, range(count - 1)), "+7"]
    lines = [f"{phone},{score}" for phone, score in zip(phones, scores, strict=True)]
    found = bench.upload("\n".join(["phone,score", *lines]).encode())

    assert found.types == {"phone": "text", "score": "text"}
    assert column(found, "phone")[:2] == ["+4700000000", "+4700000001"]
    with RowReader(found.path) as reader:
        assert reader.rows(count - 1, 1) == [{"phone": phones[-1], "score": "+7"}]


def test_12_an_id_is_returned_as_written(bench: Workbench) -> None:
    found = predict_dataset(SENTIMENTS, bench.case("12_phones.csv"))

    assert [line["id"] for line in found] == ["+4791234567", "+46701234567"]


def test_12_labels_keep_their_plus(bench: Workbench) -> None:
    trained = bench.train(bench.case("12_labels.csv"), "label")

    assert trained.result["classes"] == ["+1", "-1"]


def test_12_sibling_a_target_of_versions_has_classes(bench: Workbench) -> None:
    rows = [f"{('3.9', '3.10', '3.1')[row % 3]},{row % 3}" for row in range(60)]
    trained = bench.train(bench.upload("\n".join(["python,n", *rows]).encode()), "python")

    assert trained.result["classes"] == ["3.1", "3.10", "3.9"]


@pytest.mark.parametrize("cells", [["2.50", "3.00"], ["0.10"], ["1.0", "2.5"], ["1e-07", "2.5"]])
def test_12_sibling_an_id_in_a_column_of_numbers(bench: Workbench, cells: list[str]) -> None:
    uploaded = bench.upload("\n".join(["id,text", *(f"{cell},good" for cell in cells)]).encode())

    assert uploaded.types["id"] == "number"
    assert column(uploaded, "id") == [float(cell) for cell in cells]
    assert [line["id"] for line in predict_dataset(SENTIMENTS, uploaded)] == cells


def test_12_sibling_decimals_of_parquet(bench: Workbench) -> None:
    file = io.BytesIO()
    long = [Decimal("12345678901234567890.12"), Decimal("0.10")]
    pq.write_table(
        pa.table({"price": pa.array([Decimal("1.50"), Decimal("20.00")]), "long": pa.array(long)}), file
    )
    found = bench.upload(file.getvalue(), Format.PARQUET)

    assert found.types == {"price": "number", "long": "text"}
    assert found.preview() == [
        {"price": 1.5, "long": "12345678901234567890.12"},
        {"price": 20.0, "long": "0.10"},
    ]


def test_12_sibling_large_integers_beside_a_decimal_in_json(bench: Workbench) -> None:
    found = bench.upload(b'{"id": 12345678901234567}\n{"id": 2.5}\n', Format.JSONL)

    assert column(found, "id") == ["12345678901234567", "2.5"]


def test_12_the_client_may_declare_another_type(bench: Workbench) -> None:
    found = bench.case("12_versions.csv", columns={"python": "number", "builds": "ignore"})

    assert found.preview() == [{"python": 3.9}, {"python": 3.1}, {"python": 3.1}]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b'id,text\n1,"He predictions \\"hi\\" loudly"\n2,"plain"\n', 2),
        (b'id,text\n1,"abc"def\n', 2),
        (b'id,text\n1,"two\nlines"\n2,"abc" \n', 4),
        (b'id;text\n1;"abc",\n', 2),
        (b'id,text\n1,ab"c\n2,"x"y\n', 3),
    ],
)
def test_14_characters_after_a_closing_quote_are_refused(bench: Workbench, content: bytes, line: int) -> None:
    with pytest.raises(
        Fault, match="characters after a closing quote; a quote within quotes is doubled"
    ) as raised:
        bench.upload(content)

    assert (raised.value.code, raised.value.line) == ("bad_row", line)


def test_14_the_reported_file_is_refused(bench: Workbench) -> None:
    with pytest.raises(Fault) as raised:
        bench.case("14_reviews.csv")

    assert raised.value.line == 2


def test_14_quotes_within_a_cell_without_quotes_are_characters(bench: Workbench) -> None:
    found = bench.upload(b'size,text\n5" pipe,"a ""b"""\n6" pipe,""\n')

    assert found.preview() == [{"size": '5" pipe', "text": 'a "b"'}, {"size": '6" pipe', "text": None}]


@pytest.mark.parametrize(
    ("name", "delimiter", "rows"),
    [
        (
            "15_semicolons.csv",
            ";",
            [{"name": "widget", "region": "EU", "units": 12}, {"name": "gadget", "region": "US", "units": 7}],
        ),
        ("15_tabs.csv", "\t", [{"name": "widget", "region": "EU", "units": 12}]),
        ("15_sep_line.csv", ";", [{"name": "widget", "units": 12}]),
    ],
)
def test_15_other_delimiters_are_found(
    bench: Workbench, name: str, delimiter: str, rows: list[dict[str, Any]]
) -> None:
    found = bench.case(name)

    assert found.preview() == rows
    assert found.options.delimiter == delimiter


@pytest.mark.parametrize(
    ("content", "delimiter", "first"),
    [
        (b"a|b\n1|x,y\n", "|", {"a": 1, "b": "x,y"}),
        (b"a;b\n1,5;x\n2,5;y\n", ";", {"a": "1,5", "b": "x"}),
        (b"name, first;age\nx;1\n", ";", {"name, first": "x", "age": 1}),
        (b'"a;b",c\n1,2\n', ",", {"a;b": 1, "c": 2}),
        (b"text\na; b\nc\n", ",", {"text": "a; b"}),
        (b"\xef\xbb\xbfsep=|\r\na|b\r\n1|2\r\n", "|", {"a": 1, "b": 2}),
    ],
)
def test_15_siblings(bench: Workbench, content: bytes, delimiter: str, first: dict[str, Any]) -> None:
    found = bench.upload(content)

    assert found.options.delimiter == delimiter
    assert found.preview()[0] == first


def test_15_options_of_the_client_override_detection(bench: Workbench) -> None:
    assert bench.upload(b"a,b;c\n1,2;3\n", delimiter=";").types == {"a,b": "text", "c": "integer"}


def test_15_a_row_of_another_length_is_named_with_the_delimiter(bench: Workbench) -> None:
    with pytest.raises(Fault, match=r"3 cells, but there are 2 columns \(separated by ';'\)") as raised:
        bench.upload(b"a;b\n1;2\n1;2;3\n", delimiter=";")

    assert raised.value.line == 3


def test_15_other_encodings_are_read(bench: Workbench) -> None:
    text = "name;n\nGrüße;1\n"

    for encoding in ("cp1252", "utf-16", "utf-16-le"):
        assert bench.upload(text.encode(encoding), encoding=encoding).preview() == [{"name": "Grüße", "n": 1}]
    with pytest.raises(Fault, match="not utf-16"):
        bench.upload(text.encode(), encoding="utf-16")


def test_16_a_number_is_not_a_formula(bench: Workbench) -> None:
    trained = bench.train(bench.case("16_train.csv"), "label")
    found = predict_dataset(trained, bench.case("16_predict.csv"))

    assert [csv_cells.cell(line["prediction"]["label"]) for line in found] == ["-1", "1"]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("-1", "-1"),
        ("+4791234567", "+4791234567"),
        ("-1.5e-05", "-1.5e-05"),
        ("=1+1", "'=1+1"),
        ("@x", "'@x"),
        ("-2+3", "'-2+3"),
        ("-", "'-"),
        ("+x", "'+x"),
        ("-1\n=2", "'-1\n=2"),
    ],
)
def test_16_siblings(value: str, cell: str) -> None:
    assert csv_cells.cell(value) == cell


def test_18_true_and_True_are_one_class(bench: Workbench) -> None:
    trained = bench.train(bench.case("18_train.csv"), "won")

    of_csv = evaluate(trained, bench.case("18_evaluate.csv"), "won")
    of_json = evaluate(trained, bench.case("18_evaluate.jsonl"), "won")

    assert of_csv["metrics"]["accuracy"] == 0.75
    assert of_csv["warnings"] == ["1 rows have a true label that is not a class of the model: 'unknown'."]
    assert (of_json["metrics"]["accuracy"], of_json["warnings"]) == (1.0, [])


@pytest.mark.parametrize("truth", [b"1", b"TRUE", b"1.0"])
def test_18_siblings_of_booleans(bench: Workbench, truth: bytes) -> None:
    trained = bench.train(bench.case("18_train.csv"), "won")

    assert evaluate(trained, bench.upload(b"x,won\n15," + truth + b"\n"), "won")["metrics"]["accuracy"] == 1.0


@pytest.mark.parametrize("truth", [b"1", b"1.0", b"+1", b"true"])
def test_18_siblings_of_numbers(bench: Workbench, truth: bytes) -> None:
    rows = [{"x": row * 1.5, "won": int(row > 9)} for row in range(40)]
    trained = bench.train(rows, "won")

    assert evaluate(trained, bench.upload(b"x,won\n35," + truth + b"\n"), "won")["metrics"]["accuracy"] == 1.0


def test_18_sibling_labels_unknown_to_the_model_give_a_warning(bench: Workbench) -> None:
    trained = bench.train(bench.case("18_train.csv"), "won")

    found = evaluate(trained, bench.upload(b"x,won\n15,yes\n3,no\n"), "won")

    assert found["metrics"]["accuracy"] == 0.0
    assert found["warnings"] == [
        "None of the true labels ('yes', 'no') is a class of the model ('false', 'true')."
    ]


def test_instances_that_are_not_texts_are_errors_of_their_rows() -> None:
    assert predict_instances(SENTIMENTS, [{"text": 5}])[0]["error"]["code"] == "bad_row"
