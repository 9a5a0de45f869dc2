"""Check an ONNX file before ONNX Runtime loads it. Every file is treated as a malicious upload.

ONNX Runtime opens other files for tensors marked as "external", and loads operators of unknown domains from
libraries. A model in a single file needs neither, so both are refused. The rest must conform to the ONNX
specification.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import onnx
from google.protobuf.message import DecodeError, Message
from onnx.checker import ValidationError

from worker.runtimes.onnx.operators import check_inputs
from worker.runtimes.onnx.trees import check_trees
from worker.runtimes.runtime import BrokenModel, UnsafeModel

DOMAINS: Final = frozenset({"", "ai.onnx", "ai.onnx.ml"})
"""The operator domains of the ONNX specification. Operators of other domains are refused."""

MAX_BYTES: Final = 1024 * 1024 * 1024
MAX_NODES: Final = 100_000
MAX_TEXT_CHARACTERS: Final = 200


def read(path: Path, *, max_nodes: int = MAX_NODES) -> onnx.ModelProto:
    """Parse and check a file, without reading any file that it refers to. Raises UnsafeModel, BrokenModel."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise BrokenModel(f"the file has {size} bytes; the limit is {MAX_BYTES}")
    try:
        model = onnx.load_model(path, format="protobuf", load_external_data=False)
    except (DecodeError, ValueError, RecursionError) as error:
        raise BrokenModel(f"the file is not an ONNX model: {error}") from None
    if unsafe := sorted(set(_find_unsafe(model, max_nodes))):
        raise UnsafeModel(unsafe)
    try:
        onnx.checker.check_model(model)
    except (ValidationError, ValueError, RuntimeError) as error:
        raise BrokenModel(f"the file is not a valid ONNX model: {first_line(error)}") from None
    versions = {
        "" if entry.domain == "ai.onnx" else entry.domain: entry.version for entry in model.opset_import
    }
    for message in _walk(model):
        if isinstance(message, onnx.NodeProto):
            check_inputs(message, versions)
            check_trees(message)
    return model


def _find_unsafe(model: onnx.ModelProto, max_nodes: int) -> Iterator[str]:
    """Yield descriptions of what is refused. Raises BrokenModel if the model has too many nodes."""
    nodes = 0
    for message in _walk(model):
        match message:
            case onnx.TensorProto() if _is_external(message):
                yield f"external data {_location(message)}"
            case onnx.NodeProto():
                nodes += 1
                if nodes > max_nodes:
                    raise BrokenModel(f"the model has more than {max_nodes} nodes")
                if message.domain not in DOMAINS:
                    yield f"operator {truncate(message.domain)}.{truncate(message.op_type)}"
            case onnx.FunctionProto():
                # Functions that call others twice expand exponentially, beyond any limit on nodes.
                yield f"function {truncate(message.domain)}.{truncate(message.name)}"


def _walk(message: Message) -> Iterator[Message]:
    """Yield a message and all messages nested in it, since any of them may hold a tensor."""
    pending = [message]
    while pending:
        current = pending.pop()
        yield current
        for field, value in current.ListFields():
            if field.message_type is None:
                continue
            pending += [value] if isinstance(value, Message) else value


def _is_external(tensor: onnx.TensorProto) -> bool:
    return tensor.data_location != onnx.TensorProto.DEFAULT or bool(tensor.external_data)


def _location(tensor: onnx.TensorProto) -> str:
    entries: dict[str, Any] = {entry.key: entry.value for entry in tensor.external_data}
    return repr(truncate(entries.get("location", "")))


def truncate(text: str) -> str:
    """Cut a text from a file to a length that fits into a message."""
    return text if len(text) <= MAX_TEXT_CHARACTERS else f"{text[:MAX_TEXT_CHARACTERS]}…"


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, which leaves out the C++ stack."""
    lines = str(error).strip().splitlines()
    return truncate(lines[0]) if lines else type(error).__name__
