"""Check the zip archive of a skops file, above all its decompressed size, before anything is constructed."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from app.core.zips import DAMAGED
from worker.runtimes.runtime import BrokenModel

SCHEMA: Final = "schema.json"

MAX_UNPACKED_BYTES: Final = 1024 * 1024 * 1024
MAX_MEMBERS: Final = 100_000
MAX_SCHEMA_BYTES: Final = 128 * 1024 * 1024
MAX_DEPTH: Final = 200

MIN_UNPACKED_BYTES: Final = 32 * 1024 * 1024
MAX_RATIO: Final = 100
"""A file may decompress to this multiple of its size, or to `MIN_UNPACKED_BYTES` if that is more."""


@contextmanager
def open_archive(path: Path) -> Iterator[tuple[zipfile.ZipFile, dict[str, Any]]]:
    """Open and check a file; yields the archive and its schema. Raises BrokenModel."""
    with ExitStack() as stack:
        archive, schema = _open(path, stack)
        yield archive, schema


def _open(path: Path, stack: ExitStack) -> tuple[zipfile.ZipFile, dict[str, Any]]:
    try:
        archive = stack.enter_context(zipfile.ZipFile(path))
        return archive, _read_schema(archive, path.stat().st_size)
    # The SHA-256 of the file was verified, so the disk causes none of them.
    except DAMAGED as error:
        reason = str(error) or "it is truncated"  # EOFError has no message
        raise BrokenModel(f"the file is not a skops file: {reason}") from None


def versions(path: Path) -> dict[str, str]:
    """Return the library versions recorded in a file, which `open_archive` must have checked before."""
    with zipfile.ZipFile(path) as archive:
        schema = msgspec.json.decode(archive.read(SCHEMA))
    recorded = {"skops": schema.get("_skops_version")}
    with suppress(KeyError, TypeError, msgspec.MsgspecError):
        encoded = schema["content"]["content"]["_sklearn_version"]["content"]
        recorded["scikit-learn"] = msgspec.json.decode(encoded)
    return {
        library: version
        for library, version in recorded.items()
        if isinstance(version, str) and len(version) < 100
    }


def _read_schema(archive: zipfile.ZipFile, file_bytes: int) -> dict[str, Any]:
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise BrokenModel(f"the archive has {len(members)} members; the limit is {MAX_MEMBERS}")
    sizes = {member.filename: member.file_size for member in members}
    if len(sizes) < len(members):
        raise BrokenModel("the archive has two members with the same name")
    if SCHEMA not in sizes:
        raise BrokenModel(f"the file is not a skops file: it has no {SCHEMA}")
    if sizes[SCHEMA] > MAX_SCHEMA_BYTES:
        raise BrokenModel(f"its {SCHEMA} has {sizes[SCHEMA]} bytes; the limit is {MAX_SCHEMA_BYTES}")
    limit = min(MAX_UNPACKED_BYTES, max(MIN_UNPACKED_BYTES, MAX_RATIO * file_bytes))
    _check_unpacked_size(sum(sizes.values()), limit)
    schema = schema_of(archive)
    # The loader reads a member each time that the schema refers to it.
    named = list(_referenced_members(schema))
    _check_unpacked_size(sum(sizes.get(name, 0) for name in named), limit)
    for name in {name for name in named if name.endswith(".npz") and name in sizes}:
        with zipfile.ZipFile(io.BytesIO(archive.read(name))) as inner:
            _check_unpacked_size(sum(member.file_size for member in inner.infolist()), limit)
    return schema


def _check_unpacked_size(unpacked_bytes: int, limit: int) -> None:
    if unpacked_bytes > limit:
        raise BrokenModel(f"the file would decompress to {unpacked_bytes} bytes; the limit is {limit}")


def schema_of(archive: zipfile.ZipFile) -> dict[str, Any]:
    """Read the schema of an archive. Raises BrokenModel, KeyError, and the errors in DAMAGED."""
    try:
        decoded = msgspec.json.decode(archive.read(SCHEMA))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise BrokenModel(f"its {SCHEMA} cannot be read: {error}") from None
    if not isinstance(decoded, dict):
        raise BrokenModel(f"its {SCHEMA} is not a JSON object")
    return decoded


def _referenced_members(schema: dict[str, Any]) -> Iterator[str]:
    level: list[Any] = [schema]
    for _ in range(MAX_DEPTH + 1):
        deeper: list[Any] = []
        for part in level:
            if isinstance(part, dict):
                if isinstance(named := part.get("file"), str):
                    yield named
                part = part.values()
            # Skip texts and numbers, which are nine values in ten.
            deeper += [inner for inner in part if isinstance(inner, (dict, list))]
        if not deeper:
            return
        level = deeper
    raise BrokenModel(f"its {SCHEMA} is nested deeper than {MAX_DEPTH} levels")
