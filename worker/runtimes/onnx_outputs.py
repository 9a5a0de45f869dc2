"""What an ONNX model gives, as predictions: a class, a value, or whatever its outputs are called.

Nothing in a file says that a model is a classifier. But the converters of scikit-learn, XGBoost and their
like all give two outputs then: the label of each row, and the scores of the classes, as a map by class
(ZipMap) or as a matrix. The classes of a matrix are told from the operators that know them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, assert_never

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from app.models.versions import Task
from worker.context import JobError, RowError
from worker.runtimes import written
from worker.runtimes.runtime import BrokenModel
from worker.training import cells

NOT_A_NUMBER: Final = "not_a_number"

_LABELS: Final = frozenset({"tensor(int64)", "tensor(int32)", "tensor(string)"})
_FLOATS: Final = frozenset({"tensor(float)", "tensor(double)", "tensor(float16)"})
_CLASSES: Final = frozenset({"classlabels_strings", "classlabels_ints", "classlabels_int64s"})


@dataclass(frozen=True)
class Outputs:
    """The outputs of a model, and what they mean. `classes` are in the order of the scores."""

    names: tuple[str, ...]
    task: Task | None
    classes: tuple[str, ...] | None

    def predictions(self, values: Sequence[Any], count: int, *, are_only_written: bool = False) -> list[Any]:
        """The prediction of each of so many rows, a RowError where one is no number. Raises JobError.

        Those that `are_only_written` need not be dicts: see `worker.runtimes.written`.
        """
        for value in values:
            _ensure_count(value, count)
        try:
            said = self._written(values, count) if are_only_written else None
            said = self._said(values, count) if said is None else said
            are_numbers = np.logical_and.reduce([_are_finite(value, count) for value in values])
        except (IndexError, ValueError, TypeError, AttributeError) as error:
            # What a file says of its outputs is a promise that ONNX Runtime does not keep for it.
            raise JobError(
                "prediction_failed", "the model gave other shapes than it declares", is_retryable=False
            ) from error
        if are_numbers.all():
            return said
        return [
            one if is_fine else _NO_NUMBER for one, is_fine in zip(said, are_numbers.tolist(), strict=True)
        ]

    def _said(self, values: Sequence[Any], count: int) -> list[Any]:
        match self.task:
            case Task.CLASSIFICATION:
                labels, scores = values
                return self._labelled(_texts(labels, count), scores, count)
            case Task.REGRESSION:
                return [{"value": value} for value in _singles(values[0], count)]
            case None:
                rows = zip(*(_by_row(value, count) for value in values), strict=True)
                return [{"outputs": dict(zip(self.names, row, strict=True))} for row in rows]
            case never:
                assert_never(never)

    def _written(self, values: Sequence[Any], count: int) -> list[Any] | None:
        if self.task is Task.REGRESSION:
            return written.values(_singles(values[0], count))
        if self.task is Task.CLASSIFICATION and isinstance(values[1], np.ndarray):
            return written.labelled(_texts(values[0], count), values[1][:count], self.classes or ())
        return None

    def _labelled(self, labels: list[str], scores: Any, count: int) -> list[Any]:
        if not isinstance(scores, np.ndarray):
            by_row = _by_row(scores, count)
        else:
            names = self.classes or ()
            places = tuple(str(place) for place in range(scores.shape[1]))
            # A pipeline may hold other classifiers than the one that has the last word.
            are_known = len(names) == len(places)
            by_row = [
                dict(zip(names if are_known and label in names else places, row, strict=True))
                for label, row in zip(labels, scores[:count].tolist(), strict=True)
            ]
        return [
            {"label": label, "score": row.get(label, max(row.values(), default=0.0)), "scores": row}
            for label, row in zip(labels, by_row, strict=True)
        ]


_NO_NUMBER: Final = RowError(NOT_A_NUMBER, "the model gives no number for this row")


def outputs(told: Sequence[Any], model: onnx.ModelProto) -> Outputs:
    """The outputs of a model, as ONNX Runtime tells of them. Raises BrokenModel."""
    for output in told:
        if not output.type.startswith(("tensor(", "seq(map(")):
            raise BrokenModel(f"its output {output.name!r} is a {output.type}, which is no prediction")
    names = tuple(output.name for output in told)
    if _is_classifier(told):
        return Outputs(names, Task.CLASSIFICATION, _classes(model))
    if len(told) == 1 and told[0].type in _FLOATS and _has_one_value(told[0]):
        return Outputs(names, Task.REGRESSION, None)
    return Outputs(names, None, None)


def _is_classifier(told: Sequence[Any]) -> bool:
    if len(told) != 2 or told[0].type not in _LABELS or not _has_one_value(told[0]):
        return False
    scores = told[1]
    return scores.type.startswith("seq(map(") or (scores.type in _FLOATS and len(scores.shape) == 2)


def _has_one_value(output: Any) -> bool:
    return len(output.shape) == 1 or (len(output.shape) == 2 and output.shape[1] == 1)


def _classes(model: onnx.ModelProto) -> tuple[str, ...] | None:
    """Those of the last operator that knows some; else those that skl2onnx picks a label from."""
    for node in reversed(model.graph.node):
        for attribute in node.attribute:
            labels: Sequence[Any] = attribute.strings or attribute.ints
            if attribute.name in _CLASSES and labels:
                return _as_texts(labels)
    for tensor in model.graph.initializer:
        if tensor.name == "classes" or tensor.name.startswith("classes_"):
            return _as_texts(numpy_helper.to_array(tensor).reshape(-1).tolist())
    return None


def _as_texts(labels: Sequence[Any]) -> tuple[str, ...]:
    return tuple(
        label.decode(errors="replace") if isinstance(label, bytes) else cells.label(label) or ""
        for label in labels
    )


def _ensure_count(value: Any, count: int) -> None:
    given = 0 if isinstance(value, np.ndarray) and not value.ndim else min(len(value), count)
    if given != count:
        raise JobError(
            "wrong_prediction_count",
            f"the model gave {given} predictions for {count} rows",
            is_retryable=False,
        )


def _by_row(value: Any, count: int) -> list[Any]:
    """An output as a JSON value for each row, without those that only filled a batch."""
    if isinstance(value, np.ndarray):
        rows: list[Any] = value[:count].tolist()
        return rows
    names = {name: cells.label(name) or "" for row in value[:count] for name in row}
    return [{names[name]: float(score) for name, score in row.items()} for row in value[:count]]


def _singles(value: Any, count: int) -> list[Any]:
    """An output of one value a row."""
    singles: list[Any] = value[:count].reshape(count, -1)[:, 0].tolist()
    return singles


def _texts(labels: Any, count: int) -> list[str]:
    said = _singles(labels, count)
    names = {label: cells.label(label) or "" for label in set(said)}
    return [names[label] for label in said]


def _are_finite(value: Any, count: int) -> npt.NDArray[np.bool_]:
    """For each row whether its part of an output has finite numbers only."""
    if not isinstance(value, np.ndarray):
        return np.array([all(map(math.isfinite, row.values())) for row in value[:count]])
    if not issubclass(value.dtype.type, np.floating):
        return np.ones(count, dtype=np.bool_)
    return np.asarray(np.isfinite(value[:count].reshape(count, -1)).all(axis=1))
