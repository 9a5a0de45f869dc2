"""Versions of models as tests need them: registered through the same door as in production."""

from typing import Any
from uuid import UUID

from app.core import ids
from app.core.database import Database
from app.core.files import StoredFile
from app.core.storage import Storage
from app.models import commands as models
from app.models.versions import InputColumn, ModelVersion, Task

FILE = StoredFile("artifacts/nowhere/model", 10, "0" * 64)


async def register(database: Database, owner_id: UUID, name: str = "churn", **more: Any) -> ModelVersion:
    """The next version of a model; its file is nowhere unless given."""
    facts: dict[str, Any] = {"runtime": "sklearn", "file": FILE, **more}
    async with database.transaction() as connection:
        return await models.register(connection, owner_id=owner_id, name=name, **facts)


async def of_texts(database: Database, owner_id: UUID, name: str = "churn") -> ModelVersion:
    """The next version of a model that takes texts, so that jobs can be sent to it."""
    return await register(
        database, owner_id, name, task=Task.CLASSIFICATION, columns=[InputColumn("text", "text")]
    )


async def stored(storage: Storage, content: bytes) -> StoredFile:
    """A model's file in storage."""
    return await storage.put(f"artifacts/{ids.new_id()}/1/model", content)
