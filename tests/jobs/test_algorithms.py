"""What models can be trained with, and what a training job may ask for."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest
from pydantic import ValidationError

from app.core.files import StoredFile
from app.datasets.options import AS_FOUND
from app.datasets.values import Column, Dataset, Format
from app.jobs.algorithms.catalogue import ALGORITHMS, Name
from app.jobs.algorithms.choice import MAX_PROPOSALS, propose
from app.jobs.errors import UnknownColumn
from app.jobs.kinds.kind import JobPlan, ResolvedReferences
from app.jobs.kinds.train_model import KIND, TrainModelRequest, fan_out, plan, references
from app.jobs.params import FOLDS_OF_CHOICE, TrainModelParams
from app.models.versions import Task
from tests.conftest import SignUp
from worker.training import learners

DATASET = Dataset(
    id=UUID(int=7),
    name="reviews",
    format=Format.CSV,
    rows=2000,
    columns=(Column("text", "text"), Column("stars", "integer")),
    sha256="00",
    bytes=100,
    options=AS_FOUND,
    created_at=datetime(2026, 1, 31, tzinfo=UTC),
    file=StoredFile("datasets/7", 100, "00"),
)


def ask(**wanted: Any) -> TrainModelRequest:
    return TrainModelRequest.model_validate({"dataset_id": str(DATASET.id), "target": "stars"} | wanted)


def planned(**wanted: Any) -> JobPlan:
    return plan(ask(**wanted), ResolvedReferences(datasets={DATASET.id: DATASET}))


def params_of(work: JobPlan) -> TrainModelParams:
    return msgspec.json.decode(work.params, type=TrainModelParams)


# The catalogue


async def test_algorithms_are_listed_with_what_they_may_be_told(
    client: httpx.AsyncClient, sign_up: SignUp
) -> None:
    answer = await client.get("/algorithms", headers=await sign_up("ada"))

    items = {item["name"]: item for item in answer.json()["items"]}
    assert answer.status_code == 200
    assert set(items) == set(Name) - {Name.AUTO}
    assert items["ridge"]["tasks"] == ["regression"]
    trees = items["random_forest"]["params"]["properties"]["n_estimators"]
    assert (trees["minimum"], trees["maximum"], trees["default"]) == (1, 2000, 100)
    assert items["random_forest"]["params"]["additionalProperties"] is False


async def test_algorithms_are_for_those_who_are_signed_in(client: httpx.AsyncClient) -> None:
    assert (await client.get("/algorithms")).status_code == 401


def test_every_algorithm_can_be_learnt_by_a_worker() -> None:
    assert set(learners.LEARNERS) == set(ALGORITHMS)


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=lambda algorithm: algorithm.name)
def test_defaults_are_within_bounds(algorithm: Any) -> None:
    defaults = algorithm.params()

    assert algorithm.params.model_validate(defaults.model_dump()) == defaults
    assert defaults.fault(10) is None
    assert defaults.for_epochs(1000).fault(1000) is None


LOGISTIC, RIDGE, SVM = Name.LOGISTIC_REGRESSION, Name.RIDGE, Name.LINEAR_SVM
FOREST, BOOSTING = Name.RANDOM_FOREST, Name.HIST_GRADIENT_BOOSTING


@pytest.mark.parametrize(
    ("task", "rows", "columns", "texts", "names"),
    [
        (Task.CLASSIFICATION, 20, 4, 0, [LOGISTIC]),
        (Task.CLASSIFICATION, 100, 4, 0, [LOGISTIC, FOREST, BOOSTING]),
        (Task.REGRESSION, 100, 4, 0, [RIDGE, FOREST, BOOSTING]),
        (Task.REGRESSION, 500_000, 4, 0, [RIDGE, BOOSTING]),
        (Task.CLASSIFICATION, 5_000_000, 4, 0, [LOGISTIC]),
        (Task.CLASSIFICATION, 5000, 1, 1, [LOGISTIC, SVM, Name.MULTINOMIAL_NB]),
        (Task.CLASSIFICATION, 5000, 4, 1, [LOGISTIC, FOREST, BOOSTING]),
        (Task.REGRESSION, 5000, 4000, 0, [RIDGE, BOOSTING]),
    ],
)
def test_auto_proposes_algorithms_by_task_size_and_columns_and_says_why(
    task: Task, rows: int, columns: int, texts: int, names: list[Name]
) -> None:
    choice = propose(task, rows=rows, columns=columns, text_columns=texts, classes=2)

    assert [proposal.name for proposal in choice.proposals] == names
    assert len(names) <= MAX_PROPOSALS
    assert all(task in ALGORITHMS[name].tasks for name in names)
    assert choice.why.endswith(".")


# What a job may ask for


def test_a_request_becomes_work_with_the_dataset_and_a_total_of_epochs() -> None:
    work = planned(algorithm="logistic_regression", params={"alpha": 0.001}, epochs=7, model="stars")

    told = params_of(work)
    assert references(ask()).datasets == (DATASET.id,)
    assert work.total == told.epochs == 7
    assert work.files == {"dataset": DATASET.file}
    assert work.dataset_id == DATASET.id
    assert work.rows is None
    assert told.params["alpha"] == 0.001
    assert told.params["patience"] == 5
    assert told.model == "stars"


def test_the_total_counts_all_steps_of_a_training_that_chooses() -> None:
    search = {"algorithms": {"ridge": {"alpha": [0.1, 1, 10]}, "mlp": {"alpha": [0.1, 1]}}, "halving": True}

    assert planned(epochs=7).total == MAX_PROPOSALS + 7 + FOLDS_OF_CHOICE + 1
    assert planned(epochs=7, refit=False).total == MAX_PROPOSALS + 7
    assert planned(epochs=7, algorithm="ridge", refit=True).total == 7 + 1
    assert planned(epochs=7, search=search).total == 5 + 2 + 7 + 1


def test_a_search_with_halving_is_one_job_with_all_candidates() -> None:
    search = {
        "algorithms": {"ridge": {"alpha": [0.1, 1]}, "random_forest": {}},
        "halving": True,
        "metric": "mae",
    }
    request = ask(search=search)

    params = params_of(planned(search=search))

    assert fan_out(request) is None
    assert [(one.algorithm, one.params.get("alpha")) for one in params.candidates] == [
        ("ridge", 0.1),
        ("ridge", 1.0),
        ("random_forest", None),
    ]
    assert (params.metric, params.chooses, params.refits) == ("mae", True, True)


def test_a_search_over_algorithms_is_a_training_of_each() -> None:
    found = fan_out(ask(search={"algorithms": {"ridge": {"alpha": [0.1, 1]}, "mlp": {}}}))

    assert found is not None
    trials = [one for one in found.requests if isinstance(one, TrainModelRequest)]
    assert [(one.algorithm, one.params["alpha"]) for one in trials] == [
        ("ridge", 0.1),
        ("ridge", 1.0),
        ("mlp", 1e-4),
    ]


def test_a_dataset_of_test_rows_is_a_file_of_the_job() -> None:
    test = replace(DATASET, id=UUID(int=8), name="later", file=StoredFile("datasets/8", 50, "11"))
    request = ask(split={"method": "dataset", "dataset": "later"})

    work = plan(request, ResolvedReferences(datasets={DATASET.id: DATASET, "later": test}))

    assert references(request).datasets == (DATASET.id, "later")
    assert work.files == {"dataset": DATASET.file, "test_dataset": test.file}
    assert params_of(work).split.test_fraction == 0


@pytest.mark.parametrize(
    ("wanted", "folds", "total"),
    [
        ({}, None, 4 + 10 + 3 + 1),
        ({"cv": 5}, 5, 4 + 10 + 5 + 1),
        ({"cv": 5, "validation_fraction": 0.9}, 5, 4 + 10 + 5 + 1),
        ({"cv": 2, "algorithm": "ridge"}, 2, 10 + 2),
        ({"cv": 2, "algorithm": "ridge", "refit": True}, 2, 10 + 2 + 1),
        ({"test_fraction": 0.2}, 0, 4 + 10 + 1),
        ({"refit": False}, 0, 4 + 10),
    ],
)
def test_how_many_folds_measure(wanted: dict[str, Any], folds: int | None, total: int) -> None:
    """None leaves it to the data: 3 if they are few and the algorithm is chosen."""
    work = planned(**wanted)

    assert params_of(work).split.folds == folds
    assert work.total == total


def test_a_dataset_of_test_rows_needs_the_target() -> None:
    test = replace(DATASET, name="later", columns=(Column("text", "text"),))
    request = ask(split={"method": "dataset", "dataset": "later"})

    with pytest.raises(UnknownColumn) as refused:
        plan(request, ResolvedReferences(datasets={DATASET.id: DATASET, "later": test}))

    assert refused.value.facts["option"] == "split"
    assert refused.value.facts["dataset"] == "later"


def test_rows_travel_with_the_job() -> None:
    rows = [{"x": 1, "stars": 2}, {"x": 2}]

    work = planned(dataset_id=None, rows=rows)

    assert msgspec.json.decode(work.rows or b"") == rows
    assert work.dataset_id is None


@pytest.mark.parametrize(
    ("wanted", "place", "said"),
    [
        ({"algorithm": "astrology"}, ("algorithm",), "Input should be"),
        ({"algorithm": "ridge", "params": {"alpha": -1}}, ("params", "alpha"), "greater than or equal to 0"),
        ({"algorithm": "ridge", "params": {"trees": 3}}, ("params", "trees"), "Extra inputs"),
        ({"params": {"alpha": 1}}, ("params", "alpha"), "Extra inputs"),
        (
            {"algorithm": "mlp", "params": {"hidden_layer_sizes": []}},
            ("params", "hidden_layer_sizes"),
            "at least 1",
        ),
        ({"algorithm": "ridge", "task": "classification"}, (), "ridge is not for classification"),
        (
            {"algorithm": "random_forest", "params": {"n_estimators": 5}, "epochs": 9},
            (),
            "n_estimators is 5, but each of the 9 epochs needs one",
        ),
        (
            {"search": {"algorithms": {"astrology": {}}}},
            (),
            "search: there is no algorithm 'astrology'",
        ),
        (
            {"search": {"algorithms": {"ridge": {}}}, "task": "classification"},
            (),
            "search: ridge is not for classification",
        ),
        (
            {"search": {"algorithms": {"ridge": {"trees": [1]}}}},
            (),
            "search: trees: Extra inputs",
        ),
        ({"search": {"params": {"alpha": [1]}}}, (), "name an algorithm for search.params"),
        (
            {"search": {"algorithms": {"ridge": {}}}, "algorithm": "ridge"},
            (),
            "or leave it out and give search.algorithms",
        ),
        ({"search": {"trials": 3}}, ("search",), "give either params or algorithms"),
        (
            {"search": {"algorithms": {"ridge": {}, "mlp": {}}, "trials": 1}},
            ("search",),
            "each algorithm needs a trial",
        ),
        ({"rows": [{"x": 1}]}, (), "give one of rows, dataset_id and dataset"),
        ({"dataset": "flowers.csv"}, (), "give one of rows, dataset_id and dataset"),
        ({"dataset_id": None}, (), "give one of rows, dataset_id and dataset"),
        ({"dataset_id": None, "rows": []}, ("rows",), "at least 1"),
        ({"features": ["text", "stars"]}, (), "cannot be one of the features"),
        ({"features": ["text", "text"]}, ("features",), "named twice"),
        ({"features": []}, ("features",), "at least 1"),
        ({"epochs": 0}, ("epochs",), "greater than or equal to 1"),
        ({"validation_fraction": 1}, ("validation_fraction",), "less than or equal to 0.9"),
        ({"validation_fraction": 0.5, "test_fraction": 0.5}, (), "hold out more than 95% of the rows"),
        ({"validation_fraction": 0.8}, (), "hold out more than 95% of the rows"),
        ({"cv": 1}, ("cv",), "greater than or equal to 2"),
        ({"cv": 21}, ("cv",), "less than or equal to 20"),
        (
            {"cv": 5, "test_fraction": 0.2},
            (),
            "cv: a cross-validation tests all rows; leave test_fraction out",
        ),
        (
            {"cv": 5, "split": {"method": "dataset", "dataset": "later"}},
            (),
            "cv: the split names a dataset to test on; leave one of them out",
        ),
        ({"split": {"method": "astrology"}}, ("split",), "does not match any of the expected tags"),
        ({"split": {"method": "dataset"}}, ("split", "dataset"), "give one of dataset_id and dataset"),
        ({"split": {"method": "time"}}, ("split", "time", "column"), "Field required"),
        ({"split": {"method": "group", "column": "stars"}}, (), "cannot be the target"),
        ({"split": {"method": "stratified"}, "task": "regression"}, (), "needs classes"),
        ({"seed": -1}, ("seed",), "greater than or equal to 0"),
        ({"model": "a@b"}, ("model",), "should match pattern"),
        ({"model": "sentiment"}, ("model",), "built-in"),
        ({"target": ""}, ("target",), "at least 1"),
        ({"owner_id": "me"}, ("owner_id",), "Extra inputs"),
    ],
)
def test_what_is_wrong_is_named_where_it_is(
    wanted: dict[str, Any], place: tuple[str, ...], said: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        ask(**wanted)

    (error,) = refused.value.errors()
    assert error["loc"] == place
    assert said in error["msg"]


@pytest.mark.parametrize(
    ("wanted", "column"),
    [
        ({"target": "label"}, "label"),
        ({"features": ["text", "titel"]}, "titel"),
        ({"split": {"method": "time", "column": "when"}}, "when"),
    ],
)
def test_a_column_that_the_dataset_does_not_have_is_named(wanted: dict[str, Any], column: str) -> None:
    with pytest.raises(UnknownColumn) as refused:
        planned(**wanted)

    assert refused.value.facts["column"] == column
    assert refused.value.facts["columns"] == ["text", "stars"]


def test_the_examples_of_the_documentation_are_valid() -> None:
    for example in KIND.examples.values():
        TrainModelRequest.model_validate(example["value"])
