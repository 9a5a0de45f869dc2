"""Plans of prediction and evaluation requests, and the errors of invalid ones."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest
from pydantic import ValidationError

from app.core.errors import AppError
from app.core.files import StoredFile
from app.datasets.options import AS_FOUND
from app.datasets.values import Column, Dataset, Format
from app.http.body import APP_ERROR
from app.jobs.kinds import batch_predict, evaluate_model, train_model
from app.jobs.kinds.kind import JobPlan, References, ResolvedReferences
from app.models import builtin
from app.models.versions import InputColumn, ModelVersion

DATASET_ID = UUID(int=7)
HOUSES = ModelVersion(
    "houses",
    2,
    "sklearn",
    id=UUID(int=9),
    columns=(InputColumn("rooms", "number"), InputColumn("year", "number")),
    file=StoredFile("artifacts/9/model", 5, "a" * 64),
)
SOLD = Dataset(
    id=DATASET_ID,
    name="sold.csv",
    format=Format.CSV,
    rows=12_345,
    columns=tuple(Column(name, "integer") for name in ("id", "rooms", "year", "price")),
    sha256="b" * 64,
    bytes=4,
    options=AS_FOUND,
    created_at=datetime(2026, 1, 31, tzinfo=UTC),
    file=StoredFile("datasets/7/rows.parquet", 6, "c" * 64),
)
FOUND = ResolvedReferences(
    {"houses": HOUSES, "sentiment": builtin.SENTIMENT}, {DATASET_ID: SOLD, SOLD.name: SOLD}
)


def planned(kind: Any, **body: Any) -> JobPlan:
    """The plan of a request."""
    work: JobPlan = kind.KIND.plan(kind.KIND.request.model_validate(body), FOUND)
    return work


def test_a_dataset_travels_as_a_file_and_its_rows_are_counted() -> None:
    body = {"model": "houses", "dataset_id": str(DATASET_ID), "max_row_errors": 3}
    request = batch_predict.BatchPredictRequest.model_validate(body)

    work = planned(batch_predict, **body)

    assert batch_predict.references(request) == References(("houses",), (DATASET_ID,))
    assert (work.rows, work.total) == (None, 12_345)
    assert work.files == {"model": HOUSES.file, "dataset": SOLD.file}
    assert (work.dataset_id, work.model_version_id) == (DATASET_ID, HOUSES.id)
    params = msgspec.json.decode(work.params)
    assert (params["batch_size"], params["max_row_errors"]) == (1000, 3)
    assert params["shape"] == {
        "column": None,
        "columns": ["rooms", "year"],
        "id_column": "id",
        "is_list": True,
        "is_text": False,
    }


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (batch_predict, {"model": "houses"}),
        (evaluate_model, {"model": "houses", "target": "price"}),
        (train_model, {"target": "price"}),
    ],
)
def test_a_dataset_may_be_referred_to_by_its_name(kind: Any, body: dict[str, Any]) -> None:
    request = kind.KIND.request.model_validate({**body, "dataset": SOLD.name})

    assert kind.KIND.references(request).datasets == (SOLD.name,)
    work = planned(kind, **body, dataset=SOLD.name)
    assert work == planned(kind, **body, dataset_id=str(DATASET_ID))
    assert work.dataset_id == DATASET_ID
    for wrong in ({"dataset_id": str(DATASET_ID)}, {"dataset": ""}, {"dataset": "x" * 201}):
        with pytest.raises(ValidationError):
            kind.KIND.request.model_validate({**body, "dataset": SOLD.name, **wrong})


def test_instances_travel_with_the_job() -> None:
    work = planned(batch_predict, model="houses", instances=[{"rooms": 3, "year": 1931}, [2, 1950]])

    assert msgspec.json.decode(work.rows or b"") == [{"rooms": 3, "year": 1931}, [2, 1950]]
    assert (work.total, work.files) == (2, {"model": HOUSES.file})
    assert msgspec.json.decode(work.params)["batch_size"] == 10


def test_an_evaluation_knows_its_target_and_does_not_show_it_to_the_model() -> None:
    work = planned(evaluate_model, model="houses", dataset_id=str(DATASET_ID), target="price")

    params = msgspec.json.decode(work.params)
    assert params["target"] == "price"
    assert params["shape"]["columns"] == ["rooms", "year"]
    assert (work.total, work.dataset_id) == (12_345, DATASET_ID)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (batch_predict, {}),
        (batch_predict, {"texts": ["x"], "dataset_id": str(DATASET_ID)}),
        (batch_predict, {"texts": ["x"], "instances": [[1]]}),
        (batch_predict, {"instances": []}),
        (batch_predict, {"instances": ["x"]}),
        (batch_predict, {"instances": [{"x": "\0"}]}),
        (batch_predict, {"instances": [[2**63]]}),
        (batch_predict, {"texts": ["x"], "column": "text"}),
        (batch_predict, {"texts": ["x"], "id_column": "id"}),
        (batch_predict, {"dataset_id": "x"}),
        (batch_predict, {"texts": ["x"], "max_row_errors": -1}),
        (evaluate_model, {"model": "houses", "target": "price"}),
        (evaluate_model, {"model": "houses", "rows": [{}], "dataset_id": str(DATASET_ID), "target": "x"}),
        (evaluate_model, {"model": "houses", "rows": [[1]], "target": "x"}),
        (evaluate_model, {"model": "houses", "rows": [{"x": 1}]}),
        (evaluate_model, {"model": "houses", "rows": [{"x": 1}], "target": "x", "column": "x"}),
        (evaluate_model, {"rows": [{"x": 1}], "target": "x"}),
    ],
)
def test_an_invalid_request_is_rejected(kind: Any, body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        kind.KIND.request.model_validate(body)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (batch_predict, {"instances": [[1]] * 1001}),
        (evaluate_model, {"model": "houses", "target": "price", "rows": [{"x": 1}] * 1001}),
        (train_model, {"target": "price", "rows": [{"x": 1, "price": 1}] * 1001}),
    ],
)
def test_too_many_rows_are_rejected_with_their_number(kind: Any, body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as raised:
        kind.KIND.request.model_validate(body)

    [fault] = raised.value.errors()
    error = fault["ctx"][APP_ERROR]
    assert (error.status, error.code) == (400, "too_many_rows")
    assert error.detail.startswith("Maximum 1000 instances allowed")


@pytest.mark.parametrize(
    ("kind", "body", "status", "code", "said"),
    [
        (batch_predict, {"model": "houses", "texts": ["x"]}, 422, "input_mismatch", "not texts"),
        (
            batch_predict,
            {"model": "houses", "dataset_id": str(DATASET_ID), "column": "rooms"},
            422,
            "input_mismatch",
            "houses@2",
        ),
        (evaluate_model, {"rows": [{"rooms": 1, "year": 2}]}, 422, "missing_columns", "price"),
        (evaluate_model, {"rows": [{"price": 1, "year": 2}]}, 422, "missing_columns", "rooms"),
        (
            evaluate_model,
            {"dataset_id": str(DATASET_ID), "target": "sold_for"},
            422,
            "unknown_column",
            "'sold_for'",
        ),
        (evaluate_model, {"dataset_id": str(DATASET_ID), "target": "rooms"}, 422, "input_mismatch", "rooms"),
    ],
)
def test_rows_that_do_not_fit_the_model_are_rejected_before_there_is_a_job(
    kind: Any, body: dict[str, Any], status: int, code: str, said: str
) -> None:
    if kind is evaluate_model:
        body = {"model": "houses", "target": "price", **body}

    with pytest.raises(AppError) as raised:
        planned(kind, **body)

    assert (raised.value.status, raised.value.code) == (status, code)
    assert said in raised.value.detail
