"""A value is parsed by its column, never by the other values of its batch or file."""

import json
from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from app.core.errors import AppError
from app.datasets.values import Format
from tests.cases.workbench import (
    Trained,
    Workbench,
    evaluate,
    predict_dataset,
    predict_instances,
    predict_texts,
)


def labels(lines: list[dict[str, Any]]) -> list[str]:
    return [line["prediction"]["label"] for line in lines]


def scores(lines: list[dict[str, Any]]) -> list[float]:
    return [line["prediction"]["score"] for line in lines]


@pytest.fixture
def zips(bench: Workbench) -> Trained:
    return bench.train(bench.case("01_zip.csv"), "region", algorithm="logistic_regression")


def test_01_a_category_of_digits_is_a_category_in_any_batch(bench: Workbench, zips: Trained) -> None:
    rows = [{"zip": "01234", "noise": 0.5}, {"zip": "98765", "noise": 0.5}]

    alone = predict_instances(zips, rows)
    beside = predict_instances(zips, [*rows, {"zip": "x", "noise": 0.5}])

    assert labels(alone) == ["north", "south"]
    assert min(scores(alone)) > 0.7
    assert beside[:2] == alone
    assert evaluate(zips, bench.case("01_zip.csv"), "region")["metrics"]["accuracy"] == 1.0


@pytest.mark.parametrize("algorithm", ["random_forest", "hist_gradient_boosting", "multinomial_nb", "mlp"])
def test_01_with_every_algorithm(bench: Workbench, algorithm: str) -> None:
    trained = bench.train(bench.case("01_zip.csv"), "region", algorithm=algorithm)
    rows = [{"zip": "01234", "noise": 0.5}, {"zip": "98765", "noise": 0.5}]

    assert (
        predict_instances(trained, rows) == predict_instances(trained, [*rows, {"zip": "x", "noise": 1}])[:2]
    )


def test_01_sibling_codes_with_a_leading_zero_stay_apart(bench: Workbench) -> None:
    rows = [{"code": ("07", "7")[row % 2], "n": row / 9, "y": "ab"[row % 2]} for row in range(40)]
    trained = bench.train(rows, "y", algorithm="logistic_regression", columns={"code": "category"})

    assert labels(predict_instances(trained, [{"code": "07", "n": 1}, {"code": "7", "n": 1}])) == ["a", "b"]
    file = bench.upload(b"code,n\n07,1\n07,1\n")
    assert labels(predict_dataset(trained, file)) == ["a", "a"]
    file = bench.upload(b"code,n\n7,1\n7,1\n")
    assert labels(predict_dataset(trained, file)) == ["b", "b"]


def test_01_sibling_the_encoder_of_an_uploaded_model(bench: Workbench) -> None:
    table = np.array([["01", "1.5"], ["1", "1.5"]] * 20, dtype=object)
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
    loaded = bench.upload_sklearn(model.fit(table, ["a", "b"] * 20))

    assert labels(predict_instances(loaded, [["01", "1.5"]])) == ["a"]
    assert labels(predict_instances(loaded, [["1", "1.5"], ["x", None]]))[0] == "b"
    assert labels(predict_dataset(loaded, bench.upload(b"x0,x1\n1,1.5\n1,1.5\n"))) == ["b", "b"]


def test_01_sibling_numbers_beside_texts_stay_numbers(bench: Workbench) -> None:
    model = make_pipeline(
        ColumnTransformer(
            [("kind", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), [0])],
            remainder="passthrough",
        ),
        LogisticRegression(),
    )
    table = np.array([["a", 1.0], ["b", -1.0]] * 20, dtype=object)
    loaded = bench.upload_sklearn(model.fit(table, ["up", "down"] * 20))

    assert labels(predict_instances(loaded, [["a", "1.0"]])) == ["up"]
    assert labels(predict_dataset(loaded, bench.upload(b"x0,x1\na,1.0\nb,-1.0\n"))) == ["up", "down"]


@pytest.fixture
def cities(bench: Workbench) -> Trained:
    return bench.train(bench.case("02_city.csv"), "label")


def test_02_a_missing_category_alone_in_its_batch_is_missing(bench: Workbench, cities: Trained) -> None:
    missing = {"city": None, "noise": 0.5}

    assert labels(predict_instances(cities, [missing])) == ["gone"]
    assert labels(predict_instances(cities, [missing, {"city": "Oslo", "noise": 0.5}])) == ["gone", "there"]
    assert labels(predict_dataset(cities, bench.case("02_only_missing.csv"))) == ["gone", "gone"]


def test_02_sibling_nothing_but_missing_numbers(bench: Workbench, cities: Trained) -> None:
    file = bench.upload(b"city,noise\nOslo,\nOslo,\n")

    assert labels(predict_dataset(cities, file)) == ["there", "there"]
    assert labels(predict_instances(cities, [{"city": "Oslo", "noise": None}])) == ["there"]


def test_02_sibling_an_empty_text_is_missing_too(cities: Trained) -> None:
    assert labels(predict_instances(cities, [{"city": "", "noise": 0.5}])) == ["gone"]


@pytest.mark.parametrize("missing", [None, np.nan])
def test_02_sibling_the_imputer_of_an_uploaded_model(bench: Workbench, missing: Any) -> None:
    table = np.array([["a"], [missing]] * 20, dtype=object)
    imputer = SimpleImputer(missing_values=missing, strategy="constant", fill_value="?")
    model = make_pipeline(imputer, OneHotEncoder(), LogisticRegression())
    loaded = bench.upload_sklearn(model.fit(table, ["there", "gone"] * 20))

    assert labels(predict_instances(loaded, [[None]])) == ["gone"]
    assert labels(predict_instances(loaded, [[None], ["a"]])) == ["gone", "there"]


def test_05_a_category_is_the_cell_exactly_as_written(bench: Workbench) -> None:
    trained = bench.train(bench.case("05_train.csv"), "label")
    with_unknown = predict_dataset(trained, bench.case("05_predict_with_unknown.csv"))
    without = predict_dataset(trained, bench.case("05_predict_without_unknown.csv"))

    assert labels(with_unknown)[:2] == ["ill", "well"]
    assert without == with_unknown[:2]


@pytest.mark.parametrize(
    ("cells", "odd"),
    [
        (("1.0", "2.0"), "XL"),
        (("+1", "+44"), "n/a?"),
        (("2024-01-01 10:00", "2024-01-02 10:00"), "never"),
        (("1.50", "2.50"), "free"),
        (("1E5", "2E5"), "none of them"),
        (("true", "True"), "maybe"),
    ],
)
def test_05_siblings_of_other_types(bench: Workbench, cells: tuple[str, str], odd: str) -> None:
    rows = [f"{(*cells, odd)[row % 3]},{row % 7},{'abc'[row % 3]}" for row in range(90)]
    trained = bench.train(bench.upload("\n".join(["size,n,y", *rows]).encode()), "y")
    mixed = predict_dataset(trained, bench.upload(f"size,n\n{cells[0]},1\n{cells[1]},1\n{odd},1\n".encode()))
    alone = predict_dataset(trained, bench.upload(f"size,n\n{cells[0]},1\n{cells[1]},1\n".encode()))

    assert labels(mixed) == ["a", "b", "c"]
    assert alone == mixed[:2]


def test_05_sibling_a_column_that_is_empty_in_this_file_is_missing(bench: Workbench) -> None:
    rows = [{"n": row / 9, "y": "ab"[row > 20]} for row in range(40)]
    trained = bench.train(rows, "y", algorithm="logistic_regression")

    found = predict_dataset(trained, bench.upload(b"n,z\n,1\n,1\n"))

    assert found == predict_instances(trained, [{"n": None}, {"n": None}])


def test_05_sibling_a_cell_that_is_not_a_number_is_an_error_of_its_row(bench: Workbench) -> None:
    rows = [{"n": row / 9, "y": "ab"[row > 20]} for row in range(40)]
    trained = bench.train(rows, "y", algorithm="logistic_regression")

    found = predict_dataset(trained, bench.upload(b"n,z\n0.5,1\nunknown,1\n1.5,1\n-01.5,1\n"))

    assert labels([found[0], found[2]]) == labels(predict_instances(trained, [{"n": 0.5}, {"n": 1.5}]))
    assert found[1]["error"] == {"code": "bad_row", "message": "'n': 'unknown' is not a number"}
    said = "'n': '-01.5' is not a number: it begins with 0, as codes do"
    assert found[3]["error"] == {"code": "bad_row", "message": said}


def test_05_sibling_a_column_of_another_type_is_named_as_a_mismatch(bench: Workbench) -> None:
    rows = [{"n": row / 9, "y": "ab"[row > 20]} for row in range(40)]
    trained = bench.train(rows, "y", algorithm="logistic_regression")

    with pytest.raises(AppError) as raised:
        predict_dataset(trained, bench.upload(b"n\nsmall\nlarge\n"))

    assert raised.value.code == "column_mismatch"
    assert raised.value.facts == {"column": "n", "expected": "number", "found": "text"}


def test_11_a_column_of_digits_is_text_for_a_text_model(bench: Workbench) -> None:
    trained = bench.train(bench.case("11_train.csv"), "label")

    found = predict_dataset(trained, bench.case("11_predict.csv"))

    assert found == predict_texts(trained, ["12345", "678"])
    assert found == predict_dataset(trained, bench.case("11_predict.csv"), column="review")


@pytest.mark.parametrize("cells", [("1.50", "2.50"), ("TRUE", "FALSE"), ("2024-01-01", "2024-01-02")])
def test_11_siblings_of_other_types(bench: Workbench, cells: tuple[str, str]) -> None:
    trained = bench.train(bench.case("11_train.csv"), "label")

    found = predict_dataset(trained, bench.upload(f"review,n\n{cells[0]},1\n{cells[1]},2\n".encode()))

    assert found == predict_texts(trained, list(cells))


def test_11_sibling_texts_for_a_model_of_one_category(bench: Workbench) -> None:
    rows = [{"town": ("Oslo", "Bergen")[row % 2], "y": "ew"[row % 2]} for row in range(40)]
    trained = bench.train(rows, "y")

    assert labels(predict_texts(trained, ["Oslo", "Bergen"])) == ["e", "w"]


def test_11_sibling_json_lines(bench: Workbench) -> None:
    trained = bench.train(bench.case("11_train.csv"), "label")
    lines = b"\n".join(json.dumps({"review": value}).encode() for value in (12345, 678))

    assert predict_dataset(trained, bench.upload(lines, Format.JSONL)) == predict_texts(
        trained, ["12345", "678"]
    )
