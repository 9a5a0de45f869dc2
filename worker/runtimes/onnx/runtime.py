"""The ONNX runtime: loads ONNX models and runs them with ONNX Runtime, on the CPU unless ONNX_CUDA is set."""

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
from worker.runtimes.onnx import providers
from worker.runtimes.onnx.inputs import Inputs
from worker.runtimes.onnx.outputs import Outputs, parse_outputs
from worker.runtimes.onnx.tensor_input import Array
from worker.runtimes.runtime import BrokenModel, Signature

FATAL: Final = 4
"""The log level of ONNX Runtime. Its exceptions carry the same messages that it would log to stderr."""

ort.set_default_logger_severity(FATAL)


class OnnxRuntime:
    """Loads ONNX models that are a single file and use only operators of the ONNX specification."""

    def load(self, reference: ModelReference, path: Path | None) -> "OnnxModel":
        """Load a model from its file. Raises UnsafeModel, BrokenModel."""
        if path is None:
            raise BrokenModel(f"{reference.name} has no file")
        return _open(path)

    def inspect(self, path: Path) -> Signature:
        """Load an uploaded file, try it on example rows and return its signature.

        Raises UnsafeModel, BrokenModel.
        """
        model = _open(path)
        declared = model.signature
        prediction = probing.try_rows(model, model.examples())
        if prediction is None:  # the model accepts none of the example rows, but may accept others
            return declared
        task = probing.infer_task(prediction)
        if declared.classes is not None and task is None and model.outputs.are_named:
            raise BrokenModel(
                f"{len(declared.classes)} class names were given, but it returns another number of scores"
            )
        classes = None if task is None else declared.classes
        return msgspec.structs.replace(declared, task=task, classes=classes)


class OnnxModel:
    """A model in a session of ONNX Runtime.

    A prediction is `{"label", "score", "scores"}` from a classifier, `{"value"}` from a regressor, and
    `{"outputs": {name: value}}` from any other model.
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
        """The task, columns and classes that the file declares."""
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
        """Yield example rows; none if the model takes rows of any length."""
        return self._inputs.examples()

    def predict(self, rows: Sequence[Any]) -> list[Any]:
        """Return a prediction or a RowError for each row. Raises JobError `prediction_failed`."""
        return self._predict(rows, may_be_structs=False)

    def predict_to_write(self, rows: Sequence[Any]) -> list[Any]:
        """Like `predict`, but may return structs instead of dicts."""
        return self._predict(rows, may_be_structs=True)

    def _predict(self, rows: Sequence[Any], *, may_be_structs: bool) -> list[Any]:
        results: list[Any] = [None] * len(rows)
        for indices, feed in self._inputs.feeds(rows, results) if rows else ():
            for first, batch, count in _split(feed, len(indices), self._inputs.batch_size):
                predictions = self.outputs.predictions(self._run(batch), count, may_be_structs=may_be_structs)
                if count == len(rows):
                    return predictions
                for index, prediction in zip(indices[first : first + count], predictions, strict=True):
                    results[index] = prediction
        return results

    def _run(self, feed: dict[str, Array]) -> list[Any]:
        try:
            outputs: list[Any] = self._session.run(list(self.outputs.names), feed)
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            raise JobError(
                "prediction_failed", f"The model failed: {onnx_file.first_line(error)}", is_retryable=False
            ) from error
        return outputs


def _open(path: Path) -> OnnxModel:
    model = onnx_file.read(path)
    try:
        session = providers.open_session(path, _session_options())
    except (MemoryError, JobError):
        raise
    except Exception as error:  # ONNX Runtime's exceptions have no common base class
        raise BrokenModel(f"ONNX Runtime refuses it: {onnx_file.first_line(error)}") from None
    inputs = session.get_inputs()
    if not inputs:
        raise BrokenModel("it has no inputs")
    metadata = dict(session.get_modelmeta().custom_metadata_map)
    outputs = parse_outputs(session.get_outputs(), model)
    return OnnxModel(session, Inputs(inputs, metadata), outputs, _versions(model))


def _session_options() -> ort.SessionOptions:
    """Return options for one thread, since a slot is one core, and without profiling, which writes files.

    Strict shape inference stays off, here and in the ONNX checker, because skl2onnx itself declares one
    column for a model with several targets.
    """
    options = ort.SessionOptions()
    options.enable_profiling = False
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = FATAL
    # The checks parsed the file as a protobuf, so ONNX Runtime must not parse it as another format.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.add_session_config_entry("session.allow_released_opsets_only", "1")
    return options


def _versions(model: onnx.ModelProto) -> dict[str, str]:
    """Return the opsets that the file needs and the version of the library that produced it."""
    opsets = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    versions = {f"opset {domain}": str(version) for domain, version in opsets.items()}
    if model.producer_name:
        versions[onnx_file.truncate(model.producer_name)] = onnx_file.truncate(model.producer_version)
    return versions


def _split(
    feed: dict[str, Array], count: int, batch_size: int | None
) -> Iterator[tuple[int, dict[str, Array], int]]:
    """Yield the first row, the tensors and the row count of each batch; pads the last with its last row."""
    if batch_size is None:
        yield 0, feed, count
        return
    for first in range(0, count, batch_size):
        rows = min(batch_size, count - first)
        indices = np.minimum(np.arange(first, first + batch_size), first + rows - 1)
        yield first, {name: array[indices] for name, array in feed.items()}, rows
