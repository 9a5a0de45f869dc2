"""Writes the names of classes into an ONNX file, so that they stay with the model."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

CLASSES: Final = "classes"

# onnx.ModelProto.metadata_props, a repeated field, so that one more entry may follow at the end of the
# message; and the key and the value of onnx.StringStringEntryProto.
_METADATA: Final = 14
_KEY: Final = 1
_VALUE: Final = 2
_BYTES: Final = 2


def write(path: Path, classes: Sequence[str]) -> None:
    """Append the classes to the metadata of a model. The last entry with this key counts."""
    written = json.dumps(list(classes), ensure_ascii=False)
    entry = _field(_KEY, CLASSES.encode()) + _field(_VALUE, written.encode())
    with path.open("ab") as file:
        file.write(_field(_METADATA, entry))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """A protobuf varint: seven bits per byte, lowest first; the highest bit is set if more bytes follow."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
