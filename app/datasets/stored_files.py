"""Storing and deleting the files of a dataset."""

import contextlib
from pathlib import Path
from uuid import UUID

from app.core.errors import StorageUnavailable
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


async def delete(storage: Storage, dataset_id: UUID) -> None:
    """Delete the files of a deleted dataset. If storage is unavailable, the sweep deletes them later."""
    with contextlib.suppress(StorageUnavailable):
        await storage.delete([content_key(dataset_id), rows_key(dataset_id)])
