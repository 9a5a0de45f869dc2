"""Load skops files safely. Every file is treated as a malicious upload.

A skops file is a zip archive: `schema.json` describes the objects, the other members hold the arrays.
`archive` checks that it does not decompress to an excessive size. `untrusted_types` finds the types that are
not trusted. `loader` constructs the objects without skops: it never imports by name, and runs the check of
each object's class, which `registry` lists. Attributes that a class does not declare are not constructed.
"""

import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from app.core.zips import DAMAGED
from worker.runtimes.runtime import BrokenModel, UnsafeModel
from worker.runtimes.sklearn.inspection import archive, untrusted_types
from worker.runtimes.sklearn.inspection.archive import SCHEMA, versions
from worker.runtimes.sklearn.inspection.loader import Loader

__all__ = ["load", "loads", "versions"]


def load(path: Path) -> Any:
    """Load and check the model in a file. Raises UnsafeModel, BrokenModel."""
    with archive.open_archive(path) as (file, schema), _as_broken_model():
        return _construct(file, schema)


def loads(content: bytes) -> Any:
    """Load and check the object in the bytes of a skops file. Raises UnsafeModel, BrokenModel."""
    with _as_broken_model(), zipfile.ZipFile(BytesIO(content)) as file:
        return _construct(file, archive.schema_of(file))


def _construct(file: zipfile.ZipFile, schema: dict[str, Any]) -> Any:
    if untrusted := untrusted_types.find_untrusted(schema):
        raise UnsafeModel(untrusted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Loader(file, schema).load()


@contextmanager
def _as_broken_model() -> Iterator[None]:
    """Convert errors of a malformed file to BrokenModel."""
    try:
        yield
    except (UnsafeModel, BrokenModel):
        raise
    except MemoryError:
        raise BrokenModel("it does not fit into the memory of a worker") from None
    except DAMAGED as error:
        raise BrokenModel(f"the file is damaged: {error}") from None
    except (KeyError, TypeError, AttributeError, IndexError, RecursionError, OverflowError) as error:
        # The schema is not one that skops writes: a member is missing or has another type.
        raise BrokenModel(f"its {SCHEMA} is malformed: {type(error).__name__}: {error}") from None
