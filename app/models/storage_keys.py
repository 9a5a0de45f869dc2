"""Where the files of models are in storage."""

import contextlib
from collections.abc import Sequence
from uuid import UUID

from app.core.errors import StorageUnavailable
from app.core.storage import Storage


def upload_key(upload_id: UUID) -> str:
    """A file that a user has brought. Those that jobs have made are beside it, by the id of the job."""
    return f"artifacts/uploads/{upload_id}/model"


async def forget(storage: Storage, keys: Sequence[str]) -> None:
    """Delete files that nothing refers to any more. What fails is left to the sweep."""
    with contextlib.suppress(StorageUnavailable):
        await storage.delete(keys)
