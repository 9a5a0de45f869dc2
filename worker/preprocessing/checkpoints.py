"""Checkpoints of a preprocess job: the state of its steps and the rows of its outputs, in an archive."""

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
import numpy as np

STATE: Final = "state"


class BrokenCheckpoint(Exception):
    """The archive is not one that this version writes."""


def write(path: Path, state: Mapping[str, Any], files: Iterable[Path]) -> None:
    """Write an archive with a state, in which arrays may occur at any depth, and copies of files."""
    arrays: list[np.ndarray[Any, Any]] = []
    plain = msgspec.msgpack.encode(_without_arrays(state, arrays))
    with tarfile.open(path, "w") as archive:
        _add(archive, STATE, plain)
        for index, array in enumerate(arrays):
            content = io.BytesIO()
            np.save(content, array, allow_pickle=False)
            _add(archive, f"{STATE}-{index}", content.getbuffer())
        for file in files:
            if file.exists():
                archive.add(file, file.name)


def read(source: BinaryIO, folder: Path) -> dict[str, Any]:
    """Return the state of an archive, and extract its files into a folder. Raises BrokenCheckpoint."""
    arrays: list[np.ndarray[Any, Any]] = []
    plain = b""
    try:
        with tarfile.open(fileobj=source, mode="r:") as archive:
            for member in archive:
                content = archive.extractfile(member)
                if member.name == STATE and content is not None:
                    plain = content.read()
                elif member.name.startswith(STATE) and content is not None:
                    arrays.append(np.load(io.BytesIO(content.read()), allow_pickle=False))
                else:
                    archive.extract(member, folder, filter="data")
        state = msgspec.msgpack.decode(plain)
    except (tarfile.TarError, msgspec.DecodeError, ValueError) as error:
        raise BrokenCheckpoint(str(error)) from error
    restored: dict[str, Any] = _with_arrays(state, arrays)
    return restored


def _add(archive: tarfile.TarFile, name: str, content: bytes | memoryview) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def _without_arrays(value: Any, arrays: list[np.ndarray[Any, Any]]) -> Any:
    """Return a value with each array replaced by its number in the list, to which it is added."""
    match value:
        case np.ndarray():
            arrays.append(value)
            return msgspec.msgpack.Ext(1, str(len(arrays) - 1).encode())
        case Mapping():
            return {name: _without_arrays(inner, arrays) for name, inner in value.items()}
        case list() | tuple():
            return [_without_arrays(inner, arrays) for inner in value]
        case _:
            return value


def _with_arrays(value: Any, arrays: list[np.ndarray[Any, Any]]) -> Any:
    match value:
        case msgspec.msgpack.Ext():
            return arrays[int(bytes(value.data))]
        case dict():
            return {name: _with_arrays(inner, arrays) for name, inner in value.items()}
        case list():
            return [_with_arrays(inner, arrays) for inner in value]
        case _:
            return value
