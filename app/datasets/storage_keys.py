"""Where a dataset's files are in storage, and how they come to be there."""

import contextlib
from pathlib import Path
from uuid import UUID

from app.core.errors import StorageUnavailable
from app.core.files import StoredFile
from app.core.storage import Storage


def content_key(dataset_id: UUID) -> str:
    """The file as it came."""
    return f"datasets/{dataset_id}/content"


def rows_key(dataset_id: UUID) -> str:
    """Its rows as Parquet, which jobs read."""
    return f"datasets/{dataset_id}/rows.parquet"


async def store(
    storage: Storage, dataset_id: UUID, content: Path, rows: Path
) -> tuple[StoredFile, StoredFile]:
    """Store both files. Until a row refers to them nobody does, and a sweep will find them."""
    return (
        await storage.put_file(content_key(dataset_id), content),
        await storage.put_file(rows_key(dataset_id), rows),
    )


async def forget(storage: Storage, dataset_id: UUID) -> None:
    """Delete the files of a dataset that is gone. If storage is away the sweep does it."""
    with contextlib.suppress(StorageUnavailable):
        await storage.delete([content_key(dataset_id), rows_key(dataset_id)])
