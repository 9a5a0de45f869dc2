"""The file of a trained model: a scikit-learn pipeline in skops format, plus metadata about its columns.

The metadata is an extra member of the zip archive, which skops ignores: `skops.io.load` returns the plain
pipeline.
"""

import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import skops.io

from app.models.versions import Task
from worker.cells import Content
from worker.runtimes.sklearn import inspection

METADATA_FILE: Final = "headrace.json"
SCHEMA_FILE: Final = "schema.json"
MAX_METADATA_BYTES: Final = 4 * 1024 * 1024


class ColumnMetadata(msgspec.Struct, frozen=True):
    """One input column of a pipeline. `type` is the expected type, as in an InputColumn.

    `missing` are the texts that mark a missing number, like `NA`.
    """

    name: str
    content: Content
    type: str
    missing: tuple[str, ...] = ()


class ModelMetadata(msgspec.Struct, frozen=True):
    """What a pipeline itself does not record. Columns are in the order of the pipeline's input."""

    task: Task
    columns: tuple[ColumnMetadata, ...]


def write(path: Path, pipeline: Any, metadata: ModelMetadata, *, may_be_resumed: bool) -> None:
    """Write a pipeline and its metadata to a file. The same model gives the same bytes.

    skops names the members after addresses in memory, and zip archives record the time. So the file is
    written twice: uncompressed by skops, then with members that are numbered and have no time. What skops
    loads differs in small things from what was fitted, such as a number that was a NumPy scalar. So a
    pipeline of which parts may come from a checkpoint is loaded in between.
    """
    raw = path.with_suffix(".raw")
    try:
        skops.io.dump(pipeline, raw, compression=zipfile.ZIP_STORED)
        if may_be_resumed:
            skops.io.dump(inspection.load(raw), raw, compression=zipfile.ZIP_STORED)
        with zipfile.ZipFile(raw) as source, zipfile.ZipFile(path, "w") as archive:
            numbering = _Numbering()
            schema = numbering.renumber(msgspec.json.decode(source.read(SCHEMA_FILE)))
            for name, numbered in numbering.files.items():
                _add(archive, numbered, _without_padding(source.read(name)))
            _add(archive, SCHEMA_FILE, msgspec.json.encode(schema))
            _add(archive, METADATA_FILE, msgspec.json.encode(metadata))
    finally:
        raw.unlink(missing_ok=True)


class _Numbering:
    """Numbers the objects and the members that a schema of skops refers to, in the order in which it does."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self._objects: dict[int | str, int] = {}

    def renumber(self, node: Any) -> Any:
        """Return the node with numbers in place of addresses."""
        if isinstance(node, list):
            return [self.renumber(one) for one in node]
        if not isinstance(node, dict):
            return node
        numbered = {name: self.renumber(value) for name, value in node.items()}
        if isinstance(identity := node.get("__id__"), int):
            count = len(self._objects) + 1
            # Whether equal plain values are one object is chance.
            key = f"value {count}" if node.get("__loader__") == "JsonNode" else identity
            numbered["__id__"] = self._objects.setdefault(key, count)
        if "__loader__" in node and isinstance(file := node.get("file"), str):
            numbered["file"] = self.files.setdefault(file, f"{len(self.files) + 1}{Path(file).suffix}")
        return numbered


def _without_padding(content: bytes) -> bytes:
    """Return the bytes of a member; if it is an array of records, with zeros between their fields.

    The nodes of trees are such records. What is between their fields is whatever was in memory.
    """
    if not content.startswith(np.lib.format.MAGIC_PREFIX):
        return content
    array = np.load(BytesIO(content), allow_pickle=False)
    if array.dtype.names is None:
        return content
    clean = np.zeros(array.shape, array.dtype)
    for name in array.dtype.names:
        clean[name] = array[name]
    buffer = BytesIO()
    np.save(buffer, clean, allow_pickle=False)
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED, compresslevel=1)


def read_metadata(path: Path) -> ModelMetadata | None:
    """Return the metadata in a file; None if it has none that is valid, like most uploaded models."""
    with zipfile.ZipFile(path) as archive:
        if METADATA_FILE not in archive.namelist():
            return None
        if archive.getinfo(METADATA_FILE).file_size > MAX_METADATA_BYTES:
            return None
        content = archive.read(METADATA_FILE)
    try:
        return msgspec.json.decode(content, type=ModelMetadata)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
