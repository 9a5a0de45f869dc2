"""Each kind restores its requests: `restore` is the inverse of `plan`."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from app.core.files import StoredFile
from app.datasets import storage_keys
from app.datasets.options import AS_FOUND
from app.datasets.values import Column, Dataset, DatasetReference, Format
from app.http import serializing
from app.jobs.algorithms.catalogue import ALGORITHMS
from app.jobs.kinds import registry, train_model
from app.jobs.kinds.kind import (
    JobPlan,
    Kind,
    ResolvedReferences,
    RestoredRequest,
    RestoreError,
    StoredRequest,
)
from app.models import builtin
from app.models.versions import InputColumn, ModelVersion
from examples.fit_constant import kinds as fit_constant
from examples.word_count import kinds as word_count

SOLD, TESTED, CUSTOMERS = UUID(int=7), UUID(int=8), UUID(int=9)
KINDS = {**registry.BUILT_IN, **word_count.KINDS, **fit_constant.KINDS}


def dataset(dataset_id: UUID, *columns: tuple[str, str]) -> Dataset:
    return Dataset(
        id=dataset_id,
        name=f"{dataset_id}.csv",
        format=Format.CSV,
        rows=12_345,
        columns=tuple(Column(name, kind) for name, kind in columns),
        sha256="b" * 64,
        bytes=4,
        options=AS_FOUND,
        created_at=datetime(2026, 1, 31, tzinfo=UTC),
        file=StoredFile(storage_keys.rows_key(dataset_id), 6, "c" * 64),
    )


HOUSE = (("rooms", "integer"), ("year", "integer"), ("price", "integer"), ("sold_at", "date"))
DATASETS: dict[DatasetReference, Dataset] = {
    SOLD: dataset(SOLD, ("id", "integer"), ("customer", "integer"), ("review", "text"), *HOUSE),
    TESTED: dataset(TESTED, *HOUSE),
    CUSTOMERS: dataset(CUSTOMERS, ("id", "integer"), ("country", "text")),
}
HOUSES = ModelVersion(
    "houses",
    2,
    "sklearn",
    id=UUID(int=9),
    columns=(InputColumn("rooms", "number"), InputColumn("year", "number")),
    file=StoredFile("artifacts/9/model", 5, "a" * 64),
)
SHARED = ModelVersion(
    "bob/moods", 4, "sklearn", id=UUID(int=11), file=StoredFile("artifacts/11/model", 5, "a")
)
MODELS = {
    **dict.fromkeys(("sentiment", "sentiment@1"), builtin.SENTIMENT),
    **dict.fromkeys(("houses", "houses@best", "houses@2"), HOUSES),
    **dict.fromkeys(("bob/moods", "bob/moods@4"), SHARED),
}

HOUSES_ROWS = [{"rooms": 3, "year": 1931, "price": 5, "id": 1}, {"rooms": 1, "year": 2001, "price": 7}]
TRAIN: dict[str, Any] = {"dataset_id": str(SOLD), "target": "price"}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("batch_predict", {"texts": ["fine", "bad"]}),
    ("batch_predict", {"texts": ["fine"], "batch_size": 1000, "max_row_errors": 0, "model": "sentiment@1"}),
    ("batch_predict", {"model": "houses@best", "instances": HOUSES_ROWS}),
    ("batch_predict", {"model": "houses", "instances": [[3, 1931]], "batch_size": 10}),
    ("batch_predict", {"model": "bob/moods", "instances": [{"text": "fine"}], "column": "text"}),
    ("batch_predict", {"dataset_id": str(SOLD)}),
    ("batch_predict", {"dataset_id": str(SOLD), "column": "review", "id_column": "year", "batch_size": 10}),
    ("evaluate_model", {"model": "houses", "rows": HOUSES_ROWS, "target": "price"}),
    ("evaluate_model", {"model": "houses", "dataset_id": str(SOLD), "target": "price", "max_row_errors": 3}),
    ("train_model", {"rows": HOUSES_ROWS, "target": "price", "epochs": 5}),
    ("train_model", TRAIN),
    ("train_model", {**TRAIN, "refit": False}),
    ("train_model", {**TRAIN, "refit": True, "test_fraction": 0.2}),
    ("train_model", {**TRAIN, "test_fraction": 0.3, "seed": 7, "model": "prices", "held_out_dataset": "out"}),
    ("train_model", {**TRAIN, "cv": 5, "algorithm": "random_forest", "params": {"min_samples_leaf": 3}}),
    ("train_model", {**TRAIN, "algorithm": "random_forest", "test_fraction": 0.2}),
    ("train_model", {**TRAIN, "algorithm": "logistic_regression", "task": "classification"}),
    ("train_model", {**TRAIN, "split": {"method": "time", "column": "sold_at"}, "features": ["rooms"]}),
    ("train_model", {**TRAIN, "split": {"method": "random"}, "columns": {"year": "category"}}),
    ("train_model", {**TRAIN, "split": {"method": "dataset", "dataset_id": str(TESTED)}}),
    ("train_model", {**TRAIN, "model": "prices", "promote": {"alias": "prod", "metric": "r2"}}),
    ("train_model", {**TRAIN, "model": "prices", "promote": {"alias": "prod"}, "validation_fraction": 0.1}),
    ("preprocess_dataset", {"dataset_id": str(SOLD), "steps": [{"step": "drop", "columns": ["year"]}]}),
    (
        "preprocess_dataset",
        {
            "dataset_id": str(SOLD),
            "name": "clean",
            "steps": [
                {"step": "normalize_text", "columns": ["review"], "unicode": None, "lowercase": False},
                {"step": "filter", "conditions": [{"column": "rooms", "op": "in", "value": [1, 2]}]},
                {"step": "fill", "columns": ["rooms"], "statistic": "median"},
                {"step": "fill", "columns": ["year"], "value": 1990},
                {"step": "cast", "columns": ["year"], "to": "text"},
                {"step": "date_parts", "column": "sold_at", "parts": ["month"]},
                {"step": "map_values", "column": "review", "mapping": {"ok": "good"}, "others": "null"},
                {"step": "join", "dataset_id": str(CUSTOMERS), "on": {"customer": "id"}},
                {"step": "sample", "fraction": 0.5, "seed": 3},
                {"step": "rename", "columns": {"country": "land"}},
                {
                    "step": "split",
                    "by": "stratified",
                    "column": "land",
                    "parts": [{"name": "a", "fraction": 0.8}, {"name": "b", "fraction": 0.2}],
                },
            ],
        },
    ),
    ("send_email", {"to": "ada@example.com", "subject": "Report", "body": "It is ready.", "html": "<p>It"}),
    ("send_email", {"to": "ada@example.com", "template": "notification", "values": {"message": "Hi"}}),
    ("word_count", {"texts": ["to be", "or not"], "top": 3}),
    ("fit_constant", {"labels": ["a", "b"], "columns": ["x"], "model": "baseline"}),
]


def planned(kind: Kind, body: dict[str, Any]) -> JobPlan:
    request = kind.request.model_validate(body)
    wanted = kind.references(request)
    found = ResolvedReferences(
        models={name: MODELS[name] for name in wanted.models},
        datasets={reference: DATASETS[reference] for reference in wanted.datasets},
    )
    work: JobPlan = kind.plan(request, found)
    return work


def stored(work: JobPlan) -> StoredRequest:
    """What the database has of a plan."""
    return StoredRequest(
        params=msgspec.json.decode(work.params),
        dataset_id=work.dataset_id,
        files=work.files,
        rows=work.rows,
        has_text_rows=work.rows is not None and work.rows.startswith(b'["'),
    )


def restored(kind: Kind, work: JobPlan) -> RestoredRequest:
    assert kind.restore is not None
    return kind.restore(stored(work))


def without_defaults(kind: Kind, body: dict[str, Any]) -> dict[str, Any]:
    """The body as the API returns it."""
    fields = kind.request.model_fields
    return {
        name: value
        for name, value in body.items()
        if fields[name].is_required() or value != fields[name].get_default(call_default_factory=True)
    }


@pytest.mark.parametrize(("name", "body"), CASES, ids=[f"{name}-{at}" for at, (name, _) in enumerate(CASES)])
def test_the_restored_request_makes_the_same_plan(name: str, body: dict[str, Any]) -> None:
    kind = KINDS[name]
    work = planned(kind, body)

    again = restored(kind, work)

    rows = {} if again.rows_member is None else {again.rows_member: msgspec.json.decode(work.rows or b"[]")}
    assert not rows.keys() & again.body.keys()
    body_again = msgspec.json.decode(serializing.encode({**again.body, **rows}))
    assert planned(kind, without_defaults(kind, body_again)) == work


def test_every_kind_with_a_request_of_its_own_restores_it_and_is_among_the_cases() -> None:
    public = {name for name, kind in KINDS.items() if not kind.is_internal}

    assert {name for name in public if KINDS[name].restore is None} == set()
    assert public - {name for name, _ in CASES} == {"convert_model"}


def test_a_conversion_is_restored_with_the_version_that_it_read() -> None:
    convert = KINDS["convert_model"]

    plain = restored(convert, planned(convert, {"model": "houses@best"})).body
    checked = restored(
        convert, planned(convert, {"model": "houses", "dataset_id": str(SOLD), "name": "x"})
    ).body

    assert plain == {"model": "houses@2", "name": "houses-onnx", "dataset_id": None}
    assert checked == {"model": "houses@2", "name": "x", "dataset_id": SOLD}


def test_a_search_is_not_restored_but_its_trials_are() -> None:
    search = {
        **TRAIN,
        "algorithm": "random_forest",
        "search": {"params": {"min_samples_leaf": [1, 2, 5]}, "halving": True},
    }
    with pytest.raises(RestoreError, match="ranges of its search"):
        restored(train_model.KIND, planned(train_model.KIND, search))

    search["search"]["halving"] = False
    fan_out = train_model.fan_out(train_model.TrainModelRequest.model_validate(search))
    assert fan_out is not None
    for trial in fan_out.requests:
        body = trial.model_dump(mode="json", exclude_none=True)
        work = planned(train_model.KIND, body)
        again = msgspec.json.decode(serializing.encode(restored(train_model.KIND, work).body))
        short = without_defaults(train_model.KIND, again)
        assert planned(train_model.KIND, {**short, "params": again["params"]}) == work


def test_params_are_restored_without_the_defaults_of_their_algorithm() -> None:
    body = {**TRAIN, "algorithm": "random_forest", "params": {"min_samples_leaf": 3}}
    work = planned(train_model.KIND, body)

    kept = restored(train_model.KIND, work).body["params"]
    of_a_plugin = train_model.restore(stored(work), {"auto": ALGORITHMS["random_forest"]}).body["params"]

    assert kept == {"min_samples_leaf": 3}
    assert of_a_plugin.items() >= kept.items()
    assert len(of_a_plugin) > len(kept)


def test_what_another_version_has_stored_in_another_form_is_not_restored() -> None:
    assert train_model.KIND.restore is not None
    with pytest.raises(RestoreError, match="another version"):
        train_model.KIND.restore(StoredRequest({"target": {"name": "price"}}))


def test_an_email_whose_message_was_deleted_is_not_restored() -> None:
    send_email = KINDS["send_email"]
    assert send_email.restore is not None
    with pytest.raises(RestoreError, match="deleted"):
        send_email.restore(StoredRequest({"to": "ada@example.com"}))
