"""Changes of the model registry: adding, aliasing, publishing and deleting versions.

Each function is called in a transaction and first locks the model's row. So the changes of one model happen
one after the other, and two of them never deadlock. A submit does not take this lock; it holds its version
FOR SHARE until its job is committed (`queries.get_for_job`). Either a deletion waits for the submit and then
sees its job, or the submit waits for the deletion and then finds no such version.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from app.core import ids
from app.core.files import StoredFile
from app.core.sql import Statement
from app.models import builtin, queries
from app.models.errors import AliasNotFound, ModelInUse, ModelNotFound, NameReserved
from app.models.versions import InputColumn, ModelVersion, Task, Visibility

# Create the model if it is new, give out its next version number, and lock its row.
_NEXT_NUMBER: Final = Statement("""
INSERT INTO models (id, owner_id, name, last_version) VALUES (:new_id, :owner_id, :name, 1)
ON CONFLICT (owner_id, name) DO UPDATE SET last_version = models.last_version + 1
RETURNING id, last_version""")

# Add a version.
_ADD: Final = Statement("""
INSERT INTO model_versions (id, model_id, version, runtime, artifact_key, bytes, sha256,
    task, columns, classes, metrics, params, lineage)
VALUES (:id, :model_id, :version, :runtime, :artifact_key, :bytes, :sha256,
    :task, :columns, :classes, :metrics, :params, :lineage)""")

# Point an alias of a model to one of its versions.
_SET_ALIAS: Final = Statement("""
INSERT INTO model_aliases (model_id, alias, version_id)
SELECT model_id, :alias, id FROM model_versions WHERE id = :version_id
ON CONFLICT (model_id, alias) DO UPDATE SET version_id = excluded.version_id""")

# Delete an alias, and tell whether there was one.
_DELETE_ALIAS: Final = Statement(
    "DELETE FROM model_aliases WHERE model_id = :model_id AND alias = :alias RETURNING alias"
)

# Lock a model of this owner.
_LOCK: Final = Statement("SELECT id FROM models WHERE owner_id = :owner_id AND name = :name FOR UPDATE")

# Change a model. What is null stays; an empty description is removed.
_CHANGE: Final = Statement("""
UPDATE models SET visibility = coalesce(:visibility::text, visibility),
    description = CASE WHEN :description::text IS NULL THEN description ELSE nullif(:description, '') END,
    tags = coalesce(:tags::jsonb, tags)
WHERE id = :model_id""")

# Change the description and the tags of a version, and tell whether there is one.
_CHANGE_VERSION: Final = Statement("""
UPDATE model_versions SET
    description = CASE WHEN :description::text IS NULL THEN description ELSE nullif(:description, '') END,
    tags = coalesce(:tags::jsonb, tags)
WHERE model_id = :model_id AND version = :number
RETURNING id""")

# The id of one version of a model.
_VERSION_ID: Final = Statement(
    "SELECT id FROM model_versions WHERE model_id = :model_id AND version = :number"
)

# Is this a version of the model?
_HAS_VERSION: Final = Statement(
    "SELECT id FROM model_versions WHERE model_id = :model_id AND id = :version_id"
)

# Lock one version of a model against new jobs.
_LOCK_VERSION: Final = Statement("""
SELECT id, artifact_key FROM model_versions
WHERE model_id = :model_id AND version = :number FOR UPDATE""")

# Lock all versions of a model against new jobs.
_LOCK_VERSIONS: Final = Statement("""
SELECT id, artifact_key FROM model_versions WHERE model_id = :model_id ORDER BY id FOR UPDATE""")

# Delete a version, and with it its aliases.
_DELETE_VERSION: Final = Statement("DELETE FROM model_versions WHERE id = :version_id")

# Delete a model, and with it its versions and aliases.
_DELETE: Final = Statement("DELETE FROM models WHERE id = :model_id")


async def register(
    connection: asyncpg.Connection,
    *,
    owner_id: UUID,
    name: str,
    runtime: str,
    file: StoredFile,
    task: Task | None = None,
    columns: Sequence[InputColumn] | None = None,
    classes: Sequence[str] | None = None,
    metrics: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    lineage: Mapping[str, Any] | None = None,
) -> ModelVersion:
    """Add the next version of an owner's model, creating the model if it is new. Raises NameReserved.

    `lineage` says where the version comes from: `job_id`, `dataset_id`, `library_versions`, ….
    """
    _ensure_not_reserved(name)
    numbered = await _NEXT_NUMBER.fetchrow(connection, new_id=ids.new_id(), owner_id=owner_id, name=name)
    assert numbered is not None  # noqa: S101  # RETURNING
    version = ModelVersion(
        name=name,
        version=numbered["last_version"],
        runtime=runtime,
        id=ids.new_id(),
        task=task,
        columns=None if columns is None else tuple(columns),
        classes=None if classes is None else tuple(classes),
        file=file,
    )
    await _ADD.execute(
        connection,
        id=version.id,
        model_id=numbered["id"],
        version=version.version,
        runtime=runtime,
        artifact_key=file.key,
        bytes=file.bytes,
        sha256=file.sha256,
        task=task,
        columns=msgspec.to_builtins(version.columns),
        classes=None if classes is None else list(classes),
        metrics=dict(metrics or {}),
        params=dict(params or {}),
        lineage=dict(lineage or {}),
    )
    return version


async def set_alias(connection: asyncpg.Connection, version_id: UUID, alias: str) -> None:
    """Point an alias to a version that the caller's transaction has added or locked."""
    await _SET_ALIAS.execute(connection, version_id=version_id, alias=alias)


async def set_alias_of_version(
    connection: asyncpg.Connection, owner_id: UUID, name: str, alias: str, version_id: UUID
) -> bool:
    """Point an alias to this version of an owner's model, unless it is deleted; tell whether it is not."""
    model_id = await _LOCK.fetchval(connection, owner_id=owner_id, name=name)
    if await _HAS_VERSION.fetchval(connection, model_id=model_id, version_id=version_id) is None:
        return False
    await set_alias(connection, version_id, alias)
    return True


async def set_own_alias(
    connection: asyncpg.Connection, owner_id: UUID, name: str, alias: str, number: int
) -> None:
    """Point an alias to this version of an owner's model. Raises ModelNotFound, NameReserved."""
    model_id = await _lock(connection, owner_id, name)
    version_id = await _VERSION_ID.fetchval(connection, model_id=model_id, number=number)
    if version_id is None:
        raise ModelNotFound(model=f"{name}@{number}")
    await set_alias(connection, version_id, alias)


async def delete_alias(connection: asyncpg.Connection, owner_id: UUID, name: str, alias: str) -> None:
    """Delete an alias. Raises ModelNotFound, AliasNotFound, NameReserved."""
    model_id = await _lock(connection, owner_id, name)
    if await _DELETE_ALIAS.fetchval(connection, model_id=model_id, alias=alias) is None:
        raise AliasNotFound(model=name, alias=alias)


async def change(
    connection: asyncpg.Connection,
    owner_id: UUID,
    name: str,
    *,
    visibility: Visibility | None = None,
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Change who may use an owner's model, its description and its tags; None keeps what there is.

    An empty description and empty tags are removed. Raises ModelNotFound, NameReserved.
    """
    model_id = await _lock(connection, owner_id, name)
    await _CHANGE.execute(
        connection, model_id=model_id, visibility=visibility, description=description, tags=tags
    )


async def change_version(
    connection: asyncpg.Connection,
    owner_id: UUID,
    name: str,
    number: int,
    *,
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Change the description and the tags of a version, as `change` does.

    Raises ModelNotFound, NameReserved.
    """
    model_id = await _lock(connection, owner_id, name)
    changed = await _CHANGE_VERSION.fetchval(
        connection, model_id=model_id, number=number, description=description, tags=tags
    )
    if changed is None:
        raise ModelNotFound(model=f"{name}@{number}")


async def delete_version(connection: asyncpg.Connection, owner_id: UUID, name: str, number: int) -> str:
    """Delete a version with its aliases. Returns the key of its file, for the caller to delete.

    Raises ModelNotFound, ModelInUse, NameReserved.
    """
    model_id = await _lock(connection, owner_id, name)
    version = await _LOCK_VERSION.fetchrow(connection, model_id=model_id, number=number)
    if version is None:
        raise ModelNotFound(model=f"{name}@{number}")
    await _ensure_unused(connection, f"{name}@{number}", [version["id"]])
    await _DELETE_VERSION.execute(connection, version_id=version["id"])
    key: str = version["artifact_key"]
    return key


async def delete(connection: asyncpg.Connection, owner_id: UUID, name: str) -> list[str]:
    """Delete a model with all its versions. Returns the keys of their files, for the caller to delete.

    Raises ModelNotFound, ModelInUse, NameReserved.
    """
    model_id = await _lock(connection, owner_id, name)
    versions = await _LOCK_VERSIONS.fetch(connection, model_id=model_id)
    await _ensure_unused(connection, name, [version["id"] for version in versions])
    await _DELETE.execute(connection, model_id=model_id)
    return [version["artifact_key"] for version in versions]


async def _lock(connection: asyncpg.Connection, owner_id: UUID, name: str) -> UUID:
    """Lock an owner's model. Raises ModelNotFound, NameReserved."""
    _ensure_not_reserved(name)
    model_id: UUID | None = await _LOCK.fetchval(connection, owner_id=owner_id, name=name)
    if model_id is None:
        raise ModelNotFound(model=name)
    return model_id


async def _ensure_unused(connection: asyncpg.Connection, model: str, version_ids: Sequence[UUID]) -> None:
    if jobs := await queries.unfinished_jobs(connection, version_ids):
        raise ModelInUse(model=model, jobs=jobs)


def _ensure_not_reserved(name: str) -> None:
    if name in builtin.NAMES:
        raise NameReserved(model=name)
