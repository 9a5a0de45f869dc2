"""The file of a trained model: a scikit-learn pipeline as skops keeps it, and a note of what its columns
hold.

The note is one more member of the zip, which skops does not mind: `skops.io.load` gives the pipeline, with
nothing of ours in it.
"""

import zipfile
from pathlib import Path
from typing import Any, Final

import msgspec
import skops.io

from app.models.versions import Task
from worker.cells import Content

NOTE: Final = "headrace.json"
MAX_NOTE_BYTES: Final = 4 * 1024 * 1024


class NotedColumn(msgspec.Struct, frozen=True):
    """One column that the pipeline takes. `type` is what it must be to fit, as an InputColumn has it.

    `missing` are the texts that mark a missing number, like `NA`.
    """

    name: str
    content: Content
    type: str
    missing: tuple[str, ...] = ()


class Note(msgspec.Struct, frozen=True):
    """What a pipeline does not say itself. Columns are in its order."""

    task: Task
    columns: tuple[NotedColumn, ...]


def write(path: Path, pipeline: Any, note: Note) -> None:
    """Write a model's file."""
    skops.io.dump(pipeline, path, compression=zipfile.ZIP_DEFLATED, compresslevel=1)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(NOTE, msgspec.json.encode(note))


def read_note(path: Path) -> Note | None:
    """The note in a file; None if there is none that makes sense: it is somebody else's file then."""
    with zipfile.ZipFile(path) as archive:
        if NOTE not in archive.namelist() or archive.getinfo(NOTE).file_size > MAX_NOTE_BYTES:
            return None
        written = archive.read(NOTE)
    try:
        return msgspec.json.decode(written, type=Note)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
