"""Predictions as structs encode to the same JSON as dicts, or are not built at all."""

from typing import Any

import msgspec
import numpy as np
import pytest

from worker.runtimes import prediction_structs


def as_dicts(labels: list[str], scores: Any, classes: list[str]) -> list[dict[str, Any]]:
    rows = [dict(zip(classes, row, strict=True)) for row in scores.tolist()]
    return [
        {"label": label, "score": row[label], "scores": row} for label, row in zip(labels, rows, strict=True)
    ]


@pytest.mark.parametrize("classes", [["no", "yes"], ["1", "2", "3"], ["", "a b", "class", "ünïcode 😁"]])
def test_label_structs_encode_like_dicts(classes: list[str]) -> None:
    scores = np.random.default_rng(0).random((50, len(classes)))
    labels = [classes[row % len(classes)] for row in range(50)]

    predictions = prediction_structs.label_predictions(labels, scores, classes)

    assert msgspec.json.encode(predictions) == msgspec.json.encode(as_dicts(labels, scores, classes))
    single = prediction_structs.label_predictions(labels, scores.astype(np.float32), classes)
    assert msgspec.json.encode(single) == msgspec.json.encode(
        as_dicts(labels, scores.astype(np.float32), classes)
    )


@pytest.mark.parametrize("classes", [["same", "same"], ['with "quotes"', "no"], ["back\\slash", "no"]])
def test_class_names_that_a_struct_cannot_have_need_dicts(classes: list[str]) -> None:
    assert prediction_structs.label_predictions([classes[0]], np.ones((1, 2)), classes) is None


def test_unknown_labels_and_mismatched_scores_need_dicts() -> None:
    assert prediction_structs.label_predictions(["maybe"], np.ones((1, 2)), ["no", "yes"]) is None
    assert prediction_structs.label_predictions(["no"], np.ones((1, 3)), ["no", "yes"]) is None


def test_value_structs_encode_like_dicts() -> None:
    numbers = [0.1, -1e300, 3.0, [1.0, 2.0]]

    assert msgspec.json.encode(prediction_structs.value_predictions(numbers)) == msgspec.json.encode(
        [{"value": number} for number in numbers]
    )
