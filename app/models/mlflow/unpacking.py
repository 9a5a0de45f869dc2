"""Takes the model's file out of an uploaded MLflow model directory, a zip archive."""

import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from app.core.errors import AppError
from app.core.zips import DAMAGED
from app.models import formats
from app.models.errors import BrokenModel, UnsafeModel

DESCRIPTION: Final = "MLmodel"

_SUFFIXES: Final = (".skops", ".onnx")
_PICKLES: Final = (".pkl", ".pickle", ".joblib", ".cloudpickle")
_HOW: Final = "Log it with mlflow.sklearn.log_model(…, serialization_format='skops')."

_BLOCK_BYTES: Final = 1024 * 1024


def unpack(path: Path, *, limit_bytes: int, too_large: AppError, reserve: Callable[[int], None]) -> None:
    """Replace an archive that has an MLmodel file by the skops or ONNX file beside it; keep any other file.

    `reserve` is called with the size of the unpacked file. Raises UnsafeModel, BrokenModel, `too_large`, and
    what `reserve` raises.
    """
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            return
        members = formats.zip_members(file, path.stat().st_size)
        directory = _directory(members)
        if directory is None:
            return
        member = _model_file(members, directory)
        size = path.stat().st_size
        formats.ensure_inflates_little([member], size)
        if member.file_size > limit_bytes:
            raise too_large
        reserve(member.file_size)
        unpacked = path.with_name("unpacked")
        with zipfile.ZipFile(file) as archive, unpacked.open("xb") as target:
            for block in _read(archive, member):
                target.write(block)
    unpacked.replace(path)


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield the content of a member. Raises BrokenModel."""
    try:
        with archive.open(member) as source:
            while block := source.read(_BLOCK_BYTES):
                yield block
    except DAMAGED as error:
        name = member.filename[:100]
        raise BrokenModel(reason=f"The file {name!r} in its archive is damaged.") from error


def _directory(members: Sequence[zipfile.ZipInfo]) -> PurePosixPath | None:
    """The directory of the MLflow model in the archive, None if there is none."""
    paths = [PurePosixPath(member.filename) for member in members]
    found = [path.parent for path in paths if path.name == DESCRIPTION]
    if len(found) > 1:
        raise BrokenModel(reason=f"Its archive has {len(found)} MLflow models; send one.")
    return found[0] if found else None


def _model_file(members: Sequence[zipfile.ZipInfo], directory: PurePosixPath) -> zipfile.ZipInfo:
    beside = [member for member in members if PurePosixPath(member.filename).parent == directory]
    found = [member for member in beside if member.filename.endswith(_SUFFIXES)]
    if len(found) == 1:
        return found[0]
    if found:
        raise BrokenModel(reason=f"Its MLflow model has {len(found)} skops or ONNX files instead of one.")
    if any(member.filename.endswith(_PICKLES) for member in beside):
        raise UnsafeModel(
            reason=f"It is an MLflow model in a pickle, and loading that can run any code. {_HOW}"
        )
    raise BrokenModel(reason=f"It is an MLflow model without a skops or ONNX file. {_HOW}")
