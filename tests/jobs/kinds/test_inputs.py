"""How rows are mapped to a model's inputs, for every combination of model and input."""

import dataclasses
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from app.core.errors import AppError
from app.core.files import StoredFile
from app.datasets.options import AS_FOUND
from app.datasets.values import Column, Dataset, Format
from app.jobs.kinds import inputs
from app.jobs.params import RowShape
from app.models import builtin
from app.models.versions import InputColumn, ModelVersion

TEXTS = ModelVersion("moods", 1, "sklearn", columns=(InputColumn("review", "text"),))
HOUSES = ModelVersion(
    "houses", 2, "sklearn", columns=(InputColumn("rooms", "number"), InputColumn("town", "category"))
)
UNKNOWN = ModelVersion("pixels", 1, "onnx")


def dataset(**columns: str) -> Dataset:
    """A dataset with these columns."""
    return Dataset(
        id=UUID(int=1),
        name="rows.csv",
        format=Format.CSV,
        rows=3,
        columns=tuple(Column(name, kind) for name, kind in columns.items()),
        sha256="0" * 64,
        bytes=1,
        options=AS_FOUND,
        created_at=datetime(2026, 1, 31, tzinfo=UTC),
        file=StoredFile("datasets/1/rows.parquet", 1, "0" * 64),
    )


def refusal(code: str, decide: Any, *arguments: Any, **named: Any) -> dict[str, Any]:
    """The facts of the error that rejects this."""
    with pytest.raises(AppError) as raised:
        decide(*arguments, **named)
    assert (raised.value.code, raised.value.status) == (code, 422)
    assert "{" not in raised.value.detail
    return raised.value.facts


# Texts


@pytest.mark.parametrize("model", [TEXTS, builtin.SENTIMENT, UNKNOWN], ids=lambda model: model.name)
def test_texts_reach_the_model_unchanged(model: ModelVersion) -> None:
    assert inputs.shape_of_texts(model) == RowShape()


def test_a_model_with_columns_takes_no_texts() -> None:
    assert refusal("input_mismatch", inputs.shape_of_texts, HOUSES)["model"] == "houses@2"


def test_a_model_of_one_category_takes_texts() -> None:
    model = ModelVersion("towns", 1, "sklearn", columns=(InputColumn("town", "category"),))

    assert inputs.shape_of_texts(model) == RowShape()


# Instances


@pytest.mark.parametrize(
    ("model", "rows", "options", "shape"),
    [
        (TEXTS, [{"review": "x"}], {}, RowShape(column="review")),
        (TEXTS, [{"text": "x"}], {}, RowShape(column="text")),
        (TEXTS, [{"review": "x", "text": "y"}], {}, RowShape(column="review")),
        (TEXTS, [{"title": "x", "review": "y"}], {"column": "title"}, RowShape(column="title")),
        (builtin.SENTIMENT, [{"text": "x", "id": 7}], {}, RowShape(column="text", id_column="id")),
        (HOUSES, [{"rooms": 1, "town": "a"}], {}, RowShape(columns=("rooms", "town"), is_list=True)),
        (
            HOUSES,
            [{"rooms": "?", "town": None, "x": 1}],
            {},
            RowShape(columns=("rooms", "town"), is_list=True),
        ),
        (
            HOUSES,
            [[1, "a"], {"rooms": 1, "town": "a"}],
            {},
            RowShape(columns=("rooms", "town"), is_list=True),
        ),
        (
            HOUSES,
            [{"rooms": 1, "town": "a", "no": 3}, {"rooms": 1, "town": "a"}],
            {"id_column": "no"},
            RowShape(columns=("rooms", "town"), id_column="no", is_list=True),
        ),
        (UNKNOWN, [[[1, 2], [3, 4]], {"x": 1}], {}, RowShape()),
        (UNKNOWN, [{"x": 1, "id": 3}], {}, RowShape(id_column="id")),
        (UNKNOWN, [{"x": [1, 2]}], {"column": "x"}, RowShape(column="x")),
        (UNKNOWN, [{"x": 1, "y": 2}], {"target": "y"}, RowShape(columns=("x",))),
    ],
)
def test_an_instance_is_mapped_to_what_the_model_takes(
    model: ModelVersion, rows: list[Any], options: dict[str, str], shape: RowShape
) -> None:
    assert inputs.shape_of_instances(model, rows, **options) == shape


def test_the_error_names_the_first_row_without_a_column_and_counts_all() -> None:
    rows = [{"rooms": 1, "town": "a"}, {"town": "a"}, {"rooms": 1}, {"rooms": 2, "town": "b"}]

    facts = refusal("missing_columns", inputs.shape_of_instances, HOUSES, rows)

    assert facts == {"row": 1, "rows": 2, "missing": ["rooms"], "expected": ["rooms", "town"]}


def test_a_list_of_the_wrong_length_is_named() -> None:
    facts = refusal("wrong_row_length", inputs.shape_of_instances, HOUSES, [[1, "a"], [1], [1, 2, 3]])

    assert facts == {"row": 1, "rows": 2, "got": 1, "expected": 2}


@pytest.mark.parametrize(
    ("code", "model", "rows", "options"),
    [
        ("input_mismatch", TEXTS, [["x"]], {}),
        ("missing_columns", TEXTS, [{"title": "x"}], {}),
        ("missing_columns", TEXTS, [{"review": "x"}, {"title": "x"}], {}),
        ("missing_columns", TEXTS, [{"review": "x"}], {"column": "title"}),
        ("input_mismatch", HOUSES, [{"rooms": 1, "town": "a"}], {"column": "rooms"}),
        ("missing_columns", HOUSES, [{"rooms": 1, "town": "a"}], {"id_column": "no"}),
        ("missing_columns", UNKNOWN, [{"x": 1}], {"column": "y"}),
    ],
)
def test_instances_that_do_not_fit_the_model_are_rejected(
    code: str, model: ModelVersion, rows: list[Any], options: dict[str, str]
) -> None:
    refusal(code, inputs.shape_of_instances, model, rows, **options)


# Datasets


@pytest.mark.parametrize(
    ("model", "columns", "options", "shape"),
    [
        (TEXTS, {"a": "text"}, {}, RowShape(column="a", is_text=True)),
        (TEXTS, {"a": "text", "text": "text"}, {}, RowShape(column="text", is_text=True)),
        (TEXTS, {"text": "text", "review": "text"}, {}, RowShape(column="review", is_text=True)),
        (TEXTS, {"review": "integer", "b": "text"}, {}, RowShape(column="review", is_text=True)),
        (TEXTS, {"review": "integer"}, {"column": "review"}, RowShape(column="review", is_text=True)),
        (TEXTS, {"a": "text", "b": "text"}, {"column": "b"}, RowShape(column="b", is_text=True)),
        (TEXTS, {"id": "text", "b": "text"}, {}, RowShape(column="b", id_column="id", is_text=True)),
        (TEXTS, {"mood": "text", "b": "text"}, {"target": "mood"}, RowShape(column="b", is_text=True)),
        (
            HOUSES,
            {"town": "text", "rooms": "date", "x": "list"},
            {},
            RowShape(columns=("rooms", "town"), is_list=True),
        ),
        (
            HOUSES,
            {"rooms": "integer", "town": "integer", "id": "text"},
            {},
            RowShape(columns=("rooms", "town"), id_column="id", is_list=True),
        ),
        (
            UNKNOWN,
            {"a": "number", "id": "integer", "y": "text", "b": "number"},
            {"target": "y"},
            RowShape(columns=("a", "b"), id_column="id", is_list=True),
        ),
        (UNKNOWN, {"a": "number", "x": "list"}, {"column": "x"}, RowShape(column="x")),
    ],
)
def test_a_dataset_is_mapped_to_what_the_model_takes(
    model: ModelVersion, columns: dict[str, str], options: dict[str, str], shape: RowShape
) -> None:
    assert inputs.shape_of_dataset(model, dataset(**columns), **options) == shape


@pytest.mark.parametrize("holds", ["nothing", "mostly numbers"])
def test_a_column_of_texts_that_may_be_read_as_numbers_fits_a_number(holds: str) -> None:
    columns = (Column("rooms", "text", holds=holds), Column("town", "text"))
    found = dataclasses.replace(dataset(), columns=columns)

    assert inputs.shape_of_dataset(HOUSES, found).columns == ("rooms", "town")


def test_the_column_that_was_declared_an_id_is_the_id() -> None:
    columns = (Column("phone", "text", declared="id"), Column("a", "number"), Column("id", "integer"))
    found = dataclasses.replace(dataset(), columns=columns)

    assert inputs.shape_of_dataset(UNKNOWN, found, column="a").id_column == "phone"


def test_a_column_called_id_that_the_model_takes_is_not_the_id() -> None:
    model = ModelVersion("ids", 1, "sklearn", columns=(InputColumn("id", "any"), InputColumn("x", "any")))

    assert inputs.shape_of_dataset(model, dataset(id="integer", x="number")).id_column is None
    assert inputs.shape_of_instances(model, [{"id": 1, "x": 2}]).id_column is None


def test_missing_columns_are_listed_with_the_expected_ones() -> None:
    facts = refusal("missing_columns", inputs.shape_of_dataset, HOUSES, dataset(town="text", x="text"))

    assert facts == {"missing": ["rooms"], "expected": ["rooms", "town"]}


def test_several_text_columns_are_listed_as_candidates() -> None:
    facts = refusal(
        "ambiguous_column", inputs.shape_of_dataset, TEXTS, dataset(id="text", a="text", b="text")
    )

    assert facts == {"candidates": ["a", "b"]}


@pytest.mark.parametrize(
    ("code", "model", "columns", "options"),
    [
        ("missing_columns", TEXTS, {"a": "number"}, {}),
        ("column_mismatch", TEXTS, {"a": "list", "b": "text"}, {"column": "a"}),
        ("unknown_column", TEXTS, {"b": "text"}, {"column": "a"}),
        ("unknown_column", HOUSES, {"rooms": "number", "town": "text"}, {"id_column": "a"}),
        ("unknown_column", HOUSES, {"rooms": "number", "town": "text"}, {"target": "price"}),
        ("column_mismatch", HOUSES, {"rooms": "text", "town": "text"}, {}),
        ("column_mismatch", HOUSES, {"rooms": "number", "town": "object"}, {}),
        ("input_mismatch", HOUSES, {"rooms": "number", "town": "text"}, {"column": "town"}),
    ],
)
def test_a_dataset_that_does_not_fit_the_model_is_rejected(
    code: str, model: ModelVersion, columns: dict[str, str], options: dict[str, str]
) -> None:
    refusal(code, inputs.shape_of_dataset, model, dataset(**columns), **options)
