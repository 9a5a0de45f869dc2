"""Predictions that are only written down: what msgspec writes as the same JSON as dicts, made in less time.

Two dicts for each row cost more than a linear model takes to answer, and the garbage collector looks at all
of them. A struct is left alone by the collector, and `map` makes a column of them.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import starmap
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt


class Value(msgspec.Struct, gc=False):
    """What a regressor says."""

    value: Any


class Labelled(msgspec.Struct, gc=False):
    """What a classifier says."""

    label: str
    score: float
    scores: Any


def values(numbers: Sequence[Any]) -> list[Any]:
    """`{"value": …}` for each number."""
    return list(map(Value, numbers))


def labelled(labels: Sequence[str], scores: npt.NDArray[Any], classes: Sequence[str]) -> list[Any] | None:
    """`{"label", "score", "scores"}` for each row of scores, a column for each class.

    None where only dicts will do: for a label that is no class, and for names that are no struct's.
    """
    of_classes = _struct(tuple(classes))
    places = {name: place for place, name in enumerate(classes)}
    if of_classes is None or scores.shape[1] != len(classes) or not places.keys() >= set(labels):
        return None
    own = scores[np.arange(len(labels)), [places[label] for label in labels]]
    return list(map(Labelled, labels, own.tolist(), starmap(of_classes, scores.tolist())))


@lru_cache(maxsize=64)
def _struct(classes: tuple[str, ...]) -> type[msgspec.Struct] | None:
    """A struct with a member for each class; None if two have the same name, or one has to be escaped."""
    members = [f"of_{place}" for place in range(len(classes))]
    try:
        return msgspec.defstruct(
            "Scores",
            [(member, Any) for member in members],
            rename=dict(zip(members, classes, strict=True)),
            gc=False,
        )
    except ValueError:
        return None
