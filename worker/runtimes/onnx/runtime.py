"""ONNX models, run by ONNX Runtime on the processor: what most frameworks can be exported to."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import onnx
import onnxruntime as ort

from app.jobs.params import ModelReference
from app.models.versions import InputColumn
from worker.context import JobError
from worker.runtimes import probing
from worker.runtimes.onnx import file as onnx_file
from worker.runtimes.onnx.inputs import Array, Inputs
from worker.runtimes.onnx.outputs import Outputs, outputs
from worker.runtimes.runtime import BrokenModel, Signature

FATAL: Final = 4
"""ONNX Runtime says what is wrong in its exceptions too; on stderr it would only repeat it."""

ort.set_default_logger_severity(FATAL)


class OnnxRuntime:
    """Loads models that are one file and use the operators of the specification only."""

    def load(self, reference: ModelReference, path: Path | None) -> "OnnxModel":
        """Load a model from its file. Raises UnsafeModel, BrokenModel."""
        if path is None:
            raise BrokenModel(f"{reference.name} has no file")
        return _open(path)

    def inspect(self, path: Path) -> Signature:
        """What a file says of itself. Raises UnsafeModel, BrokenModel."""
        model = _open(path)
        told = model.signature
        said = probing.prediction_of(model, model.examples())
        if said is None:  # it takes other rows than those that were tried
            return told
        task = probing.task_of(said)
        if told.classes is not None and task is None and model.outputs.are_named:
            names = len(told.classes)
            raise BrokenModel(f"{names} classes are named for it, but it has scores of another number")
        return msgspec.structs.replace(told, task=task, classes=None if task is None else told.classes)


class OnnxModel:
    """A model in a session of ONNX Runtime.

    A prediction is `{"label", "score", "scores"}` of a classifier, `{"value"}` of a regressor, and
    `{"outputs": {name: value}}` of anything else.
    """

    def __init__(
        self, session: ort.InferenceSession, inputs: Inputs, outputs: Outputs, versions: dict[str, str]
    ) -> None:
        self._session = session
        self._inputs = inputs
        self.outputs = outputs
        self._versions = versions

    @property
    def signature(self) -> Signature:
        """What the model takes and gives."""
        columns = self._inputs.columns
        return Signature(
            task=self.outputs.task,
            columns=None
            if columns is None
            else tuple(InputColumn(name, "text" if is_text else "number") for name, is_text in columns),
            classes=self.outputs.classes,
            library_versions=self._versions,
        )

    def examples(self) -> Iterator[Any]:
        """Rows to try it with; none if it takes rows of any length, which are not to be guessed."""
        return self._inputs.examples()

    def predict(self, rows: Sequence[Any]) -> list[Any]:
        """One prediction, or a RowError, for each row. Raises JobError `prediction_failed`."""
        return self._for_each(rows, are_only_written=False)

    def predict_to_write(self, rows: Sequence[Any]) -> list[Any]:
        """As `predict`, for those who only write it down."""
        return self._for_each(rows, are_only_written=True)

    def _for_each(self, rows: Sequence[Any], *, are_only_written: bool) -> list[Any]:
        results: list[Any] = [None] * len(rows)
        for places, feed in self._inputs.feeds(rows, results) if rows else ():
            for first, part, count in _parts(feed, len(places), self._inputs.rows_at_a_time):
                said = self.outputs.predictions(self._run(part), count, are_only_written=are_only_written)
                if count == len(rows):
                    return said
                for place, prediction in zip(places[first : first + count], said, strict=True):
                    results[place] = prediction
        return results

    def _run(self, feed: dict[str, Array]) -> list[Any]:
        try:
            given: list[Any] = self._session.run(list(self.outputs.names), feed)
        except Exception as error:  # its exceptions have no base of their own
            raise JobError(
                "prediction_failed", f"The model failed: {_told(error)}", is_retryable=False
            ) from error
        return given


def _open(path: Path) -> OnnxModel:
    model = onnx_file.read(path)
    try:
        session = ort.InferenceSession(str(path), _options(), providers=["CPUExecutionProvider"])
    except MemoryError:
        raise
    except Exception as error:  # its exceptions have no base of their own
        raise BrokenModel(f"ONNX Runtime does not load it: {_told(error)}") from None
    told = session.get_inputs()
    if not told:
        raise BrokenModel("it has no inputs")
    metadata = dict(session.get_modelmeta().custom_metadata_map)
    return OnnxModel(session, Inputs(told, metadata), outputs(session.get_outputs(), model), _versions(model))


def _options() -> ort.SessionOptions:
    """One thread: a slot is meant to be one core. And what is written to disk, nobody would look for.

    Strict inference of shapes is not asked for, nor by onnx' full check: skl2onnx itself declares one column
    for a model of several targets.
    """
    options = ort.SessionOptions()
    options.enable_profiling = False
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = FATAL
    # What was looked at is a protobuf; it must not be read as anything else.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.add_session_config_entry("session.allow_released_opsets_only", "1")
    return options


def _versions(model: onnx.ModelProto) -> dict[str, str]:
    """What the file was made with, and what it needs."""
    opsets = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    versions = {f"opset {domain}": str(version) for domain, version in opsets.items()}
    if model.producer_name:
        versions[onnx_file.shown(model.producer_name)] = onnx_file.shown(model.producer_version)
    return versions


def _parts(
    feed: dict[str, Array], count: int, rows_at_a_time: int | None
) -> Iterator[tuple[int, dict[str, Array], int]]:
    """The tensors in pieces of as many rows as the model takes; the last one is filled with its last row."""
    if rows_at_a_time is None:
        yield 0, feed, count
        return
    for first in range(0, count, rows_at_a_time):
        there = min(rows_at_a_time, count - first)
        places = np.minimum(np.arange(first, first + rows_at_a_time), first + there - 1)
        yield first, {name: array[places] for name, array in feed.items()}, there


def _told(error: Exception) -> str:
    return onnx_file.first_line(error)
