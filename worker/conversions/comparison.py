"""Compares the predictions of two models row by row."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from worker import predictions
from worker.context import RowError
from worker.conversions.errors import ConversionDiffers
from worker.runtimes.runtime import Model

ABSOLUTE: Final = 1e-5
RELATIVE: Final = 1e-4
"""Scores and values may differ by this much: several operators of ONNX compute with 32 bits.

A value may also differ by this part of the median of all values, since large terms may add up to a small one.
"""


@dataclass(frozen=True)
class Comparison:
    """How many rows both models predict alike, and the largest difference of a number."""

    rows: int
    largest_difference: float


def compare(original: Model, converted: Model, rows: Sequence[Any]) -> Comparison:
    """Compare on all rows that the original predicts. Raises ConversionDiffers.

    Labels may differ only where the classes have the same score.
    """
    expected = predictions.predict(original, rows, has_worked=True)
    got = predictions.predict(converted, rows, has_worked=True)
    values = [abs(one["value"]) for one in expected if not isinstance(one, RowError) and "value" in one]
    scale = statistics.median(values) if values else 0.0
    compared = 0
    largest = 0.0
    for row, (one, other) in enumerate(zip(expected, got, strict=True)):
        if isinstance(one, RowError):
            continue
        if isinstance(other, RowError) or _deviation(one, other, scale) > 1:
            raise ConversionDiffers(
                f"The converted model is not registered: of row {row} it predicts {_show(other)}"
                f" instead of {_show(one)}."
            )
        largest = max(largest, _largest_difference(one, other))
        compared += 1
    if not compared:
        raise ConversionDiffers(
            "The converted model is not registered: the original predicts none of the rows to compare on."
            " Name a dataset with rows for it."
        )
    return Comparison(compared, largest)


def _deviation(one: Mapping[str, Any], other: Mapping[str, Any], scale: float) -> float:
    """How far two predictions are apart, as a multiple of what is allowed; infinite if incomparable."""
    if "value" in one:
        return _excess(one["value"], other["value"], scale) if "value" in other else math.inf
    scores, others = one.get("scores", {}), other.get("scores", {})
    if not scores or not scores.keys() <= others.keys() or other["label"] not in scores:
        return math.inf
    largest = max(_excess(score, others[name]) for name, score in scores.items())
    if one["label"] == other["label"]:
        return largest
    return max(largest, _excess(scores[one["label"]], scores[other["label"]]))


def _excess(one: float, other: float, scale: float = 0.0) -> float:
    return abs(one - other) / (ABSOLUTE + RELATIVE * max(abs(one), scale))


def _largest_difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    if "value" in one:
        return float(abs(one["value"] - other["value"]))
    return float(max(abs(score - other["scores"][name]) for name, score in one["scores"].items()))


def _show(prediction: Any) -> str:
    match prediction:
        case RowError():
            return f"the error {prediction.message!r}"
        case {"label": label, "score": score}:
            return f"{label!r} with the score {score:g}"
        case {"value": value}:
            return f"{value:g}"
    return "something else"
