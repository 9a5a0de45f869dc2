"""Writes a version as an MLflow model directory in a zip archive.

The model's file is copied and never loaded. Of a skops file only its description is read: `skops.io.load`,
which MLflow calls, must be told which types to trust, and Headrace trusts those of a registered model.
"""

import asyncio
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from app.core.errors import FileMissing
from app.core.storage import Storage
from app.models.errors import NotForMlflow
from app.models.formats import ONNX, SKLEARN
from app.models.mlflow import directory
from app.models.versions import RegisteredVersion

MAX_SCHEMA_BYTES: Final = 32 * 1024 * 1024
_SCHEMA: Final = "schema.json"
_METADATA: Final = "headrace.json"
_BOOSTING: Final = "sklearn.ensemble._hist_gradient_boosting."
_NO_TIME: Final = (1980, 1, 1, 0, 0, 0)
_READABLE: Final = 0o644
_IN_PYTHON: Final = "builtins"
_CHUNK_BYTES: Final = 1024 * 1024


async def spool(storage: Storage, version: RegisteredVersion) -> IO[bytes]:
    """Return a temporary file with the archive of a version. Closing deletes it.

    Raises NotForMlflow, FileMissing, StorageUnavailable.
    """
    if version.runtime not in directory.MODEL_FILES:
        raise NotForMlflow(
            model=f"{version.name}@{version.version}",
            reason=f"There is no flavor for {version.runtime} models.",
        )
    with tempfile.TemporaryDirectory() as folder:
        path = storage.local_path(version.file.key)
        if path is None:
            path = Path(folder, "model")
            await storage.download(version.file, path)
        elif not path.exists():
            raise FileMissing(key=version.file.key)
        file = await asyncio.to_thread(tempfile.TemporaryFile)
        try:
            await asyncio.to_thread(_write, file, version, path)
        except BaseException:
            file.close()
            raise
        return file


def _write(file: IO[bytes], version: RegisteredVersion, path: Path) -> None:
    trusted_types: list[str] = []
    is_callable = version.runtime == ONNX
    if version.runtime == SKLEARN:
        with zipfile.ZipFile(path) as model:
            trusted_types = sorted(set(_types(_member(model, _SCHEMA, version))))
            is_callable = _takes_a_frame(version, model, trusted_types)
    files = directory.files(version, trusted_types=trusted_types, is_callable=is_callable)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(_entry(name), content, zipfile.ZIP_DEFLATED)
        entry = _entry(
            directory.MODEL_FILES[version.runtime]
        )  # not compressed, as the model's file is already
        entry.file_size = version.file.bytes  # so that zipfile knows whether it needs ZIP64
        with path.open("rb") as source, archive.open(entry, "w") as target:
            while chunk := source.read(_CHUNK_BYTES):
                target.write(chunk)


def _entry(name: str) -> zipfile.ZipInfo:
    """A member that everybody may read, without the time, so that the same version gives the same bytes."""
    entry = zipfile.ZipInfo(name, _NO_TIME)
    entry.external_attr = _READABLE << 16
    return entry


def _member(model: zipfile.ZipFile, name: str, version: RegisteredVersion) -> Any:
    if model.getinfo(name).file_size > MAX_SCHEMA_BYTES:
        raise NotForMlflow(
            model=f"{version.name}@{version.version}",
            reason="Its file has too many parts to list their types.",
        )
    return msgspec.json.decode(model.read(name))


def _types(schema: Any) -> Iterator[str]:
    """Yield the names of the types in a skops file."""
    nodes = [schema]
    while nodes:
        node = nodes.pop()
        if isinstance(node, list):
            nodes += node
        elif isinstance(node, dict):
            nodes += node.values()
            match node:
                case {"__module__": str() as module, "__class__": str() as name} if module != _IN_PYTHON:
                    yield f"{module}.{name}"


def _takes_a_frame(version: RegisteredVersion, model: zipfile.ZipFile, types: Sequence[str]) -> bool:
    """Whether the pipeline predicts from a data frame with the model's columns.

    A pipeline over one text column takes a list of texts. One trained here takes dates as days, and one with
    histogram boosting over categories takes an array of objects only.
    """
    if version.task is None:
        return False
    if version.columns is not None and [column.type for column in version.columns] == ["text"]:
        return False
    if _METADATA not in model.namelist():
        return True
    contents = _contents(_member(model, _METADATA, version))
    is_boosting = any(name.startswith(_BOOSTING) for name in types)
    return "date" not in contents and not (is_boosting and "category" in contents)


def _contents(metadata: Any) -> set[str]:
    """The contents of the columns, as the training recorded them; an upload may contain anything."""
    match metadata:
        case {"columns": list() as columns}:
            return {str(column.get("content")) for column in columns if isinstance(column, dict)}
    return set()
