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

    def predictions(self, values: Sequence[Any], count: int) -> list[Any]:
        """The prediction of each of so many rows, a RowError where one is no number. Raises JobError."""
        rows = zip(*(_by_row(value, count) for value in values), strict=True)
        are_numbers = np.logical_and.reduce([_are_finite(value, count) for value in values])
        return [
            self._prediction(row) if is_fine else _NO_NUMBER
            for row, is_fine in zip(rows, are_numbers.tolist(), strict=True)
        ]

    def _prediction(self, row: tuple[Any, ...]) -> dict[str, Any]:
        match self.task:
            case Task.CLASSIFICATION:
                return self._class(*row)
            case Task.REGRESSION:
                return {"value": _only(row[0])}
            case None:
                return {"outputs": dict(zip(self.names, row, strict=True))}
            case never:
                assert_never(never)

    def _class(self, label: Any, scores: Any) -> dict[str, Any]:
        name = cells.label(_only(label)) or ""
        if isinstance(scores, list):
            names = self.classes or ()
            # A pipeline may hold other classifiers than the one that has the last word.
            if len(names) != len(scores) or name not in names:
                names = tuple(str(place) for place in range(len(scores)))
            scores = dict(zip(names, scores, strict=True))
        return {"label": name, "score": scores.get(name, max(scores.values(), default=0.0)), "scores": scores}


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


def _by_row(value: Any, count: int) -> list[Any]:
    """An output as a JSON value for each row, without those that only filled a batch."""
    if isinstance(value, np.ndarray):
        rows = value[:count].tolist() if value.ndim else []
    else:
        rows = [
            {cells.label(name) or "": float(score) for name, score in row.items()} for row in value[:count]
        ]
    if len(rows) != count:
        raise JobError(
            "wrong_prediction_count",
            f"the model gave {len(rows)} predictions for {count} rows",
            is_retryable=False,
        )
    return rows


def _only(value: Any) -> Any:
    return value[0] if isinstance(value, list) else value


def _are_finite(value: Any, count: int) -> npt.NDArray[np.bool_]:
    """For each row whether its part of an output has finite numbers only."""
    if not isinstance(value, np.ndarray):
        return np.array([all(map(math.isfinite, row.values())) for row in value[:count]])
    if not issubclass(value.dtype.type, np.floating):
        return np.ones(count, dtype=np.bool_)
    return np.asarray(np.isfinite(value[:count].reshape(count, -1)).all(axis=1))
