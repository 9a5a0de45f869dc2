"""Trainings: as good as plain scikit-learn, identical after a resume, with honest metrics."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, f1_score, log_loss, mean_absolute_error, r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from app.jobs.algorithms.catalogue import ALGORITHMS, Name
from app.jobs.params import SplitParams
from app.models.versions import Task
from tests.worker.training import data
from worker.context import BadInput
from worker.runtimes.sklearn import inspection
from worker.training import checkpoint, features, fit, learners, table
from worker.training.fit import Diverged
from worker.training.trainer import Training

CLASSIFIERS = [a.name for a in ALGORITHMS.values() if Task.CLASSIFICATION in a.tasks]
REGRESSORS = [a.name for a in ALGORITHMS.values() if Task.REGRESSION in a.tasks]
QUICK: dict[Name, dict[str, Any]] = {
    Name.RANDOM_FOREST: {"n_estimators": 12, "patience": 0},
    Name.HIST_GRADIENT_BOOSTING: {"max_iter": 12, "max_features": 0.5, "min_samples_leaf": 5, "patience": 0},
    Name.RIDGE: {"steps": 2},
    Name.MLP: {"hidden_layer_sizes": [8], "batch_size": 128},
}
EPOCHS = 4
HELD_OUT = SplitParams(folds=0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.skops"


def held_out_rows(training: Training) -> tuple[Any, Any]:
    """Return the test rows, in the form that a pipeline takes, and their true values."""
    plan = training.plan
    rows = plan.split.main.test
    return features.pipeline_rows(plan.inputs, plan.cells, rows), plan.target.values[rows]


def by_hand(path: Path) -> Any:
    """Load the file of the model."""
    return inspection.load(path)


# As good as plain scikit-learn


def test_digits_are_classified_with_default_params(path: Path) -> None:
    _, result = data.trained(data.digits(), path, validation_fraction=0.1)

    assert result["accuracy"] >= 0.94
    assert result["algorithm"] == result["candidates"][0].algorithm
    assert result["why"].startswith("Best accuracy of 3 candidates in a 3-fold cross-validation on 1797 rows")


@pytest.mark.parametrize("name", [Name.LOGISTIC_REGRESSION, Name.LINEAR_SVM, Name.MLP])
def test_digits_are_classified_by_other_algorithms(name: Name, path: Path) -> None:
    _, result = data.trained(data.digits(), path, algorithm=name, validation_fraction=0.1)

    assert result["accuracy"] >= 0.93


def test_diabetes_is_predicted_as_well_as_by_a_plain_ridge(path: Path) -> None:
    training, result = data.trained(data.diabetes(), path, split=HELD_OUT)

    plan = training.plan
    pipeline = make_pipeline(SimpleImputer(), StandardScaler(), Ridge(alpha=1.0))
    pipeline.fit(features.pipeline_rows(plan.inputs, plan.cells, plan.train), plan.target.values[plan.train])
    rows, truth = held_out_rows(training)
    assert result["algorithm"] == "ridge"
    assert result["metrics"]["r2"] == pytest.approx(r2_score(truth, pipeline.predict(rows)), abs=0.03)


def test_ridge_converges_to_the_exact_solution(path: Path) -> None:
    training, result = data.trained(
        data.diabetes(), path, algorithm=Name.RIDGE, params={"patience": 0}, epochs=50
    )

    plan = training.plan
    exact = make_pipeline(SimpleImputer(), StandardScaler(), Ridge(alpha=1.0))
    exact.fit(features.pipeline_rows(plan.inputs, plan.cells, plan.train), plan.target.values[plan.train])
    assert result["epochs"] < 50
    assert (
        result["stopped_because"] == "Further epochs would not change the model: the exact solution is found."
    )
    assert training.fit.model().estimator.coef_ == pytest.approx(exact[-1].coef_, rel=1e-4, abs=1e-4)


def test_texts_are_classified_as_well_as_by_plain_tfidf_and_logistic_regression(path: Path) -> None:
    rows = data.docstrings()
    training, result = data.trained(table.to_arrow(rows), path, "library", split=HELD_OUT)

    plan = training.plan
    texts = np.array([row["text"] for row in rows], dtype=object)
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression())
    pipeline.fit(texts[plan.train], plan.target.values[plan.train])
    held = plan.split.main.test
    reached = accuracy_score(plan.target.values[held], pipeline.predict(texts[held]))
    assert len(rows) > 2000
    assert result["algorithm"] in ("logistic_regression", "linear_svm")
    assert result["accuracy"] >= reached - 0.01


def test_chinese_texts_are_learnt_without_spaces_between_words(path: Path) -> None:
    good, bad = ["很好", "喜欢", "非常满意", "值得推荐"], ["糟糕", "失望", "退款", "太慢了"]
    rows = [
        {"text": f"这个产品{(good if index % 2 else bad)[index // 2 % 4]},第{index}次购买", "mood": index % 2}
        for index in range(120)
    ]

    _, result = data.trained(table.to_arrow(rows), path, "mood")

    assert [column["type"] for column in result["columns"]] == ["text"]
    assert result["accuracy"] >= 0.95


# The metrics are those of the file


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifier_metrics_equal_those_of_its_file_on_the_test_rows(name: Name, path: Path) -> None:
    rows = table.to_arrow(data.customers(150))
    training, result = data.trained(rows, path, algorithm=name, params=QUICK.get(name, {}), epochs=EPOCHS)

    model = by_hand(path)
    held, truth = held_out_rows(training)
    predictions = model.predict(held)
    assert result["metrics"]["accuracy"] == result["accuracy"] == accuracy_score(truth, predictions)
    assert result["metrics"]["f1_macro"] == pytest.approx(f1_score(truth, predictions, average="macro"))
    if hasattr(model, "predict_proba"):
        loss = log_loss(truth, model.predict_proba(held), labels=model.classes_)
        assert result["metrics"]["log_loss"] == pytest.approx(loss)
    best = result["history"][result["best_epoch"] - 1]
    assert best.valid_accuracy == result["validation_metrics"]["accuracy"]
    if learners.keeps_best_epoch(name):
        assert best.valid_loss == min(record.valid_loss for record in result["history"])
    else:
        assert result["best_epoch"] == result["epochs"]
    assert sum(map(sum, result["confusion_matrix"]["matrix"])) == result["test_rows"] == len(truth)


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressor_metrics_equal_those_of_its_file_on_the_test_rows(name: Name, path: Path) -> None:
    rows = table.to_arrow([{**row, "target": row["spent"]} | {"spent": None} for row in data.customers(150)])
    training, result = data.trained(
        rows,
        path,
        algorithm=name,
        params=QUICK.get(name, {}),
        epochs=EPOCHS,
        features=["city", "note", "age"],
    )

    held, truth = held_out_rows(training)
    predictions = by_hand(path).predict(held)
    assert result["metrics"]["r2"] == pytest.approx(r2_score(truth, predictions))
    assert result["metrics"]["mae"] == pytest.approx(mean_absolute_error(truth, predictions))
    best = result["history"][result["best_epoch"] - 1]
    assert best.valid_r2 == pytest.approx(result["validation_metrics"]["r2"])


# Identical after a resume


@pytest.mark.parametrize(
    ("name", "task"),
    [(algorithm.name, task) for algorithm in ALGORITHMS.values() for task in algorithm.tasks],
)
def test_every_algorithm_resumes_from_a_checkpoint_to_the_same_model(
    name: Name, task: Task, tmp_path: Path
) -> None:
    found = data.customers(120)
    targets = {Task.CLASSIFICATION: "target", Task.REGRESSION: "spent"}
    rows = table.to_arrow([{**row, "target": row[targets[task]]} for row in found])
    wanted = data.params(
        algorithm=name,
        task=task,
        params={"patience": 0, **QUICK.get(name, {})},
        epochs=EPOCHS,
        features=["age", "city", "member", "since", "note"],
    )
    whole = Training(rows, wanted)
    data.train_until(whole)
    undisturbed = whole.finish(tmp_path / "whole.skops")

    killed = Training(rows, wanted)
    data.train_until(killed, until=2)
    resumed = Training(rows, wanted, killed.checkpoint())
    assert resumed.steps == killed.steps
    data.train_until(resumed)
    again = resumed.finish(tmp_path / "resumed.skops")

    assert data.without_times(undisturbed) == data.without_times(again)
    assert (tmp_path / "whole.skops").read_bytes() == (tmp_path / "resumed.skops").read_bytes()


def test_an_attempt_killed_after_the_last_epoch_only_has_to_finish(path: Path) -> None:
    wanted = data.params(algorithm=Name.MLP, epochs=3)
    training = Training(data.iris(), wanted)
    data.train_until(training)

    resumed = Training(data.iris(), wanted, training.checkpoint())

    assert resumed.is_finished
    assert data.without_times(resumed.finish(path)) == data.without_times(training.finish(path))


def test_an_attempt_killed_after_early_stopping_trains_no_further() -> None:
    wanted = data.params(algorithm=Name.MULTINOMIAL_NB)
    training = Training(data.iris(), wanted)
    data.train_until(training)

    assert Training(data.iris(), wanted, training.checkpoint()).is_finished


def test_an_invalid_checkpoint_is_refused() -> None:
    with pytest.raises(checkpoint.BrokenCheckpoint):
        Training(data.iris(), data.params(), b"\x80\x04cposix\nsystem\n.")


def test_a_checkpoint_contains_no_pickle() -> None:
    training = Training(data.iris(), data.params(algorithm=Name.MLP))
    data.train_until(training, until=1)

    saved = checkpoint.decode(training.checkpoint())

    assert saved is not None
    assert saved.fit is not None
    assert saved.fit.state.startswith(b"PK")
    assert saved.fit.features.startswith(b"PK")


def test_the_same_seed_gives_the_same_model_and_another_seed_another() -> None:
    losses = [
        data.train_until(Training(data.wine(), data.params(algorithm=Name.MLP, seed=seed)), until=2)[
            -1
        ].valid_loss
        for seed in (1, 1, 2)
    ]

    assert losses[0] == losses[1] != losses[2]


# The end of a training


def test_early_stopping_keeps_the_best_epoch(path: Path) -> None:
    _, result = data.trained(
        data.diabetes(), path, algorithm=Name.HIST_GRADIENT_BOOSTING, params={"patience": 2}, epochs=20
    )

    assert result["stopped_early"]
    assert result["epochs"] == len(result["history"]) == result["best_epoch"] + 2
    assert result["stopped_because"] == "The validation loss has not improved for 2 epochs."


def test_without_patience_all_epochs_are_trained(path: Path) -> None:
    params = {"patience": 0, "max_iter": 12}
    _, result = data.trained(
        data.diabetes(), path, algorithm=Name.HIST_GRADIENT_BOOSTING, params=params, epochs=12
    )

    assert result["epochs"] == 12
    assert not result["stopped_early"]
    assert result["stopped_because"] is None


def test_the_file_of_an_early_best_epoch_has_no_later_trees(path: Path) -> None:
    _, result = data.trained(
        data.diabetes(),
        path,
        algorithm=Name.HIST_GRADIENT_BOOSTING,
        params={"patience": 0, "max_iter": 100},
        epochs=10,
    )

    assert result["best_epoch"] < 10
    assert by_hand(path)[-1].n_iter_ == 10 * result["best_epoch"]


def test_an_infinite_loss_fails_the_training() -> None:
    with pytest.raises(Diverged, match="epoch 3") as raised:
        fit._ensure_finite(np.array([1.0, np.inf]), 3)

    assert (raised.value.code, raised.value.is_retryable) == ("training_diverged", False)


# Params


def test_an_algorithm_for_another_task_is_refused() -> None:
    with pytest.raises(BadInput, match="ridge is not for classification"):
        Training(data.iris(), data.params(algorithm=Name.RIDGE))


def test_invalid_hyperparameters_are_refused() -> None:
    with pytest.raises(BadInput, match="n_estimators"):
        Training(data.iris(), data.params(algorithm=Name.RANDOM_FOREST, params={"n_estimators": 0}))


def test_a_warning_of_a_library_is_in_the_result(path: Path) -> None:
    rows = [{"x": index % 2, "target": "ab"[index % 2]} for index in range(40)]
    training = Training(table.to_arrow(rows), data.params(algorithm=Name.HIST_GRADIENT_BOOSTING, epochs=1))
    learner = training.fit._learner

    class WarningLearner:
        def __getattr__(self, name: str) -> Any:
            return getattr(learner, name)

        def learn(self, epoch: int) -> None:
            np.float64(1) / np.zeros(1)
            learner.learn(epoch)

    training.fit._learner = WarningLearner()
    training.advance()

    assert any("divide by zero" in warning for warning in training.finish(path)["warnings"])


def test_classes_can_be_balanced(path: Path) -> None:
    chance = np.random.default_rng(0)
    rare = chance.random(1500) < 0.05
    rows = pa.table({"x": chance.normal(size=1500) + 1.2 * rare, "target": rare})

    found = [
        data.trained(
            rows, path, algorithm=Name.LOGISTIC_REGRESSION, params={"balance_classes": balance}, epochs=3
        )[1]["metrics"]
        for balance in (False, True)
    ]

    assert found[1]["balanced_accuracy"] > found[0]["balanced_accuracy"] + 0.05
