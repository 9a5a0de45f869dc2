"""`auto` and searches that prune: candidates compete, the best is fitted, and any step may be repeated."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
import pyarrow as pa
import pytest
from sklearn.metrics import accuracy_score

from app.jobs.params import CandidateParams, SplitMethod, SplitParams
from app.jobs.searches.halving import contestants_of_rounds
from tests.worker.training import data
from worker.children.child import Limits
from worker.runtimes.sklearn import inspection
from worker.training import features
from worker.training.checkpoint import CandidateRecord
from worker.training.trainer import CHECKPOINT_SECONDS, Training

MEBIBYTE = 1024**2
QUICK = [
    CandidateParams("logistic_regression"),
    CandidateParams("random_forest", {"n_estimators": 10}),
    CandidateParams("hist_gradient_boosting", {"max_iter": 10}),
]


def circles(count: int = 400) -> pa.Table:
    """Return points that are inside a circle or not: no linear model tells them apart."""
    points = np.random.default_rng(0).normal(size=(count, 2))
    return pa.table({"x": points[:, 0], "y": points[:, 1], "target": (points**2).sum(axis=1) > 1.4})


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_best_candidate_is_chosen_and_the_result_says_why(tmp_path: Path) -> None:
    _, result = data.trained(circles(), tmp_path / "model", candidates=QUICK, epochs=3)

    board = result["candidates"]
    assert result["algorithm"] == board[0].algorithm != "logistic_regression"
    assert [record.score for record in board] == sorted((record.score for record in board), reverse=True)
    assert board[-1].algorithm == "logistic_regression"
    assert result["why"].startswith(
        "Best accuracy of 3 candidates in a 3-fold cross-validation on 320 rows: "
    )
    assert all(record.score == pytest.approx(np.mean(record.fold_scores)) for record in board)


def test_a_linear_relation_is_left_to_a_linear_model(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(300, 8))
    columns = {f"x{index}": x[:, index] for index in range(8)}

    _, result = data.trained(pa.table({**columns, "target": x.sum(axis=1)}), tmp_path / "model", epochs=3)

    assert result["algorithm"] == "ridge"
    assert result["metrics"]["r2"] > 0.99


@pytest.mark.parametrize("rare", [0.5, 0.1])
def test_imbalanced_classes_are_compared_by_f1(rare: float) -> None:
    target = np.random.default_rng(0).random(300) < rare
    rows = pa.table({"x": np.arange(300.0) % 7, "target": target})

    training = Training(rows, data.params(candidates=QUICK[:2]))

    assert training._competition.metric == ("accuracy" if rare == 0.5 else "f1_macro")


def test_the_test_rows_neither_choose_nor_train_what_is_measured(tmp_path: Path) -> None:
    """The target is noise: a metric of rows that trained the model would be far from chance."""
    chance = np.random.default_rng(0)
    columns = {f"x{index}": chance.normal(size=600) for index in range(5)}
    rows = pa.table({**columns, "target": chance.random(600) < 0.5})

    training, result = data.trained(rows, tmp_path / "model", candidates=QUICK[1:], epochs=3)

    plan = training.plan
    held = plan.split.main.test
    used = np.concatenate((plan.train, plan.validation))
    assert len(np.intersect1d(held, used)) == 0
    assert result["accuracy"] < 0.65
    assert result["refit"]
    refitted = inspection.load(tmp_path / "model")
    known = refitted.predict(features.pipeline_rows(plan.inputs, plan.cells, held))
    assert accuracy_score(plan.target.values[held], known) > 0.9, "the registered model learnt these rows"


# Few rows are measured on the folds on which the candidates compete


def test_auto_measures_few_rows_on_all_of_them(tmp_path: Path) -> None:
    training, result = data.trained(circles(300), tmp_path / "model", epochs=2)

    plan = training.plan
    assert result["split"] == {
        "method": "stratified",
        "column": None,
        "folds": 3,
        "train_rows": 300,
        "validation_rows": 0,
        "test_rows": 300,
    }
    assert sorted(np.concatenate([fold.test for fold in plan.split.folds])) == list(range(300))
    assert all(not len(np.intersect1d(fold.train, fold.test)) for fold in plan.split.folds)
    assert sum(map(sum, result["confusion_matrix"]["matrix"])) == 300
    assert result["accuracy"] == pytest.approx(result["candidates"][0].score, abs=0.02)
    assert result["refit"]
    assert training._refit_record is None, "the only fit was on all rows"
    # That of the rows of a fold, by the model without it.
    of_fold = training._folds[0].record.metrics["balanced_accuracy"]
    assert result["report"].importance.rows == 100
    assert result["report"].importance.score == pytest.approx(of_fold, abs=1e-4) != 1


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_auto_finds_nothing_in_noise(kind: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(2).normal(size=(900, 6))
    target = noise[:, 5] > 0 if kind == "classification" else noise[:, 5]
    columns = {f"x{index}": noise[:, index] for index in range(5)}

    _, result = data.trained(pa.table({**columns, "target": target}), tmp_path / "model", epochs=2)

    if kind == "classification":
        assert 0.45 < result["accuracy"] < 0.55  # 3 standard deviations
    else:
        assert -0.5 < result["metrics"]["r2"] < 0.02
        assert result["report"].importance.score < 0.1, "a model that knows the rows would score 0.8"


@pytest.mark.parametrize(
    ("scores", "predictors"),
    [
        ({0: [0.9, 0.8, 0.7], 1: [0.1, 0.1, 0.1]}, [0, 0, 0]),
        # The second one is better on average only by its luck on the first fold: it may not predict that.
        ({0: [0.5, 0.6, 0.6], 1: [0.9, 0.5, 0.5]}, [0, 1, 1]),
        ({0: [0.5, None, None], 1: [0.4, 0.4, 0.4]}, [1, 0, 0]),
    ],
)
def test_a_fold_is_predicted_by_the_candidate_that_was_best_on_the_others(
    scores: Mapping[int, Sequence[float | None]], predictors: list[int]
) -> None:
    training = Training(circles(120), data.params(epochs=2))
    competition = training._competition
    while not competition.is_finished:
        competition.compare_next()
    found = [{number: competition._prediction(number, index) for number in scores} for index in range(3)]
    competition.records[:] = [
        _with_scores(record, scores.get(record.candidate, [])) for record in competition.records
    ]
    winner = competition.ranking[0]

    for index, predictor in enumerate(predictors):
        assert competition.predict_fold(index, winner) is found[index][predictor]


def test_scores_of_another_kind_do_not_replace_those_of_the_winner() -> None:
    """The SVM is better on the other folds, but its margins cannot join the probabilities of the winner."""
    rows = pa.Table.from_pylist(data.docstrings(200)).rename_columns(["text", "target"])
    competition = Training(rows, data.params(epochs=1))._competition
    while not competition.is_finished:
        competition.compare_next()
    numbers = {record.algorithm: record.candidate for record in competition.records}
    logistic, svm = numbers["logistic_regression"], numbers["linear_svm"]
    scores = {logistic: [0.9, 0.7, 0.7], svm: [0.1, 0.8, 0.8]}
    competition.records[:] = [
        _with_scores(record, scores.get(record.candidate, [])) for record in competition.records
    ]
    assert competition.ranking[0] == logistic

    assert competition.predict_fold(0, logistic) is competition._prediction(logistic, 0)


def test_margins_and_probabilities_are_not_mixed(tmp_path: Path) -> None:
    """Of texts, a linear SVM may win, whose scores are no probabilities."""
    rows = pa.Table.from_pylist(data.docstrings(400)).rename_columns(["text", "target"])

    training, result = data.trained(rows, tmp_path / "model", epochs=3)

    algorithms = [record.algorithm for record in result["candidates"]]
    assert {"linear_svm", "logistic_regression"} <= set(algorithms)
    is_probability = result["algorithm"] != "linear_svm"
    assert [fold.are_probabilities for fold in training._folds] == [is_probability] * 3
    assert (result["metrics"]["log_loss"] is not None) is is_probability


@pytest.mark.parametrize(
    ("wanted", "folds"),
    [
        ({}, 3),
        ({"split": SplitParams(folds=0)}, 0),
        ({"split": SplitParams(folds=5)}, 5),
        ({"split": SplitParams(SplitMethod.TIME, "x")}, 0),
        ({"split": SplitParams(SplitMethod.GROUP, "x")}, 3),
        ({"algorithm": "random_forest"}, 0),
        ({"candidates": QUICK}, 0),
    ],
)
def test_when_folds_measure(wanted: dict[str, Any], folds: int) -> None:
    plan = Training(circles(200), data.params(**wanted)).plan

    assert len(plan.split.folds) == folds
    is_auto = not wanted.keys() & {"algorithm", "candidates"}
    assert plan.measured_by_choice is (is_auto and folds > 0)


def test_folds_do_not_measure_if_one_would_lack_a_class() -> None:
    groups = np.arange(200) % 10
    target = np.where(groups == 3, "rare", np.where(np.arange(200) % 2, "odd", "even"))
    rows = pa.table({"x": np.arange(200.0), "group": groups, "target": target})

    plan = Training(rows, data.params(split=SplitParams(SplitMethod.GROUP, "group"))).plan

    assert plan.split.folds == ()
    assert len(plan.split.main.test) == 40


def test_many_rows_are_measured_on_a_fifth() -> None:
    plan = Training(circles(10_001), data.params()).plan

    assert plan.split.folds == ()
    assert len(plan.split.main.test) == 2000


@pytest.mark.parametrize("count", [6, 12, 39])
def test_a_single_candidate_is_measured_on_all_rows_too(count: int, tmp_path: Path) -> None:
    _, result = data.trained(circles(count), tmp_path / "model", epochs=2)

    assert (result["split"]["folds"], result["test_rows"], result["train_rows"]) == (3, count, count)
    assert result["algorithm"] == "logistic_regression"


# Any step may be the last one of an attempt


@pytest.mark.parametrize(
    "wanted",
    [
        {"candidates": QUICK, "epochs": 3},
        {"candidates": QUICK, "epochs": 2, "split": SplitParams(folds=3)},
        {"epochs": 2},
        {
            "algorithm": "random_forest",
            "params": {"n_estimators": 10},
            "epochs": 2,
            "split": SplitParams(folds=2),
        },
    ],
)
def test_an_attempt_killed_after_any_step_ends_with_the_same_bytes(
    wanted: dict[str, Any], tmp_path: Path
) -> None:
    whole = Training(circles(), data.params(**wanted))
    saved: list[bytes | None] = [None]
    while not whole.is_finished:
        whole.advance()
        saved.append(whole.checkpoint())
    expected = data.without_times(whole.finish(tmp_path / "whole"))

    for steps, content in enumerate(saved):
        resumed = Training(circles(), data.params(**wanted), content)
        assert resumed.steps <= steps
        data.train_until(resumed)
        found = data.without_times(resumed.finish(tmp_path / "resumed"))
        assert resumed.steps == whole.steps
        assert found == expected
        assert digest(tmp_path / "resumed") == digest(tmp_path / "whole")


def test_a_checkpoint_is_due_when_some_seconds_were_computed() -> None:
    training = Training(circles(), data.params(algorithm="random_forest", epochs=3))
    assert training.is_checkpoint_due(), "it is small before the first epoch"
    training.advance()
    training.checkpoint()

    due = []
    for seconds in (0.0, CHECKPOINT_SECONDS):
        training._saved_at -= seconds
        due.append(training.is_checkpoint_due())

    assert due == [False, True]
    training._saving_seconds = 1.0
    assert not training.is_checkpoint_due(), "the last one took a twentieth of the time since, or more"


def test_a_checkpoint_of_an_older_version_is_not_used(tmp_path: Path) -> None:
    old = b"\x82\xa5state\xa0\xa8features\xa0"

    training = Training(circles(), data.params(algorithm="logistic_regression", epochs=2), old)

    assert training.steps == 0
    assert data.train_until(training)


def test_cross_validation_predicts_each_row_without_having_learnt_it(tmp_path: Path) -> None:
    rows = circles(300)

    training, result = data.trained(
        rows, tmp_path / "model", candidates=QUICK[1:], epochs=2, split=SplitParams(folds=3)
    )

    assert sum(record.record.rows for record in training._folds) == result["test_rows"] == 300
    folds = [record.record.metrics["accuracy"] for record in training._folds]
    assert result["accuracy"] == pytest.approx(np.average(folds, weights=[100, 100, 100]), abs=0.01)
    assert 0.75 < result["accuracy"] < 1


def test_cross_validation_finds_nothing_in_noise(tmp_path: Path) -> None:
    """A forest knows the rows that it has learnt, whatever they are."""
    points = np.random.default_rng(5).normal(size=(300, 3))
    rows = pa.table({"x": points[:, 0], "y": points[:, 1], "target": points[:, 2] > 0})

    _training, result = data.trained(
        rows, tmp_path / "model", candidates=QUICK[1:], epochs=1, split=SplitParams(folds=3)
    )

    assert 0.35 < result["accuracy"] < 0.65


def _with_scores(record: CandidateRecord, scores: Sequence[float | None]) -> CandidateRecord:
    found = [score for score in scores if score is not None]
    score = float(np.mean(found)) if found else None
    return msgspec.structs.replace(record, fold_scores=list(scores), score=score)


# Searches that prune


def test_each_round_keeps_a_third() -> None:
    assert contestants_of_rounds(27) == (27, 9, 3)
    assert contestants_of_rounds(200) == (200, 67, 23, 8, 3)
    assert contestants_of_rounds(4) == (4,)


def test_a_search_prunes_the_worst_on_few_rows(tmp_path: Path) -> None:
    depths = [{"n_estimators": 5, "max_depth": depth} for depth in (1, 2, 3, 4, 5, 6, 8, 10, 12)]
    candidates = [CandidateParams("random_forest", params) for params in depths]

    training, result = data.trained(
        circles(3000), tmp_path / "model", candidates=candidates, epochs=1, metric="f1_macro"
    )

    records = training._competition.records
    assert [record.round for record in records] == [1] * 9 + [2] * 3
    first = sorted((one for one in records if one.round == 1), key=lambda one: -(one.score or 0))
    assert {one.candidate for one in records[9:]} == {one.candidate for one in first[:3]}
    assert records[0].rows < records[-1].rows == 2400
    assert {record.metric for record in records} == {"f1_macro"}
    assert result["params"]["max_depth"] == result["candidates"][0].params["max_depth"] > 2
    assert len(result["candidates"]) == 9


# Memory


def test_a_candidate_that_the_memory_limit_refuses_is_not_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = circles(3000).append_column("noise", pa.array(np.random.default_rng(1).normal(size=3000)))
    candidates = [
        CandidateParams("logistic_regression"),
        CandidateParams("random_forest", {"n_estimators": 1000, "max_depth": 12}),
    ]
    params = data.params(candidates=candidates, epochs=2)
    training = Training(rows, params)
    monkeypatch.setattr(Limits, "memory_bytes", psutil.Process().memory_info().rss + 300 * MEBIBYTE)

    data.train_until(training)
    result = training.finish(tmp_path / "model")

    best = result["candidates"][0]
    assert (best.algorithm, best.failure) == ("random_forest", None)
    assert result["algorithm"] == "logistic_regression"
    assert any("random_forest was not chosen: a forest of 1000 trees" in text for text in result["warnings"])
