"""`evaluate_model`: its metrics equal those over all rows at once, whatever the interruptions."""

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.worker.children import attempts
from tests.worker.handlers.datasets import as_file
from worker.children.messages import Start
from worker.context import BadInput, RowError
from worker.evaluation import MAX_SAMPLED_SCORES, Evaluation, NotComparable
from worker.runtimes.vader import VaderModel
from worker.training import metrics
from worker.training.outputs import ClassPredictions

MODEL = {"name": "sentiment", "version": 1, "runtime": "vader"}
CLASSES = ("cat", "dog", "owl")


def classified(rows: int, *, seed: int = 7) -> tuple[list[str], list[dict[str, Any]], ClassPredictions]:
    """Return true classes, predictions that are often right, and the same predictions as arrays."""
    random = np.random.default_rng(seed)
    truth = random.choice(CLASSES, rows).tolist()
    scores = random.dirichlet(np.ones(3), rows)
    scores[np.arange(rows), [CLASSES.index(name) for name in truth]] += 0.3
    scores /= scores.sum(axis=1, keepdims=True)
    labels = [CLASSES[place] for place in scores.argmax(axis=1)]
    predictions = [
        {"label": label, "score": max(row), "scores": dict(zip(CLASSES, row, strict=True))}
        for label, row in zip(labels, scores.tolist(), strict=True)
    ]
    return truth, predictions, ClassPredictions(CLASSES, scores, np.array(labels), are_probabilities=True)


def evaluated(
    truth: list[Any], predictions: list[Any], *, interrupted_every: int | None = None
) -> dict[str, Any]:
    """Return the result of an evaluation that resumes from its checkpoint every `interrupted_every` rows."""
    evaluation = Evaluation()
    for row, (target, prediction) in enumerate(zip(truth, predictions, strict=True)):
        if interrupted_every and row % interrupted_every == 0:
            evaluation = Evaluation.from_checkpoint(evaluation.checkpoint())
        evaluation.compare(row, prediction, target)
    return evaluation.result()


def test_classification_metrics_equal_those_over_all_rows_at_once() -> None:
    truth, predictions, arrays = classified(2000)

    result = evaluated(truth, predictions, interrupted_every=130)

    assert result["metrics"] == pytest.approx(
        metrics.classification_metrics(np.array(truth), arrays), rel=1e-12
    )
    assert result["confusion_matrix"] == metrics.confusion_matrix(np.array(truth), arrays.labels)
    assert result["classes"] == list(CLASSES)


def test_regression_metrics_equal_those_over_all_rows_at_once() -> None:
    random = np.random.default_rng(7)
    truth = random.normal(1e6, 3, 2000)
    values = truth + random.normal(0, 1, 2000)

    result = evaluated(truth.tolist(), [{"value": value} for value in values.tolist()], interrupted_every=99)

    assert result["metrics"] == pytest.approx(metrics.regression_metrics(truth, values), rel=1e-9)
    assert (result["confusion_matrix"], result["classes"]) == (None, None)


def test_scores_beyond_the_limit_are_sampled_the_same_despite_interruptions() -> None:
    rows = MAX_SAMPLED_SCORES
    truth, predictions, arrays = classified(rows)

    result = evaluated(truth, predictions)
    again = evaluated(truth, predictions, interrupted_every=9999)

    exact = metrics.classification_metrics(np.array(truth), arrays)
    assert again == result
    assert result["metrics"]["roc_auc"] == pytest.approx(exact["roc_auc"], abs=0.01)
    assert result["metrics"]["log_loss"] == pytest.approx(exact["log_loss"], rel=1e-9)
    evaluation = Evaluation()
    for row in range(rows):
        evaluation.compare(row, predictions[row], truth[row])
    assert len(evaluation.checkpoint()) < 1024 * 1024


def test_a_class_unknown_to_the_model_counts_as_an_error() -> None:
    result = evaluated(["cat", "eel"], [{"label": "cat", "scores": {"cat": 0.9, "dog": 0.1}}] * 2)

    assert result["metrics"]["accuracy"] == 0.5
    assert (result["metrics"]["log_loss"], result["metrics"]["roc_auc"]) == (None, None)
    assert result["confusion_matrix"] == {"labels": ["cat", "eel"], "matrix": [[1, 0], [1, 0]]}


def test_the_confusion_matrix_merges_rare_classes() -> None:
    truth = [f"c{number:02}" for number in range(60) for _ in range(60 - number)]

    matrix = evaluated(truth, [{"label": label} for label in truth])["confusion_matrix"]

    assert len(matrix["labels"]) == metrics.MAX_MATRIX_CLASSES + 1
    assert sum(map(sum, matrix["matrix"])) == len(truth)
    assert matrix["matrix"][-1][-1] == sum(60 - number for number in range(50, 60))


@pytest.mark.parametrize(
    ("prediction", "target", "code"),
    [
        ({"label": "a"}, None, "missing_target"),
        ({"label": "a"}, "", "missing_target"),
        ({"label": None}, "a", "no_label"),
        ({"label": "a", "scores": {"a": math.nan}}, "a", "no_label"),
        ({"value": 1.0}, None, "missing_target"),
        ({"value": 1.0}, "many", "bad_target"),
        ({"value": math.inf}, 1, "no_value"),
    ],
)
def test_a_row_that_cannot_be_compared_gets_an_error_and_does_not_count(
    prediction: dict[str, Any], target: Any, code: str
) -> None:
    evaluation = Evaluation()

    compared = evaluation.compare(0, prediction, target)

    assert isinstance(compared, RowError)
    assert compared.code == code
    assert evaluation.result()["metrics"] == {}


def test_a_model_without_labels_or_values_cannot_be_compared() -> None:
    with pytest.raises(NotComparable):
        Evaluation().compare(0, {"outputs": {"x": 1}}, 1)


def test_a_target_with_too_many_values_is_refused() -> None:
    with pytest.raises(BadInput, match="1000 different values"):
        evaluated([str(row) for row in range(1001)], [{"label": "a"}] * 1001)


# The handler


def start(path: Path, **more: Any) -> Start:
    params = {"model": MODEL, "batch_size": 10, "target": "mood", "shape": {"column": "text"}}
    message = attempts.start("evaluate_model", params=params)
    return msgspec.structs.replace(
        message,
        payload=None,
        total=pq.read_metadata(path).num_rows,
        files={"dataset": as_file(path)},
        **more,
    )


async def test_a_resumed_evaluation_counts_each_row_once(tmp_path: Path) -> None:
    texts = [f"{row} {'good' if row % 3 else 'awful'} things" for row in range(60)]
    moods = ["positive" if row % 4 else "negative" for row in range(59)] + [None]
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": texts, "mood": moods, "more": range(60)}), path)

    whole = await attempts.run_alone(start(path))
    kept = whole.batches[2]
    rest = await attempts.run_alone(start(path, resume_batch=3, done=30, checkpoint=kept.checkpoint))

    labels = [prediction["label"] for prediction in VaderModel().predict(texts)]
    hits = sum(label == mood for label, mood in zip(labels, moods, strict=True))
    assert whole.result["metrics"]["accuracy"] == hits / 59
    assert (whole.result["total"], whole.result["errors"]) == (60, 1)
    assert rest.result == whole.result
    assert [batch.output for batch in rest.batches] == [batch.output for batch in whole.batches[3:]]
    first = msgspec.json.decode(whole.batches[0].output.splitlines()[0])["prediction"]
    assert first == {**VaderModel().predict(texts[:1])[0], "target": "negative"}


async def test_inline_rows_are_evaluated_too() -> None:
    rows = [{"text": "good", "mood": "positive"}, {"text": "bad", "mood": "positive"}]
    params = {"model": MODEL, "batch_size": 10, "target": "mood", "shape": {"column": "text"}}

    attempt = await attempts.run_alone(attempts.start("evaluate_model", rows, params=params))

    assert attempt.result["metrics"]["accuracy"] == 0.5
    assert attempt.result["confusion_matrix"] == {
        "labels": ["negative", "positive"],
        "matrix": [[0, 0], [1, 1]],
    }
