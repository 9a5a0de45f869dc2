"""Detects the runtime of a model file from its content, without loading it.

This is a first check; the full inspection runs in a sandboxed child of a worker. Formats that can run code
when they are loaded are rejected here, with advice on what to use instead.
"""

import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO, Final

from app.core.plugins import ExtensionPoint
from app.models import builtin
from app.models.errors import BrokenModel, UnsafeModel

SKLEARN: Final = "sklearn"
ONNX: Final = "onnx"

MAX_DIRECTORY_BYTES: Final = 4 * 1024 * 1024
MAX_INFLATED_BYTES: Final = 4 * 1024 * 1024 * 1024
MAX_RATIO: Final = 200
FREE_BYTES: Final = 64 * 1024 * 1024
"""A file may decompress to MAX_RATIO times its size, or to this size."""

INSTEAD: Final = "Save the model with skops.io.dump, or export it to ONNX."

_HEAD_BYTES: Final = 64
_SKOPS_SCHEMA: Final = "schema.json"

# First bytes of unsafe formats.
_UNSAFE: Final = (
    (b"\x80", "a Python pickle (pickle, joblib or PyTorch)"),
    (b"\x93NUMPY", "a NumPy file, which may hold a pickle"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes it"),
    (b"\x1f\x8b", "compressed, as joblib writes pickles"),
    (b"\x78\x01", "compressed, as joblib writes pickles"),
    (b"\x78\x5e", "compressed, as joblib writes pickles"),
    (b"\x78\x9c", "compressed, as joblib writes pickles"),
    (b"\x78\xda", "compressed, as joblib writes pickles"),
    (b"BZh", "compressed, as joblib writes pickles"),
    (b"\xfd7zXZ\x00", "compressed, as joblib writes pickles"),
    (b"\x5d\x00\x00", "compressed, as joblib writes pickles"),
    (b"\x04\x22\x4d\x18", "compressed, as joblib writes pickles"),
)
# First bytes of pickles of the text protocols; they all end in a full stop.
_TEXT_PICKLE: Final = frozenset(b"(]}cINSVFLld")

_BAD_DIRECTORY: Final = (
    zipfile.BadZipFile,  # its structure
    UnicodeDecodeError,  # a name that is not UTF-8
    RuntimeError,  # a later version of the format than zipfile reads
)
"""The errors of `zipfile` for a damaged directory. They have no common base class."""

_END_OF_DIRECTORY: Final = struct.Struct("<4s4H2LH")
_ZIP64_LOCATOR_BYTES: Final = 20

# The fields of onnx.ModelProto with their wire types: 0 is a varint, 2 is length-delimited.
_ONNX_FIELDS: Final = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
_IR_VERSION: Final = 1
_GRAPH: Final = 7
_MAX_FIELDS: Final = 100_000
_NUMBER: Final = 0


@dataclass(frozen=True)
class FileFormat:
    """A format of model files that a plugin adds.

    `matches` recognises a file by its first 64 bytes. It is called only for files that are in no built-in
    format and do not look like a pickle or a container of pickles. `suffix` ends the names of downloads.
    """

    runtime: str
    suffix: str
    matches: Callable[[bytes], bool]


FORMATS: Final = ExtensionPoint[FileFormat](
    "formats", "file format", lambda value: isinstance(value, FileFormat), name_of=attrgetter("runtime")
)

_SUFFIXES: Final = {SKLEARN: "skops", ONNX: "onnx"}


def load(plugins: Iterable[str]) -> dict[str, FileFormat]:
    """Return the formats that plugins add, by runtime. Raises ConfigurationError if a plugin is wrong."""
    return FORMATS.load(plugins, taken={*_SUFFIXES, builtin.SENTIMENT.runtime})


def suffix(runtime: str, added: Mapping[str, FileFormat]) -> str:
    """Return how the name of a downloaded model file ends."""
    if runtime in added:
        return added[runtime].suffix
    return _SUFFIXES.get(runtime, "bin")


def runtime_of(path: Path, added: Iterable[FileFormat] = ()) -> str:
    """Return the runtime that a file is for. Raises UnsafeModel, BrokenModel."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        if not head:
            raise BrokenModel(reason="It is empty.")
        if head.startswith(b"PK"):
            _check_zip(file, path.stat().st_size)
            return SKLEARN
        for beginning, what in _UNSAFE:
            if head.startswith(beginning):
                raise _unsafe(what)
        if _is_onnx(file, path.stat().st_size):
            return ONNX
        if head[0] in _TEXT_PICKLE and _last_byte(file) == b".":
            raise _unsafe("a Python pickle of an old protocol")
        for file_format in added:
            if file_format.matches(head):
                return file_format.runtime
    raise BrokenModel(reason="It is neither a skops file nor an ONNX model.")


def zip_members(file: BinaryIO, size: int) -> list[zipfile.ZipInfo]:
    """Return the members of a zip archive of `size` bytes. Raises BrokenModel."""
    _check_end(file, size)
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.infolist()
    except _BAD_DIRECTORY as error:
        raise BrokenModel(reason=f"Its zip archive is damaged: {error}.") from None


def ensure_inflates_little(members: Iterable[zipfile.ZipInfo], size: int) -> None:
    """Raise BrokenModel if members of an archive of `size` bytes would decompress to far more than that."""
    # zipfile never reads more of a member than its declared size, so the sum is an upper bound.
    inflated = sum(member.file_size for member in members)
    if inflated > min(MAX_INFLATED_BYTES, max(FREE_BYTES, MAX_RATIO * size)):
        raise BrokenModel(reason=f"It would decompress from {size} to {inflated} bytes.")


def _check_zip(file: BinaryIO, size: int) -> None:
    members = zip_members(file, size)
    names = {member.filename for member in members}
    if _SKOPS_SCHEMA not in names:
        if any(name.endswith((".pkl", "/data.pkl")) for name in names):
            raise _unsafe("a zip archive with a Python pickle in it, as PyTorch writes it")
        if any(name.endswith((".npy", ".npz")) for name in names):
            raise _unsafe("a NumPy archive, which may hold a pickle")
        if any(name.endswith((".h5", ".hdf5")) for name in names):
            raise _unsafe("a Keras archive, which may hold code")
        raise BrokenModel(reason=f"It is a zip archive without a {_SKOPS_SCHEMA}, so it is not a skops file.")
    ensure_inflates_little(members, size)


def _check_end(file: BinaryIO, size: int) -> None:
    """Check the end record before `zipfile` reads the whole directory, which may be as large as the file."""
    file.seek(max(0, size - _END_OF_DIRECTORY.size - _ZIP64_LOCATOR_BYTES))
    tail = file.read()
    if len(tail) < _END_OF_DIRECTORY.size:
        raise BrokenModel(reason="Its zip archive is cut off.")
    signature, _, _, _, _, directory_bytes, _, comment_bytes = _END_OF_DIRECTORY.unpack(
        tail[-_END_OF_DIRECTORY.size :]
    )
    if signature != b"PK\x05\x06" or comment_bytes:
        raise BrokenModel(reason="Its zip archive is cut off, or something follows it.")
    if tail.startswith(b"PK\x06\x07"):
        raise BrokenModel(reason="Its zip archive has more members than a model needs.")
    if directory_bytes > MAX_DIRECTORY_BYTES:
        raise BrokenModel(reason=f"The list of members of its zip archive has {directory_bytes} bytes.")


def _is_onnx(file: BinaryIO, size: int) -> bool:
    """Whether the top-level fields are those of an ONNX model and fill the file exactly."""
    found = set()
    try:
        for number in _fields(file, size):
            found.add(number)
    except ValueError:
        return False
    return {_IR_VERSION, _GRAPH} <= found


def _fields(file: BinaryIO, size: int) -> Iterator[int]:
    """The numbers of the top-level fields. Raises ValueError if the file is not an ONNX model."""
    file.seek(0)
    position = 0
    for _ in range(_MAX_FIELDS):
        if position == size:
            return
        key, position = _varint(file, position)
        number, wire_type = key >> 3, key & 7
        if _ONNX_FIELDS.get(number) != wire_type:
            raise ValueError(number)
        value, position = _varint(file, position)
        if wire_type != _NUMBER:
            position += value
            file.seek(position)
        if position > size:
            raise ValueError(number)
        yield number
    raise ValueError


def _varint(file: BinaryIO, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            break
        position += 1
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value, position
    raise ValueError(position)


def _last_byte(file: BinaryIO) -> bytes:
    file.seek(-1, 2)
    return file.read(1)


def _unsafe(what: str) -> UnsafeModel:
    return UnsafeModel(reason=f"It is {what}, and loading it can run any code. {INSTEAD}")
