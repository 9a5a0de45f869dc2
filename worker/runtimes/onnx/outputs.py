"""What an ONNX model gives, as predictions: a class, a value, or whatever its outputs are called.

Nothing in a file says that a model is a classifier. But the converters of scikit-learn, XGBoost and their
like all give two outputs then: the label of each row, and the scores of the classes, as a map by class
(ZipMap) or as a matrix. The classes of a matrix are those of the operator that the labels come from, or those
that the file's metadata names: `classes`, a JSON list. A matrix of classes that nothing names is no scores:
it may as well hold the distances of a KMeans. Then the outputs are given as they are.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, assert_never

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from app.models.versions import Task
from worker import cells
from worker.context import JobError, RowError
from worker.runtimes import prediction_structs
from worker.runtimes.runtime import BrokenModel

NOT_A_NUMBER: Final = "not_a_number"
CLASSES: Final = "classes"
"""The member of a file's metadata that may name the classes of its scores: a JSON list of texts."""

_LABELS: Final = frozenset({"tensor(int64)", "tensor(int32)", "tensor(string)"})
_FLOATS: Final = frozenset({"tensor(float)", "tensor(double)", "tensor(float16)"})
_SAME: Final = frozenset({"Cast", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze"})
"""Operators that hand on what they are given, in another type or shape."""

_CLASSES: Final = frozenset({"classlabels_strings", "classlabels_ints", "classlabels_int64s"})


@dataclass(frozen=True)
class Outputs:
    """The outputs of a model, and what they mean. `classes` are in the order of the scores.

    What a file declares is a promise: where an output has another number of values for a row, all outputs
    are given as they are. `are_named` classes take the place of the model's `own` ones, in the same order;
    if it has none of its own, integer labels are places.
    """

    names: tuple[str, ...]
    task: Task | None
    classes: tuple[str, ...] | None
    are_named: bool = False
    own: tuple[str, ...] | None = None

    def predictions(self, values: Sequence[Any], count: int, *, are_only_written: bool = False) -> list[Any]:
        """The prediction of each of so many rows, a RowError where one is no number. Raises JobError.

        Those that `are_only_written` need not be dicts: see `worker.runtimes.prediction_structs`.
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
        match self._task_of(values, count):
            case Task.CLASSIFICATION:
                renamed = self._renamed(values[0])
                return self._labelled(self._labels(values, count), values[-1], count, renamed)
            case Task.REGRESSION:
                return [{"value": value} for value in _singles(values[0], count)]
            case None:
                rows = zip(*(_by_row(value, count) for value in values), strict=True)
                return [{"outputs": dict(zip(self.names, row, strict=True))} for row in rows]
            case never:
                assert_never(never)

    def _task_of(self, values: Sequence[Any], count: int) -> Task | None:
        """The task, as far as the outputs have the shapes of it."""
        if self.task is Task.REGRESSION:
            return self.task if _width(values[0], count) == 1 else None
        if self.task is Task.CLASSIFICATION:
            has_labels = len(values) == 1 or _width(values[0], count) == 1
            is_map = not isinstance(values[-1], np.ndarray)
            has_scores = is_map or _width(values[-1], count) == len(self.classes or ())
            return self.task if has_labels and has_scores else None
        return None

    def _labels(self, values: Sequence[Any], count: int) -> list[str]:
        """The labels; by the highest score if the model gives none, by place if they are places."""
        names = self.classes or ()
        if len(values) == 1:
            places = values[0][:count].reshape(count, -1).argmax(axis=1).tolist()
            return [names[place] for place in places]
        renamed = self._renamed(values[0])
        return [renamed.get(label, label) for label in _texts(values[0], count)]

    def _renamed(self, labels: Any) -> dict[str, str]:
        """What the model's labels are called instead; by the model alone, whatever labels a batch has."""
        if not self.are_named or self.classes is None:
            return {}
        if self.own is not None:
            return dict(zip(self.own, self.classes, strict=True))
        is_place = isinstance(labels, np.ndarray) and labels.dtype.kind in "iu"
        return {str(place): name for place, name in enumerate(self.classes)} if is_place else {}

    def _written(self, values: Sequence[Any], count: int) -> list[Any] | None:
        task = self._task_of(values, count)
        if task is Task.REGRESSION:
            return prediction_structs.values(_singles(values[0], count))
        if task is Task.CLASSIFICATION and isinstance(values[-1], np.ndarray):
            scores = values[-1][:count].reshape(count, -1)
            return prediction_structs.labelled(self._labels(values, count), scores, self.classes or ())
        return None

    def _labelled(self, labels: list[str], scores: Any, count: int, renamed: Mapping[str, str]) -> list[Any]:
        if not isinstance(scores, np.ndarray):
            by_row = [
                {renamed.get(name, name): score for name, score in row.items()}
                for row in _by_row(scores, count)
            ]
        else:
            names = self.classes or ()
            by_row = [
                dict(zip(names, row, strict=True)) for row in scores[:count].reshape(count, -1).tolist()
            ]
        return [
            {"label": label, "score": row[label], "scores": row} if label in row else _unknown(label)
            for label, row in zip(labels, by_row, strict=True)
        ]


def _unknown(label: str) -> RowError:
    return RowError("unknown_label", f"the model gives the label {label[:100]!r}, and no score for it")


_NO_NUMBER: Final = RowError(NOT_A_NUMBER, "the model gives no number for this row")


def outputs(told: Sequence[Any], model: onnx.ModelProto) -> Outputs:
    """The outputs of a model, as ONNX Runtime tells of them. Raises BrokenModel."""
    named = _named_classes(model)
    for output in told:
        if not output.type.startswith(("tensor(", "seq(map(")):
            raise BrokenModel(f"its output {output.name!r} is a {output.type}, which is no prediction")
    names = tuple(output.name for output in told)
    if _is_classifier(told):
        own = _classes(model)
        if named is not None and own is not None and len(own) != len(named):
            said = f"{len(named)} classes are named for it, but it has scores of another number: {len(own)}"
            raise BrokenModel(said)
        classes = named or own
        if classes is not None or told[1].type.startswith("seq(map("):
            return Outputs(names, Task.CLASSIFICATION, classes, are_named=named is not None, own=own)
        return Outputs(names, None, None)
    if named is not None and len(told) == 1 and told[0].type in _FLOATS and len(told[0].shape) == 2:
        return Outputs(names, Task.CLASSIFICATION, named, are_named=True)
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


def _named_classes(model: onnx.ModelProto) -> tuple[str, ...] | None:
    """Those that the metadata names; the last member of that name counts."""
    written = {entry.key: entry.value for entry in model.metadata_props}.get(CLASSES)
    if written is None:
        return None
    try:
        names = json.loads(written)
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str | int) for name in names):
        raise BrokenModel(f"the {CLASSES} in its metadata are no JSON list of texts")
    texts = _as_texts(names)
    if len(set(texts)) != len(texts) or len(texts) < 2:
        raise BrokenModel(f"the {CLASSES} in its metadata are not two or more, each once")
    return texts


def _classes(model: onnx.ModelProto) -> tuple[str, ...] | None:
    """Those of the operator that the labels come from; else those that the model has, if it has but some."""
    made_by = {name: node for node in model.graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    name = model.graph.output[0].name
    for _ in range(len(model.graph.node)):
        node = made_by.get(name)
        if node is None or not node.input:
            break
        if node.op_type == "ArrayFeatureExtractor" and node.input[0] in constants:
            return _as_texts(numpy_helper.to_array(constants[node.input[0]]).reshape(-1).tolist())
        if node.op_type not in _SAME:
            if (found := _classes_of(node)) is not None:
                return found
            break
        name = node.input[0]
    known = {found for node in model.graph.node if (found := _classes_of(node)) is not None}
    return known.pop() if len(known) == 1 else None


def _classes_of(node: onnx.NodeProto) -> tuple[str, ...] | None:
    for attribute in node.attribute:
        labels: Sequence[Any] = attribute.strings or attribute.ints
        if attribute.name in _CLASSES and labels:
            return _as_texts(labels)
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


def _width(value: Any, count: int) -> int:
    """How many values an output has for a row."""
    return int(value[:count].size // max(count, 1))


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
