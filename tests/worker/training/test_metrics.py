"""The metrics equal those of scikit-learn, and the confusion matrix is bounded."""

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from worker.training import memory, metrics
from worker.training.outputs import ClassPredictions


def classified(classes: tuple[str, ...], scores: list[list[float]]) -> ClassPredictions:
    array = np.array(scores)
    return ClassPredictions(classes, array, np.array(classes)[array.argmax(axis=1)], are_probabilities=True)


def test_log_loss_and_roc_auc_equal_those_of_scikit_learn() -> None:
    chance = np.random.default_rng(0)
    classes = ("a", "b", "c")
    scores = chance.dirichlet(np.ones(3), size=60)
    truth = chance.choice(classes, size=60)

    found = metrics.classification_metrics(truth, classified(classes, scores.tolist()))

    assert found["log_loss"] == pytest.approx(log_loss(truth, scores, labels=classes))
    assert found["roc_auc"] == pytest.approx(roc_auc_score(truth, scores, multi_class="ovr", average="macro"))


def test_classes_are_in_the_order_of_the_model() -> None:
    predicted = classified(("2", "10"), [[0.9, 0.1], [0.2, 0.8]])

    assert metrics.log_loss(np.array(["2", "10"]), predicted) == pytest.approx(-np.log([0.9, 0.8]).mean())


def test_undefined_metrics_are_none() -> None:
    only_one = metrics.classification_metrics(
        np.array(["a", "a"]), classified(("a", "b"), [[0.6, 0.4], [0.7, 0.3]])
    )
    unknown = metrics.classification_metrics(
        np.array(["a", "z"]), classified(("a", "b"), [[0.6, 0.4], [0.7, 0.3]])
    )

    assert only_one["roc_auc"] is None
    assert (unknown["accuracy"], unknown["log_loss"]) == (0.5, None)
    assert metrics.regression_metrics(np.ones(3), np.ones(3))["r2"] is None


def test_the_confusion_matrix_of_many_classes_is_bounded() -> None:
    truth = np.array([f"class {index % 80:02}" for index in range(400)])

    confused = metrics.confusion_matrix(truth, np.roll(truth, 1))

    assert len(confused["labels"]) == 51
    assert confused["labels"][-1] == "(others)"
    assert sum(map(sum, confused["matrix"])) == 400


def test_a_step_beyond_the_memory_limit_is_refused_in_advance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 1e9)

    memory.ensure_available("a forest", 0.9e9)
    with pytest.raises(
        memory.TooLargeToTrain, match=r"about 2\.00 GiB of memory, but this worker has 0\.93 GiB left"
    ):
        memory.ensure_available("a forest", 2 * memory.GIBIBYTE)
