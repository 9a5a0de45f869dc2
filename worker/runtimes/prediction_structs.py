"""Predictions as msgspec structs: they encode to the same JSON as dicts, and are built in less time.

Building two dicts per row costs more than a linear model takes to predict, and the garbage collector tracks
all of them. It does not track these structs, and `map` builds a whole column of them.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import starmap
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt


class ValuePrediction(msgspec.Struct, gc=False):
    """The prediction of a regressor."""

    value: Any


class LabelPrediction(msgspec.Struct, gc=False):
    """The prediction of a classifier."""

    label: str
    score: float
    scores: Any


def value_predictions(numbers: Sequence[Any]) -> list[Any]:
    """Return `{"value": …}` for each number."""
    return list(map(ValuePrediction, numbers))


def label_predictions(
    labels: Sequence[str], scores: npt.NDArray[Any], classes: Sequence[str]
) -> list[Any] | None:
    """Return `{"label", "score", "scores"}` for each row. `scores` has shape (rows, classes).

    Returns None if only dicts can hold the predictions: a label is not a class, or two classes have the
    same name, or a name needs escaping in JSON.
    """
    scores_struct = _scores_struct(tuple(classes))
    indices = {name: index for index, name in enumerate(classes)}
    if scores_struct is None or scores.shape[1] != len(classes) or not indices.keys() >= set(labels):
        return None
    label_scores = scores[np.arange(len(labels)), [indices[label] for label in labels]]
    return list(map(LabelPrediction, labels, label_scores.tolist(), starmap(scores_struct, scores.tolist())))


@lru_cache(maxsize=64)
def _scores_struct(classes: tuple[str, ...]) -> type[msgspec.Struct] | None:
    """Return a struct type with a member for each class; None if msgspec cannot define it."""
    members = [f"class_{index}" for index in range(len(classes))]
    try:
        return msgspec.defstruct(
            "Scores",
            [(member, Any) for member in members],
            rename=dict(zip(members, classes, strict=True)),
            gc=False,
        )
    except ValueError:
        return None
