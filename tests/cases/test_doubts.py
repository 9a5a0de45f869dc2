"""Warnings of a training: each names the column and what to do."""

import json
import math
from typing import Any

import pytest

from tests.cases.workbench import FILES, Workbench, predict_dataset, predict_instances
from worker.context import JobError


def rows_of(column: str, values: list[Any], count: int = 60) -> list[dict[str, Any]]:
    """Return rows with a column that cycles through these values, a number, and two classes."""
    return [
        {column: values[row % len(values)], "n": row / 7, "y": "ab"[row % 2 if row % 5 else 0]}
        for row in range(count)
    ]


def used(result: dict[str, Any], name: str) -> Any:
    return next(column["used_as"] for column in result["columns"] if column["name"] == name)


@pytest.mark.parametrize(
    "algorithm",
    [
        "auto",
        "logistic_regression",
        "linear_svm",
        "random_forest",
        "hist_gradient_boosting",
        "multinomial_nb",
    ],
)
def test_06_classes_of_one_row_each_are_refused(bench: Workbench, algorithm: str) -> None:
    rows = json.loads((FILES / "06_train.json").read_text())["rows"]

    with pytest.raises(JobError, match="has one row, so there is no row for validation") as raised:
        bench.train(rows, "intent", algorithm=algorithm)

    assert (raised.value.code, raised.value.is_retryable) == ("bad_target", False)


def test_06_sibling_one_class_with_two_rows_is_enough(bench: Workbench) -> None:
    rows = [{"n": row, "y": "abcc"[row]} for row in range(4)]

    result = bench.train(rows, "y").result

    assert (result["train_rows"], result["test_rows"]) == (3, 1)


def test_07_markers_among_numbers_count_as_missing_with_a_warning(bench: Workbench) -> None:
    blank = bench.train(bench.case("07_houses_blank.csv"), "price")
    marked = bench.train(bench.case("07_houses_na.csv"), "price")

    assert marked.result["r2"] == pytest.approx(blank.result["r2"])
    assert "'size': 'NA' counts as missing in 8 rows" in marked.warnings
    assert predict_dataset(marked, bench.case("07_houses_na.csv")) == predict_dataset(
        marked, bench.case("07_houses_blank.csv")
    )
    assert predict_instances(marked, [{"size": "NA"}]) == predict_instances(marked, [{"size": None}])


def test_07_markers_in_a_numeric_target_are_rows_without_a_target(bench: Workbench) -> None:
    trained = bench.train(bench.case("07_label_na.csv"), "bought")

    assert trained.result["classes"] == ["0", "1"]
    assert "'bought': 'NA' counts as missing" in trained.warnings


@pytest.mark.parametrize("mark", ["N/A", "NULL", "?", "-", "\\N", "nan", "null", "inf"])
def test_07_siblings_other_markers(bench: Workbench, mark: str) -> None:
    trained = bench.train(rows_of("size", ["1.5", "2.5", mark, "4.5"]), "y")

    assert used(trained.result, "size") == "number"
    assert f"{mark!r} counts as missing in 15 rows" in trained.warnings


def test_07_sibling_a_marker_among_texts_only_gives_a_warning(bench: Workbench) -> None:
    trained = bench.train(rows_of("town", ["Oslo", "Bergen", "NA"]), "y")

    assert used(trained.result, "town") == "category"
    assert "'town' has the value 'NA', which counts like any other" in trained.warnings


def test_07_sibling_null_values_of_the_client_are_missing(bench: Workbench) -> None:
    houses = bench.case("07_houses_na.csv", null_values=["NA"])

    assert houses.types == {"size": "number", "price": "number"}
    assert bench.train(houses, "price").result["r2"] > 0.9


def test_07_sibling_a_class_that_is_a_marker_gives_a_warning(bench: Workbench) -> None:
    rows = [{"n": row * 1.5, "y": ("yes", "no", "NA")[row % 3]} for row in range(60)]

    assert "The target 'y' has the class 'NA'" in bench.train(rows, "y").warnings


def test_08_formatted_numbers_and_dates_give_warnings(bench: Workbench) -> None:
    trained = bench.train(bench.case("08_amounts.csv"), "label")

    assert "'amount' looks like numbers with thousands separators" in trained.warnings
    assert "'price' looks like numbers with decimal commas" in trained.warnings
    assert "'when' looks like dates" in trained.warnings
    assert used(trained.result, "when") == "text"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["1.234,5", "2.345,6"], "decimal commas and thousands separators"),
        (["12%", "7%"], "percentages"),
        (["$5", "$7.50"], "amounts of money"),
        (["31.12.2024", "1.2.2024"], "looks like dates"),
        (["Oslo", "oslo ", "Bergen"], "differ only in case or spaces: 'Oslo', 'oslo '"),
    ],
)
def test_08_siblings(bench: Workbench, values: list[str], message: str) -> None:
    assert message in bench.train(rows_of("x", values), "y").warnings


def test_08_sibling_dates_written_as_numbers(bench: Workbench) -> None:
    days = [20240100 + day for day in range(1, 28)]

    assert "'x' looks like dates written as numbers" in bench.train(rows_of("x", days), "y").warnings


def test_08_sibling_few_distinct_integers_may_be_codes(bench: Workbench) -> None:
    trained = bench.train(rows_of("x", [1, 2, 7]), "y")

    assert "Used as numbers, though few different integers: 'x'" in trained.warnings
    declared = bench.train(rows_of("x", [1, 2, 7]), "y", columns={"x": "category"})
    assert used(declared.result, "x") == "category"
    assert "few different" not in declared.warnings


def test_08_sibling_dates_beside_a_random_split(bench: Workbench) -> None:
    days = [f"2024-01-{day:02}" for day in range(1, 28)]

    assert (
        "chosen at random, although the rows have dates ('x')"
        in bench.train(rows_of("x", days), "y").warnings
    )


def test_09_a_pandas_index_is_not_a_feature(bench: Workbench) -> None:
    uploaded = bench.case("09_shuffled.parquet")
    trained = bench.train(uploaded, "label")

    assert [column.declared for column in uploaded.dataset.columns] == [None, None, "index"]
    assert trained.result["columns"][1]["used_as"] is None
    assert "'__index_level_0__'" in trained.warnings
    assert trained.result["accuracy"] < 1.0


@pytest.mark.parametrize("name", ["Unnamed: 0", "__index_level_0__", "__null_dask_index__"])
def test_09_siblings(bench: Workbench, name: str) -> None:
    trained = bench.train(rows_of(name, [1, 5, 2, 2]), "y")

    assert used(trained.result, name) is None
    assert name in trained.warnings
    asked_for = bench.train(rows_of(name, [1, 5, 2, 2]), "y", features=[name, "n"])
    assert used(asked_for.result, name) == "number"


def test_09_sibling_a_column_declared_as_an_id(bench: Workbench) -> None:
    rows = bench.upload(b"n,code,y\n" + b"".join(b"%d.5,%d,%d\n" % (n, n % 5, n % 2) for n in range(60)))
    trained = bench.train(rows, "y", columns={"code": "id"})

    assert used(trained.result, "code") is None


@pytest.mark.parametrize("value", [-1.797e308, 1e39])
@pytest.mark.parametrize("algorithm", ["ridge", "random_forest", "hist_gradient_boosting", "mlp"])
def test_an_excessive_value_counts_as_missing_with_a_warning(
    bench: Workbench, value: float, algorithm: str
) -> None:
    rows = [{"n": value if row == 3 else row / 7, "y": row * 1.5} for row in range(60)]

    trained = bench.train(rows, "y", algorithm=algorithm, epochs=2)

    assert f"'n': 1 values beyond ±1e+38, like {value:g}, count as missing" in trained.warnings
    found = predict_instances(trained, [{"n": value}, {"n": None}])
    assert found[0] == found[1]
    assert math.isfinite(found[0]["prediction"]["value"])


@pytest.mark.parametrize("value", [-1.797e308, 1e155])
def test_an_excessive_target_is_refused(bench: Workbench, value: float) -> None:
    rows = [{"n": row / 7, "y": value if row == 3 else row * 1.5} for row in range(60)]

    with pytest.raises(JobError, match=r"'y', row 3: .* is too large") as raised:
        bench.train(rows, "y")

    assert raised.value.code == "bad_target"


def test_a_column_that_contradicts_its_declaration_is_refused(bench: Workbench) -> None:
    with pytest.raises(JobError, match=r"column 'x' \(declared as a number\): 'abc' is not a number"):
        bench.train(rows_of("x", ["1", "abc"]), "y", columns={"x": "number"})
