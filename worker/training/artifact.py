"""The file of a trained model: a scikit-learn pipeline in skops format, plus metadata about its columns.

The metadata is an extra member of the zip archive, which skops ignores: `skops.io.load` returns the plain
pipeline.
"""

import zipfile
from pathlib import Path
from typing import Any, Final

import msgspec
import skops.io

from app.models.versions import Task
from worker.cells import Content

METADATA_FILE: Final = "headrace.json"
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


def write(path: Path, pipeline: Any, metadata: ModelMetadata) -> None:
    """Write a pipeline and its metadata to a file."""
    skops.io.dump(pipeline, path, compression=zipfile.ZIP_DEFLATED, compresslevel=1)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(METADATA_FILE, msgspec.json.encode(metadata))


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
