"""Convert the output tensors of an ONNX model to predictions: labels with scores, values, or the raw outputs.

An ONNX file does not say that it is a classifier. But the converters of scikit-learn, XGBoost and others
give a classifier two outputs: the label of each row, and the scores, either as a map by class (ZipMap) or
as a matrix. The classes of a matrix come from the operator that computes the labels, or from the file's
metadata: `classes`, a JSON list. A matrix without known classes may hold anything, like the distances of a
KMeans, so its outputs stay raw.
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
"""The metadata key of a file that may hold its class names: a JSON list of texts."""

_LABEL_TYPES: Final = frozenset({"tensor(int64)", "tensor(int32)", "tensor(string)"})
_FLOAT_TYPES: Final = frozenset({"tensor(float)", "tensor(double)", "tensor(float16)"})
_RESHAPING: Final = frozenset({"Cast", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze"})
"""Operators that pass labels on, in another type or shape."""

_CLASS_ATTRIBUTES: Final = frozenset({"classlabels_strings", "classlabels_ints", "classlabels_int64s"})

_NO_NUMBER: Final = RowError(NOT_A_NUMBER, "the model returned NaN or infinity for this row")


@dataclass(frozen=True)
class Outputs:
    """The outputs of a model and their meaning. `classes` are in the order of the scores.

    ONNX Runtime does not enforce declared shapes. Where an output has another number of values per row than
    the task requires, the raw outputs are returned.

    `are_named` means that `classes` come from the metadata and replace the classes that the model itself has,
    `model_classes`, in the same order. Without `model_classes`, integer labels are indices into `classes`.
    """

    names: tuple[str, ...]
    task: Task | None
    classes: tuple[str, ...] | None
    are_named: bool = False
    model_classes: tuple[str, ...] | None = None

    def predictions(self, values: Sequence[Any], count: int, *, may_be_structs: bool = False) -> list[Any]:
        """Return the prediction of each of the first `count` rows; a RowError for NaN or infinity.

        They may be structs instead of dicts: see `worker.runtimes.prediction_structs`. Raises JobError
        `wrong_prediction_count` and `prediction_failed`.
        """
        for value in values:
            _check_count(value, count)
        try:
            predictions = self._to_structs(values, count) if may_be_structs else None
            predictions = self._to_dicts(values, count) if predictions is None else predictions
            are_numbers = np.logical_and.reduce([_are_finite(value, count) for value in values])
        except (IndexError, ValueError, TypeError, AttributeError) as error:
            # Caused by outputs of other shapes than the file declares, which ONNX Runtime does not check.
            raise JobError(
                "prediction_failed",
                "the outputs of the model have other shapes than the file declares",
                is_retryable=False,
            ) from error
        if are_numbers.all():
            return predictions
        return [
            prediction if is_number else _NO_NUMBER
            for prediction, is_number in zip(predictions, are_numbers.tolist(), strict=True)
        ]

    def _to_dicts(self, values: Sequence[Any], count: int) -> list[Any]:
        match self._actual_task(values, count):
            case Task.CLASSIFICATION:
                renames = self._renames(values[0])
                return self._label_dicts(self._labels(values, count), values[-1], count, renames)
            case Task.REGRESSION:
                return [{"value": value} for value in _scalars(values[0], count)]
            case None:
                rows = zip(*(_by_row(value, count) for value in values), strict=True)
                return [{"outputs": dict(zip(self.names, row, strict=True))} for row in rows]
            case never:
                assert_never(never)

    def _actual_task(self, values: Sequence[Any], count: int) -> Task | None:
        """Return the task if the outputs have the shapes that it requires, else None."""
        if self.task is Task.REGRESSION:
            return self.task if _width(values[0], count) == 1 else None
        if self.task is Task.CLASSIFICATION:
            has_labels = len(values) == 1 or _width(values[0], count) == 1
            is_map = not isinstance(values[-1], np.ndarray)
            has_scores = is_map or _width(values[-1], count) == len(self.classes or ())
            return self.task if has_labels and has_scores else None
        return None

    def _labels(self, values: Sequence[Any], count: int) -> list[str]:
        """Return the labels, renamed; those of the highest scores if the model has scores only."""
        names = self.classes or ()
        if len(values) == 1:
            indices = values[0][:count].reshape(count, -1).argmax(axis=1).tolist()
            return [names[index] for index in indices]
        renames = self._renames(values[0])
        return [renames.get(label, label) for label in _label_texts(values[0], count)]

    def _renames(self, labels: Any) -> dict[str, str]:
        """Return the class name for each label of the model, by the type of the labels only."""
        if not self.are_named or self.classes is None:
            return {}
        if self.model_classes is not None:
            return dict(zip(self.model_classes, self.classes, strict=True))
        is_index = isinstance(labels, np.ndarray) and labels.dtype.kind in "iu"
        return {str(index): name for index, name in enumerate(self.classes)} if is_index else {}

    def _to_structs(self, values: Sequence[Any], count: int) -> list[Any] | None:
        task = self._actual_task(values, count)
        if task is Task.REGRESSION:
            return prediction_structs.value_predictions(_scalars(values[0], count))
        if task is Task.CLASSIFICATION and isinstance(values[-1], np.ndarray):
            scores = values[-1][:count].reshape(count, -1)
            labels = self._labels(values, count)
            return prediction_structs.label_predictions(labels, scores, self.classes or ())
        return None

    def _label_dicts(
        self, labels: list[str], scores: Any, count: int, renames: Mapping[str, str]
    ) -> list[Any]:
        if not isinstance(scores, np.ndarray):
            scores_by_row = [
                {renames.get(name, name): score for name, score in row.items()}
                for row in _by_row(scores, count)
            ]
        else:
            names = self.classes or ()
            scores_by_row = [
                dict(zip(names, row, strict=True)) for row in scores[:count].reshape(count, -1).tolist()
            ]
        return [
            {"label": label, "score": row[label], "scores": row} if label in row else _unknown_label(label)
            for label, row in zip(labels, scores_by_row, strict=True)
        ]


def _unknown_label(label: str) -> RowError:
    return RowError("unknown_label", f"the model returned the label {label[:100]!r} without a score for it")


def parse_outputs(outputs: Sequence[Any], model: onnx.ModelProto) -> Outputs:
    """Interpret the outputs of a model, as ONNX Runtime describes them. Raises BrokenModel."""
    named = _classes_in_metadata(model)
    for output in outputs:
        if not output.type.startswith(("tensor(", "seq(map(")):
            raise BrokenModel(f"its output {output.name!r} has the unsupported type {output.type}")
    names = tuple(output.name for output in outputs)
    if _is_classifier(outputs):
        model_classes = _classes_in_graph(model)
        if named is not None and model_classes is not None and len(model_classes) != len(named):
            raise BrokenModel(f"it has {len(model_classes)} classes, but {len(named)} class names were given")
        classes = named or model_classes
        if classes is not None or outputs[1].type.startswith("seq(map("):
            return Outputs(
                names,
                Task.CLASSIFICATION,
                classes,
                are_named=named is not None,
                model_classes=model_classes,
            )
        return Outputs(names, None, None)
    is_single_float = len(outputs) == 1 and outputs[0].type in _FLOAT_TYPES
    if named is not None and is_single_float and len(outputs[0].shape) == 2:
        return Outputs(names, Task.CLASSIFICATION, named, are_named=True)
    if is_single_float and _has_one_value(outputs[0]):
        return Outputs(names, Task.REGRESSION, None)
    return Outputs(names, None, None)


def _is_classifier(outputs: Sequence[Any]) -> bool:
    if len(outputs) != 2 or outputs[0].type not in _LABEL_TYPES or not _has_one_value(outputs[0]):
        return False
    scores = outputs[1]
    return scores.type.startswith("seq(map(") or (scores.type in _FLOAT_TYPES and len(scores.shape) == 2)


def _has_one_value(output: Any) -> bool:
    return len(output.shape) == 1 or (len(output.shape) == 2 and output.shape[1] == 1)


def _classes_in_metadata(model: onnx.ModelProto) -> tuple[str, ...] | None:
    """Return the class names in the metadata. Of several entries, the last one counts."""
    content = {entry.key: entry.value for entry in model.metadata_props}.get(CLASSES)
    if content is None:
        return None
    try:
        names = json.loads(content)
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str | int) for name in names):
        raise BrokenModel(f"{CLASSES} in its metadata must be a JSON list of texts")
    texts = _to_labels(names)
    if len(set(texts)) != len(texts) or len(texts) < 2:
        raise BrokenModel(f"{CLASSES} in its metadata must be at least two different names")
    return texts


def _classes_in_graph(model: onnx.ModelProto) -> tuple[str, ...] | None:
    """Return the classes of the operator that computes the labels, else the only classes in the graph."""
    nodes_by_output = {name: node for node in model.graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    name = model.graph.output[0].name
    for _ in range(len(model.graph.node)):
        node = nodes_by_output.get(name)
        if node is None or not node.input:
            break
        if node.op_type == "ArrayFeatureExtractor" and node.input[0] in constants:
            return _to_labels(numpy_helper.to_array(constants[node.input[0]]).reshape(-1).tolist())
        if node.op_type not in _RESHAPING:
            if (classes := _classes_of_node(node)) is not None:
                return classes
            break
        name = node.input[0]
    candidates = {classes for node in model.graph.node if (classes := _classes_of_node(node)) is not None}
    return candidates.pop() if len(candidates) == 1 else None


def _classes_of_node(node: onnx.NodeProto) -> tuple[str, ...] | None:
    for attribute in node.attribute:
        labels: Sequence[Any] = attribute.strings or attribute.ints
        if attribute.name in _CLASS_ATTRIBUTES and labels:
            return _to_labels(labels)
    return None


def _to_labels(values: Sequence[Any]) -> tuple[str, ...]:
    return tuple(
        value.decode(errors="replace") if isinstance(value, bytes) else cells.to_label(value) or ""
        for value in values
    )


def _check_count(value: Any, count: int) -> None:
    rows = 0 if isinstance(value, np.ndarray) and not value.ndim else min(len(value), count)
    if rows != count:
        raise JobError(
            "wrong_prediction_count",
            f"the model returned {rows} predictions for {count} rows",
            is_retryable=False,
        )


def _by_row(value: Any, count: int) -> list[Any]:
    """Return an output as a JSON value for each row, without the rows that only filled a batch."""
    if isinstance(value, np.ndarray):
        rows: list[Any] = value[:count].tolist()
        return rows
    names = {name: cells.to_label(name) or "" for row in value[:count] for name in row}
    return [{names[name]: float(score) for name, score in row.items()} for row in value[:count]]


def _width(value: Any, count: int) -> int:
    """Return how many values an output has for each row."""
    return int(value[:count].size // max(count, 1))


def _scalars(value: Any, count: int) -> list[Any]:
    """Return an output with one value per row as a list."""
    scalars: list[Any] = value[:count].reshape(count, -1)[:, 0].tolist()
    return scalars


def _label_texts(labels: Any, count: int) -> list[str]:
    values = _scalars(labels, count)
    texts = {value: cells.to_label(value) or "" for value in set(values)}
    return [texts[value] for value in values]


def _are_finite(value: Any, count: int) -> npt.NDArray[np.bool_]:
    """Return for each row whether all its numbers in an output are finite."""
    if not isinstance(value, np.ndarray):
        return np.array([all(map(math.isfinite, row.values())) for row in value[:count]])
    if not issubclass(value.dtype.type, np.floating):
        return np.ones(count, dtype=np.bool_)
    return np.asarray(np.isfinite(value[:count].reshape(count, -1)).all(axis=1))
