"""A search: many trainings that differ in their hyperparameters, as one group."""

import math
from itertools import product
from typing import Any
from uuid import UUID

import httpx
import pytest
from pydantic import ValidationError

from app.core.database import Database
from app.jobs.errors import SearchTooLarge
from app.jobs.groups.queries import TrialJob
from app.jobs.kinds import train_model
from app.jobs.searches import leaderboard
from app.jobs.searches.space import Search
from app.jobs.states import Status
from tests.support import rows
from tests.support.accounts import Account

CREATE = "/jobs/train-model"
ROWS = [{"size": size, "label": "big" if size > 10 else "small"} for size in range(20)]


def training(search: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"rows": ROWS, "target": "label", "algorithm": "logistic_regression", "search": search, **more}


def drawn_by(search: Search, seed: int) -> list[dict[str, Any]]:
    return [trial.params for trial in search.all_trials(seed)]


# What is tried


def test_lists_of_values_span_all_their_combinations() -> None:
    search = Search.model_validate({"params": {"alpha": [0.1, 1], "penalty": ["l1", "l2"]}})

    assert drawn_by(search, 0) == [
        {"alpha": 0.1, "penalty": "l1"},
        {"alpha": 0.1, "penalty": "l2"},
        {"alpha": 1, "penalty": "l1"},
        {"alpha": 1, "penalty": "l2"},
    ]


def test_as_many_as_are_asked_for_are_drawn_and_the_seed_says_which() -> None:
    search = Search.model_validate({"params": {"alpha": list(range(10)), "x": list(range(10))}, "trials": 7})

    drawn = drawn_by(search, 1)

    assert len(drawn) == 7
    assert drawn == drawn_by(search, 1) != drawn_by(search, 2)
    assert len({(one["alpha"], one["x"]) for one in drawn}) == 7


def test_numbers_are_drawn_from_ranges() -> None:
    ranges = {
        "whole": {"min": 1, "max": 5},
        "real": {"min": 0.5, "max": 1},
        "log": {"min": 1e-6, "max": 1e-2, "log": True},
    }
    search = Search.model_validate({"params": ranges, "trials": 50})

    drawn = drawn_by(search, 0)

    assert len(drawn) == 50
    for one in drawn:
        assert one["whole"] in range(1, 6)
        assert 0.5 <= one["real"] <= 1
        assert 1e-6 <= one["log"] <= 1e-2
    assert 10 < sum(one["log"] < 1e-4 for one in drawn) < 40, "each order of magnitude alike"


def test_a_short_range_gives_no_combination_twice() -> None:
    search = Search.model_validate({"params": {"n": {"min": 1, "max": 3}}, "trials": 50})

    assert sorted(one["n"] for one in drawn_by(search, 0)) == [1, 2, 3]


@pytest.mark.parametrize(
    "search",
    [
        {"params": {}},
        {"params": {"alpha": []}},
        {"params": {"alpha": {"min": 2, "max": 1}}, "trials": 3},
        {"params": {"alpha": {"min": 0, "max": 1, "log": True}}, "trials": 3},
        {"params": {"alpha": {"min": 0, "max": 1}}},
        {"params": {"a": list(range(20)), "b": list(range(20))}},
        {"params": {"alpha": [1]}, "metric": "beauty"},
        {"params": {"alpha": [1]}, "trials": 0},
    ],
    ids=str,
)
def test_a_search_that_makes_no_sense_is_refused(search: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Search.model_validate(search)


def test_more_combinations_than_any_memory_holds_are_drawn_without_being_listed() -> None:
    grid = {f"p{number}": list(range(100)) for number in range(20)}
    search = Search.model_validate({"params": grid, "trials": 200})

    drawn = drawn_by(search, 3)

    assert drawn == drawn_by(search, 3)
    assert len({tuple(one.values()) for one in drawn}) == 200
    assert all(list(one) == list(grid) for one in drawn)
    assert len({one["p0"] for one in drawn}) > 50  # from all over the grid


def test_a_grid_is_listed_in_the_order_of_its_lists() -> None:
    search = Search.model_validate({"params": {"a": [1, 2], "b": [3], "c": [4, 5, 6]}})

    assert [tuple(one.values()) for one in drawn_by(search, 0)] == list(product([1, 2], [3], [4, 5, 6]))


@pytest.mark.parametrize(
    "bounds",
    [
        {"min": 1, "max": 10**400},
        {"min": -(10**400), "max": 1},
        {"min": 1, "max": 2**63},
        {"min": 1, "max": math.inf},
        {"min": -1.7e308, "max": 1.7e308},
        {"min": 1, "max": math.nan},
        {"min": -1, "max": 1, "log": True},
        {"min": 0, "max": 1, "log": True},
        {"min": "1" * 5000, "max": "2"},
    ],
    ids=range(9),
)
def test_a_range_that_no_number_can_be_drawn_from_is_refused(bounds: dict[str, Any]) -> None:
    for scale in ({"log": True}, {}):
        with pytest.raises(ValidationError):
            Search.model_validate({"params": {"alpha": scale | bounds}, "trials": 3})


@pytest.mark.parametrize(
    "bounds",
    [
        {"min": 1, "max": 2**63 - 1},
        {"min": -(2**63), "max": 2**63 - 1},
        {"min": 5e-324, "max": 1.7e308, "log": True},
        {"min": 1, "max": 2**63 - 1, "log": True},
        {"min": 1e300, "max": 1.7e308},
    ],
    ids=range(5),
)
def test_numbers_are_drawn_from_the_widest_ranges(bounds: dict[str, Any]) -> None:
    search = Search.model_validate({"params": {"alpha": bounds}, "trials": 100})

    drawn = [one["alpha"] for one in drawn_by(search, 0)]

    assert len(drawn) == 100
    assert all(bounds["min"] <= number <= bounds["max"] for number in drawn)


def test_a_search_over_rows_does_not_store_them_without_bound() -> None:
    body = {
        "rows": [{"text": "x" * 1000, "label": str(number % 2)} for number in range(1000)],
        "target": "label",
        "algorithm": "logistic_regression",
        "search": {"params": {"alpha": {"min": 1e-6, "max": 1e-2}}, "trials": 200},
    }
    request = train_model.TrainModelRequest.model_validate(body)

    with pytest.raises(SearchTooLarge):
        train_model.fan_out(request)


# Which is the best


@pytest.mark.parametrize(
    ("metric", "values", "ranked"),
    [
        ("accuracy", [0.5, None, 0.9, 0.7], [0.9, 0.7, 0.5, None]),
        ("rmse", [0.5, None, 0.9, 0.7], [0.5, 0.7, 0.9, None]),
    ],
)
def test_the_best_is_first_and_what_has_no_value_comes_last(
    metric: str, values: list[float | None], ranked: list[float | None]
) -> None:
    trials = [
        TrialJob(
            id=UUID(int=number),
            status=Status.COMPLETED,
            progress=100.0,
            algorithm="ridge",
            params={},
            metrics=None if value is None else {metric: value},
            model=f"m@{number}",
            error=None,
        )
        for number, value in enumerate(values)
    ]

    found = leaderboard.rank_trials({"metric": metric, "best_value": ranked[0]}, trials)

    assert [trial["value"] for trial in found["leaderboard"]] == ranked
    assert [trial["rank"] for trial in found["leaderboard"]] == [1, 2, 3, None]


def test_of_equal_trials_the_one_with_the_alias_is_first() -> None:
    trials = [
        TrialJob(UUID(int=number), Status.COMPLETED, 100.0, "ridge", {}, {"r2": 1.0}, f"m@{number}", None)
        for number in range(3)
    ]

    found = leaderboard.rank_trials({"metric": "r2", "best_job_id": str(UUID(int=1))}, trials)

    assert [trial["model"] for trial in found["leaderboard"]] == ["m@1", "m@0", "m@2"]


# Over HTTP


async def test_a_search_becomes_a_group_of_trainings(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    body = training({"params": {"alpha": [0.001, 0.01, 0.1]}}, model="sizes", priority="high")

    answer = await client.post(CREATE, json=body, headers=alice.headers)

    assert answer.status_code == 202, answer.text
    created = answer.json()
    assert created["message"] == "Search of 3 trials created"
    assert answer.headers["location"] == created["poll_url"] == f"/groups/{created['group_id']}"
    found = await rows.fetch(store, "SELECT * FROM jobs ORDER BY id")
    assert [str(job["id"]) for job in found] == created["job_ids"]
    assert [job["params"]["params"]["alpha"] for job in found] == [0.001, 0.01, 0.1]
    assert {(job["params"]["model"], job["priority"]) for job in found} == {("sizes", "high")}
    view = (await client.get(created["poll_url"], headers=alice.headers)).json()
    assert view["jobs"] == len(view["search"]["leaderboard"]) == 3
    assert view["search"]["best_model"] is None


async def test_a_search_that_is_asked_for_twice_under_one_key_is_one(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    headers = {**alice.headers, "Idempotency-Key": "once"}
    body = training({"params": {"alpha": [0.1, 1]}})

    first = await client.post(CREATE, json=body, headers=headers)
    second = await client.post(CREATE, json=body, headers=headers)

    assert (first.status_code, second.status_code) == (202, 200)
    assert first.json()["job_ids"] == second.json()["job_ids"]
    assert await rows.value(store, "SELECT count(*) FROM jobs") == 2


@pytest.mark.parametrize(
    ("search", "more", "word"),
    [
        ({"params": {"alhpa": [0.1]}}, {}, "alhpa"),
        ({"params": {"alpha": [0.1, -1]}}, {}, "alpha"),
        ({"params": {"alpha": [0.1]}}, {"algorithm": "auto"}, "algorithm"),
    ],
)
async def test_what_the_algorithm_cannot_be_told_is_refused_before_anything_exists(
    client: httpx.AsyncClient,
    alice: Account,
    store: Database,
    search: dict[str, Any],
    more: dict[str, Any],
    word: str,
) -> None:
    answer = await client.post(CREATE, json=training(search, **more), headers=alice.headers)

    assert answer.status_code == 422
    assert word in answer.json()["errors"][0]["msg"]
    assert await rows.value(store, "SELECT count(*) FROM job_groups") == 0


async def test_a_search_is_no_part_of_a_bulk(client: httpx.AsyncClient, alice: Account) -> None:
    jobs = [{"kind": "train_model", **training({"params": {"alpha": [0.1]}})}]

    answer = await client.post("/jobs/bulk", json={"jobs": jobs}, headers=alice.headers)

    assert (answer.status_code, answer.json()["code"]) == (422, "search_in_bulk")


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(
    "more", [{"search": {"params": {"alpha": [0.1, 1]}}}, {"folds": 3}], ids=["search", "folds"]
)
async def test_an_error_names_the_field_of_the_request_as_for_one_training(
    client: httpx.AsyncClient, alice: Account, more: dict[str, Any], dry_run: bool
) -> None:
    """The body has no list of jobs to point to."""
    headers = {**alice.headers, "Content-Type": "text/csv"}
    made = await client.post(
        "/datasets?name=sizes", content=b"size,label\n1,small\n20,big\n", headers=headers
    )
    body = {"dataset_id": made.json()["dataset_id"], "target": "labl", "algorithm": "logistic_regression"}
    path = f"{CREATE}?dry_run={dry_run}"

    alone = (await client.post(path, json=body, headers=alice.headers)).json()
    many = (await client.post(path, json={**body, **more}, headers=alice.headers)).json()

    assert (alone["code"], alone["option"]) == ("unknown_column", "target")
    assert {**many, "request_id": None} == {**alone, "request_id": None}


# Folds over many workers


def folded(folds: int = 3, **more: Any) -> dict[str, Any]:
    return {"rows": ROWS, "target": "label", "algorithm": "logistic_regression", "folds": folds, **more}


async def test_a_training_with_folds_becomes_a_job_that_trains_and_one_for_each_fold(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    body = folded(model="sizes", held_out_dataset="kept", promote={"alias": "prod"}, test_fraction=0.3)

    answer = await client.post(CREATE, json=body, headers=alice.headers)

    assert (answer.status_code, answer.json()["message"]) == (202, "Training with 3 folds created")
    found = [job["params"] for job in await rows.fetch(store, "SELECT params FROM jobs ORDER BY id")]
    assert [params["part"] for params in found] == [
        {"trial": 0, "folds": 3, "fold": fold} for fold in (None, 1, 2, 3)
    ]
    training, *of_folds = found
    assert (training["held_out_dataset"], training["promote"]["alias"]) == ("kept", "prod")
    assert (training["split"]["test_fraction"], training["refit"]) == (0.3, None)
    for params in of_folds:
        assert (params["held_out_dataset"], params["promote"], params["refit"]) == (None, None, False)
        assert params["split"]["folds"] == 0
    same = [{**params, **dict.fromkeys(("part", *ONLY_OF_THE_TRAINING))} for params in found]
    assert all(params == same[0] for params in same)
    view = (await client.get(answer.json()["poll_url"], headers=alice.headers)).json()
    [trial] = view["search"]["leaderboard"]
    assert (view["jobs"], view["search"]["folds"], trial["status"]) == (4, 3, "pending")
    assert [fold["fold"] for fold in trial["folds"]] == [1, 2, 3]
    assert trial["job_id"] == answer.json()["job_ids"][0]


ONLY_OF_THE_TRAINING = ("held_out_dataset", "promote", "refit", "split")


async def test_each_combination_of_a_search_has_its_folds(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    body = folded(2, search={"params": {"alpha": [0.1, 1]}})

    answer = await client.post(CREATE, json=body, headers=alice.headers)

    assert answer.json()["message"] == "Search of 2 trials with 2 folds created"
    found = [job["params"] for job in await rows.fetch(store, "SELECT params FROM jobs ORDER BY id")]
    assert [(params["params"]["alpha"], params["part"]["trial"]) for params in found] == [
        *[(0.1, 0)] * 3,
        *[(1, 1)] * 3,
    ]
    assert len({params["model"] for params in found}) == 1


async def test_a_search_that_prunes_early_is_one_trial_whose_folds_prune_for_themselves(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    search = {"params": {"alpha": [0.1, 1]}, "halving": True}

    answer = await client.post(CREATE, json=folded(2, search=search), headers=alice.headers)

    assert answer.status_code == 202, answer.text
    found = [job["params"] for job in await rows.fetch(store, "SELECT params FROM jobs ORDER BY id")]
    assert [params["part"]["fold"] for params in found] == [None, 1, 2]
    assert [[one["params"]["alpha"] for one in params["candidates"]] for params in found] == [[0.1, 1]] * 3


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (folded(cv=3), "cv measures the same folds inside one job"),
        (folded(split={"method": "dataset", "dataset": "later"}), "a dataset to test on"),
        (folded(20, search={"params": {"alpha": {"min": 0.1, "max": 1}}, "trials": 48}), "are 1008 jobs"),
        (folded(model="sizes", promote={"alias": "best"}), "moves the alias 'best' itself"),
        (folded(1), "greater than or equal to 2"),
        (folded(21), "less than or equal to 20"),
    ],
)
async def test_folds_that_do_not_fit_the_rest_are_refused(
    body: dict[str, Any], message: str, client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    answer = await client.post(CREATE, json=body, headers=alice.headers)

    assert answer.status_code == 422
    assert message in answer.json()["errors"][0]["msg"]
    assert await rows.value(store, "SELECT count(*) FROM jobs") == 0


def test_a_request_may_have_a_thousand_jobs() -> None:
    search = {"params": {"alpha": {"min": 0.1, "max": 1}}, "trials": 47}
    request = train_model.TrainModelRequest.model_validate(folded(20, rows=ROWS[:8], search=search))

    fan_out = train_model.fan_out(request)

    assert fan_out is not None
    assert len(fan_out.requests) == 47 * 21 == 987


def test_the_rows_of_all_jobs_count() -> None:
    lines = [{"text": "x" * 1000, "label": str(number % 2)} for number in range(1000)]
    request = train_model.TrainModelRequest.model_validate(folded(20, rows=lines))

    with pytest.raises(SearchTooLarge):
        train_model.fan_out(request)


async def test_a_body_cannot_say_which_fold_it_is(client: httpx.AsyncClient, alice: Account) -> None:
    part = {"trial": 0, "folds": 3, "fold": 1}
    for name in ("part", "_part"):
        answer = await client.post(CREATE, json={**folded(), name: part}, headers=alice.headers)

        assert answer.status_code == 422, answer.text


async def test_a_training_with_folds_is_no_part_of_a_bulk(client: httpx.AsyncClient, alice: Account) -> None:
    jobs = [{"kind": "train_model", **folded()}]

    answer = await client.post("/jobs/bulk", json={"jobs": jobs}, headers=alice.headers)

    assert (answer.status_code, answer.json()["code"]) == (422, "search_in_bulk")


async def test_the_request_of_a_fold_is_not_restored_but_that_of_the_training_is(
    client: httpx.AsyncClient, alice: Account
) -> None:
    training, fold, _ = (
        await client.post(CREATE, json=folded(2, model="sizes"), headers=alice.headers)
    ).json()["job_ids"]

    answers = [
        await client.get(f"/jobs/{job_id}/request", headers=alice.headers) for job_id in (training, fold)
    ]

    assert answers[0].json()["request"]["model"] == "sizes"
    assert "folds" not in answers[0].json()["request"]
    assert (answers[1].status_code, answers[1].json()["code"]) == (409, "request_not_restored")
    assert "measures one fold" in answers[1].json()["detail"]
