"""Keys of model files in storage."""

import contextlib
from collections.abc import Sequence
from uuid import UUID

from app.core.errors import StorageUnavailable
from app.core.storage import Storage


def upload_key(upload_id: UUID) -> str:
    """The file of an uploaded model. Files of training jobs have the id of the job in their key."""
    return f"artifacts/uploads/{upload_id}/model"


async def forget(storage: Storage, keys: Sequence[str]) -> None:
    """Delete files without a row. If storage is unavailable, the sweep deletes them later."""
    with contextlib.suppress(StorageUnavailable):
        await storage.delete(keys)
