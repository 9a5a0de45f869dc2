"""The learners give the models that scikit-learn's own estimators give with the same params."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression

from app.jobs.algorithms.hyperparameters import Logistic, RandomForest
from app.models.versions import Task
from tests.worker.training import data
from worker.context import BadInput
from worker.training import learners
from worker.training.learners import TrainingData
from worker.training.trainer import Training


def learnt(name: str, params: Any, task: Task, truth: Any, *, epochs: int) -> Any:
    rows = np.random.default_rng(0).normal(size=(len(truth), 4))
    learner = learners.start(name, params, TrainingData(task, rows, truth, epochs, seed=1))
    for epoch in range(1, epochs + 1):
        if not learner.ended:
            learner.learn(epoch)
    return learner, rows


def test_logistic_regression_is_multinomial_and_converges() -> None:
    truth = np.random.default_rng(1).choice(["a", "b", "c"], 300)

    learner, rows = learnt("logistic_regression", Logistic(), Task.CLASSIFICATION, truth, epochs=10)

    expected = LogisticRegression(max_iter=1000, tol=1e-6).fit(rows, truth)
    assert learner.ended == "it has converged"
    np.testing.assert_allclose(learner.estimator().coef_, expected.coef_, atol=2e-3)


@pytest.mark.parametrize(("penalty", "zeros"), [("l2", False), ("l1", True)])
def test_the_penalty_of_logistic_regression(penalty: Any, zeros: bool) -> None:
    truth = np.random.default_rng(1).choice(["a", "b"], 300)

    learner, _ = learnt(
        "logistic_regression", Logistic(penalty=penalty, alpha=0.1), Task.CLASSIFICATION, truth, epochs=4
    )

    assert bool((learner.estimator().coef_ == 0).any()) is zeros


def test_a_forest_of_a_regression_considers_all_columns_and_keeps_all_trees(tmp_path: Path) -> None:
    truth = np.random.default_rng(1).normal(size=200)

    learner, rows = learnt("random_forest", RandomForest(n_estimators=20), Task.REGRESSION, truth, epochs=4)

    [seed] = np.random.SeedSequence((1, 0)).generate_state(1).tolist()
    expected = RandomForestRegressor(20, random_state=seed).fit(rows, truth)
    np.testing.assert_allclose(learner.estimator().predict(rows), expected.predict(rows))


def test_a_forest_keeps_its_trees_although_an_earlier_epoch_had_a_lower_loss(tmp_path: Path) -> None:
    training, result = data.trained(
        data.diabetes(), tmp_path / "model", algorithm="random_forest", params={"n_estimators": 30}
    )

    assert result["best_epoch"] == result["epochs"] == 10
    assert len(training.fit.model().estimator.estimators_) == 30


@pytest.mark.parametrize("algorithm", ["logistic_regression", "mlp"])
def test_classes_can_be_weighted(algorithm: str) -> None:
    chance = np.random.default_rng(0)
    rare = chance.random(1000) < 0.1
    rows = pa.table({"x": chance.normal(size=1000) + rare, "target": np.where(rare, "rare", "usual")})

    def recall(weights: dict[str, float] | None) -> float:
        training = Training(
            rows, data.params(algorithm=algorithm, params={"class_weights": weights}, epochs=2)
        )
        data.train_until(training)
        plan = training.plan
        found = training.fit.model().held_out(plan.split.main.test)
        return float(np.mean(found.labels.labels[found.truth == "rare"] == "rare"))

    assert recall({"rare": 9.0}) > recall(None) + 0.3


@pytest.mark.parametrize("algorithm", ["logistic_regression", "mlp"])
def test_a_weight_of_an_unknown_class_is_refused(algorithm: str) -> None:
    params = data.params(algorithm=algorithm, params={"class_weights": {"tulip": 2.0}})

    with pytest.raises(BadInput, match="no training row has the class 'tulip'"):
        Training(data.iris(), params)
