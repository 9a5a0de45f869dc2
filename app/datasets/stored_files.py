"""Storing and deleting the files of a dataset."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from app.core.errors import FileMissing, StorageUnavailable
from app.core.files import StoredFile
from app.core.storage import Storage
from app.datasets.storage_keys import content_key, rows_key


async def store(
    storage: Storage, dataset_id: UUID, content: Path, rows: Path
) -> tuple[StoredFile, StoredFile]:
    """Store the uploaded file and its rows. The sweep deletes them if no row of `datasets` is committed."""
    return (
        await storage.put_file(content_key(dataset_id), content),
        await storage.put_file(rows_key(dataset_id), rows),
    )


@contextlib.contextmanager
def as_storage_errors(key: str) -> Iterator[None]:
    """Raise the errors of a `RowReader` that reads from storage as FileMissing and StorageUnavailable."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileMissing(key=key) from error
    except OSError as error:
        raise StorageUnavailable from error


async def delete(storage: Storage, dataset_id: UUID) -> None:
    """Delete the files of a deleted dataset. If storage is unavailable, the sweep deletes them later."""
    with contextlib.suppress(StorageUnavailable):
        await storage.delete([content_key(dataset_id), rows_key(dataset_id)])
