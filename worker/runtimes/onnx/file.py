"""A look into an ONNX file before anything runs it. All of it is somebody's upload until proven otherwise.

ONNX Runtime follows what a file says: it opens other files for tensors that are "external", and looks for
operators of other domains in libraries. Neither is needed by a model that is one file, so neither is let
through, and what is left must be what the ONNX specification describes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import onnx
from google.protobuf.message import DecodeError, Message
from onnx.checker import ValidationError

from worker.runtimes.onnx.operators import ensure_inputs
from worker.runtimes.onnx.trees import ensure_trees
from worker.runtimes.runtime import BrokenModel, UnsafeModel

DOMAINS: Final = frozenset({"", "ai.onnx", "ai.onnx.ml"})
"""Whose operators may be used: those of the specification."""

MAX_BYTES: Final = 1024 * 1024 * 1024
MAX_NODES: Final = 100_000
MAX_SHOWN_CHARACTERS: Final = 200


def read(path: Path, *, max_nodes: int = MAX_NODES) -> onnx.ModelProto:
    """The model in a file, without what other files may hold. Raises UnsafeModel, BrokenModel."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise BrokenModel(f"the file has {size} bytes, more than {MAX_BYTES}")
    try:
        model = onnx.load_model(path, format="protobuf", load_external_data=False)
    except (DecodeError, ValueError, RecursionError) as error:
        raise BrokenModel(f"the file is no ONNX model: {error}") from None
    if refused := sorted(set(_refused(model, max_nodes))):
        raise UnsafeModel(refused)
    try:
        onnx.checker.check_model(model)
    except (ValidationError, ValueError, RuntimeError) as error:
        raise BrokenModel(f"the file is no valid ONNX model: {first_line(error)}") from None
    versions = {
        "" if entry.domain == "ai.onnx" else entry.domain: entry.version for entry in model.opset_import
    }
    for part in _parts(model):
        if isinstance(part, onnx.NodeProto):
            ensure_inputs(part, versions)
            ensure_trees(part)
    return model


def _refused(model: onnx.ModelProto, max_nodes: int) -> Iterator[str]:
    """What the model asks for and does not get. Raises BrokenModel if it is too large to go through."""
    nodes = 0
    for part in _parts(model):
        match part:
            case onnx.TensorProto() if _is_external(part):
                yield f"external data {_location(part)}"
            case onnx.NodeProto():
                nodes += 1
                if nodes > max_nodes:
                    raise BrokenModel(f"the model has more than {max_nodes} nodes")
                if part.domain not in DOMAINS:
                    yield f"operator {shown(part.domain)}.{shown(part.op_type)}"
            case onnx.FunctionProto():
                # Each may call another twice: a few of them are as many nodes as anybody likes.
                yield f"function {shown(part.domain)}.{shown(part.name)}"


def _parts(message: Message) -> Iterator[Message]:
    """A message and all that are in it: nobody has to remember where a tensor may hide."""
    waiting = [message]
    while waiting:
        part = waiting.pop()
        yield part
        for field, value in part.ListFields():
            if field.message_type is None:
                continue
            waiting += [value] if isinstance(value, Message) else value


def _is_external(tensor: onnx.TensorProto) -> bool:
    return tensor.data_location != onnx.TensorProto.DEFAULT or bool(tensor.external_data)


def _location(tensor: onnx.TensorProto) -> str:
    named: dict[str, Any] = {entry.key: entry.value for entry in tensor.external_data}
    return repr(shown(named.get("location", "")))


def shown(text: str) -> str:
    """The beginning of a text that a file has in it, for a message."""
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}…"


def first_line(error: Exception) -> str:
    """What an exception says, without its stack."""
    lines = str(error).strip().splitlines()
    return shown(lines[0]) if lines else type(error).__name__
