"""Opens skops files. Every file is an upload of unknown origin until it has passed all of this.

A skops file is a zip archive: `schema.json` says what to construct, the other members hold the arrays.
`archive` ensures that it does not inflate out of proportion. `names` finds the types that are not trusted.
`loader` constructs the rest without skops: it imports nothing by name, and hands each object to the check of
its own class, which `registry` lists. What a class does not declare is not constructed.
"""

import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from worker.runtimes.runtime import BrokenModel, UnsafeModel
from worker.runtimes.sklearn.inspection import archive, names
from worker.runtimes.sklearn.inspection.archive import SCHEMA, versions
from worker.runtimes.sklearn.inspection.loader import Loader

__all__ = ["load", "loads", "versions"]


def load(path: Path) -> Any:
    """Return the model in a file, checked. Raises UnsafeModel, BrokenModel."""
    with archive.opened(path) as (file, schema), _told_as_broken():
        return _constructed(file, schema)


def loads(content: bytes) -> Any:
    """Return what the bytes of a skops file hold, checked. Raises UnsafeModel, BrokenModel."""
    with _told_as_broken(), zipfile.ZipFile(BytesIO(content)) as file:
        return _constructed(file, archive.schema_of(file))


def _constructed(file: zipfile.ZipFile, schema: dict[str, Any]) -> Any:
    if unknown := names.unknown(schema):
        raise UnsafeModel(unknown)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Loader(file, schema).load()


@contextmanager
def _told_as_broken() -> Iterator[None]:
    try:
        yield
    except (UnsafeModel, BrokenModel):
        raise
    except MemoryError:
        raise BrokenModel("it does not fit into memory") from None
    except archive.DAMAGED as error:
        raise BrokenModel(f"the file is damaged: {error}") from None
    except (KeyError, TypeError, AttributeError, IndexError, RecursionError, OverflowError) as error:
        # A schema of another form than skops writes: a member is missing or of another type.
        raise BrokenModel(f"its {SCHEMA} makes no sense: {type(error).__name__}: {error}") from None
