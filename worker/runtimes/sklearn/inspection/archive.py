"""Looks into a skops file before anything of it is constructed: nothing inflates out of proportion."""

import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from worker.runtimes.runtime import BrokenModel

SCHEMA: Final = "schema.json"

MAX_INFLATED_BYTES: Final = 1024 * 1024 * 1024
MAX_MEMBERS: Final = 100_000
MAX_SCHEMA_BYTES: Final = 128 * 1024 * 1024
MAX_DEPTH: Final = 200

FREE_BYTES: Final = 32 * 1024 * 1024
MAX_RATIO: Final = 100
"""A file may inflate to so many times its size, or to `FREE_BYTES`."""


DAMAGED: Final = (
    zipfile.BadZipFile,  # its structure, or a checksum
    EOFError,  # what is compressed ends too soon
    zlib.error,  # what is deflated makes no sense
    lzma.LZMAError,  # the same, by LZMA
    OSError,  # the same, by bzip2; and a place before the start of the file
    ValueError,  # a place before the start of an inner archive, or a name that is no UTF-8
    RuntimeError,  # a member that is encrypted, or of a later version of the format than zipfile reads
)
"""What `zipfile` raises for a file that is damaged, or made up, each of them seen.

They have nothing in common. The file has its SHA-256, so that none of them is the disk's fault.
"""


@contextmanager
def opened(path: Path) -> Iterator[tuple[zipfile.ZipFile, dict[str, Any]]]:
    """A file during the body, and its schema, both checked before anything is loaded. Raises BrokenModel."""
    with ExitStack() as stack:
        archive, schema = _checked(path, stack)
        yield archive, schema


def _checked(path: Path, stack: ExitStack) -> tuple[zipfile.ZipFile, dict[str, Any]]:
    try:
        archive = stack.enter_context(zipfile.ZipFile(path))
        return archive, _checked_schema(archive, path.stat().st_size)
    except DAMAGED as error:
        said = str(error) or "it ends too soon"  # EOFError says nothing
        raise BrokenModel(f"the file is no skops file: {said}") from None


def versions(path: Path) -> dict[str, str]:
    """The libraries that a file was made with, as far as it says. Look at the file first."""
    with zipfile.ZipFile(path) as archive:
        schema = msgspec.json.decode(archive.read(SCHEMA))
    found = {"skops": schema.get("_skops_version")}
    with suppress(KeyError, TypeError, msgspec.MsgspecError):
        written = schema["content"]["content"]["_sklearn_version"]["content"]
        found["scikit-learn"] = msgspec.json.decode(written)
    return {library: said for library, said in found.items() if isinstance(said, str) and len(said) < 100}


def _checked_schema(archive: zipfile.ZipFile, file_bytes: int) -> dict[str, Any]:
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise BrokenModel(f"the file has {len(members)} members, more than {MAX_MEMBERS}")
    sizes = {member.filename: member.file_size for member in members}
    if len(sizes) < len(members):
        raise BrokenModel("the file has two members of the same name")
    if SCHEMA not in sizes:
        raise BrokenModel(f"the file has no {SCHEMA}, so it is no skops file")
    if sizes[SCHEMA] > MAX_SCHEMA_BYTES:
        raise BrokenModel(f"its {SCHEMA} has {sizes[SCHEMA]} bytes, more than {MAX_SCHEMA_BYTES}")
    limit = min(MAX_INFLATED_BYTES, max(FREE_BYTES, MAX_RATIO * file_bytes))
    _ensure_inflates_to(sum(sizes.values()), limit)
    schema = schema_of(archive)
    # A schema may name the same member again and again, and each time it is read.
    named = list(_members_named(schema))
    _ensure_inflates_to(sum(sizes.get(name, 0) for name in named), limit)
    for name in {name for name in named if name.endswith(".npz") and name in sizes}:
        with zipfile.ZipFile(io.BytesIO(archive.read(name))) as inner:
            _ensure_inflates_to(sum(member.file_size for member in inner.infolist()), limit)
    return schema


def _ensure_inflates_to(inflated_bytes: int, limit: int) -> None:
    if inflated_bytes > limit:
        raise BrokenModel(f"the file would inflate to {inflated_bytes} bytes, more than {limit}")


def schema_of(archive: zipfile.ZipFile) -> dict[str, Any]:
    """What the file says that it holds. Raises BrokenModel, KeyError, and DAMAGED."""
    try:
        decoded = msgspec.json.decode(archive.read(SCHEMA))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise BrokenModel(f"its {SCHEMA} cannot be read: {error}") from None
    if not isinstance(decoded, dict):
        raise BrokenModel(f"its {SCHEMA} is no JSON object")
    return decoded


def _members_named(schema: dict[str, Any]) -> Iterator[str]:
    level: list[Any] = [schema]
    for _ in range(MAX_DEPTH + 1):
        deeper: list[Any] = []
        for part in level:
            if isinstance(part, dict):
                if isinstance(named := part.get("file"), str):
                    yield named
                part = part.values()
            # Nine values in ten are texts and numbers, and lead no deeper.
            deeper += [inner for inner in part if isinstance(inner, (dict, list))]
        if not deeper:
            return
        level = deeper
    raise BrokenModel(f"its {SCHEMA} is nested deeper than {MAX_DEPTH} levels")
