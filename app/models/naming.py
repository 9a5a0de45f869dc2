"""Names the classes of an ONNX model in its own file, so that they go wherever the file goes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

CLASSES: Final = "classes"

# onnx.ModelProto.metadata_props, a repeated field, of which one more may follow at the end of the message;
# and the key and the value of onnx.StringStringEntryProto.
_METADATA: Final = 14
_KEY: Final = 1
_VALUE: Final = 2
_BYTES: Final = 2


def name_classes(path: Path, classes: Sequence[str]) -> None:
    """Append the classes to the metadata of a model; the last member of that name counts."""
    written = json.dumps(list(classes), ensure_ascii=False)
    entry = _field(_KEY, CLASSES.encode()) + _field(_VALUE, written.encode())
    with path.open("ab") as file:
        file.write(_field(_METADATA, entry))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Seven bits in each byte, the lowest first; the highest bit of a byte says that more follow."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
