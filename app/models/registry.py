"""What changes the registry of models: versions are added, named by aliases, shown to others, and deleted.

Each function is to be called in a transaction, and begins with the lock on the model's row: so all that
happens to one model happens one after the other, and two of them never wait for each other's rows. A submit
takes no part in it; it holds its version for share until its job is committed (`queries.get_for_job`). So
either a deletion waits for it and then sees its job, or it waits for the deletion and finds no such version.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from app.core import ids
from app.core.files import StoredFile
from app.models import builtin, queries
from app.models.errors import AliasNotFound, ModelInUse, ModelNotFound, NameReserved
from app.models.versions import InputColumn, ModelVersion, Task, Visibility

# The row is locked from here on, whether it was there or not.
_NEXT_NUMBER: Final = """
INSERT INTO models (id, owner_id, name, last_version) VALUES ($1, $2, $3, 1)
ON CONFLICT (owner_id, name) DO UPDATE SET last_version = models.last_version + 1
RETURNING id, last_version"""

_ADD: Final = """
INSERT INTO model_versions (id, model_id, version, runtime, artifact_key, bytes, sha256,
    task, columns, classes, metrics, params, lineage)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"""

_POINT: Final = """
INSERT INTO model_aliases (model_id, alias, version_id)
SELECT model_id, $2, id FROM model_versions WHERE id = $1
ON CONFLICT (model_id, alias) DO UPDATE SET version_id = excluded.version_id"""


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
    """Add the next version of an owner's model, which is made if it is new. Raises NameReserved.

    `lineage` says where it comes from: `job_id`, `dataset_id`, `dataset_sha256`, `library_versions`, ….
    """
    _ensure_free(name)
    row = await connection.fetchrow(_NEXT_NUMBER, ids.new_id(), owner_id, name)
    assert row is not None  # noqa: S101  # RETURNING
    model_id, number = row
    version_id = ids.new_id()
    await connection.execute(
        _ADD,
        *(version_id, model_id, number, runtime, file.key, file.bytes, file.sha256, task),
        None if columns is None else msgspec.to_builtins(columns),
        None if classes is None else list(classes),
        *(dict(metrics or {}), dict(params or {}), dict(lineage or {})),
    )
    return ModelVersion(
        name=name,
        version=number,
        runtime=runtime,
        id=version_id,
        task=task,
        columns=None if columns is None else tuple(columns),
        classes=None if classes is None else tuple(classes),
        file=file,
    )


async def point(connection: asyncpg.Connection, version_id: UUID, alias: str) -> None:
    """Let an alias mean a version that the caller's transaction has added or locked."""
    await connection.execute(_POINT, version_id, alias)


async def point_own(
    connection: asyncpg.Connection, owner_id: UUID, name: str, alias: str, number: int
) -> None:
    """Let an alias mean this version of an owner's model. Raises ModelNotFound, NameReserved."""
    model_id = await _lock_own(connection, owner_id, name)
    version_id = await connection.fetchval(
        "SELECT id FROM model_versions WHERE model_id = $1 AND version = $2", model_id, number
    )
    if version_id is None:
        raise ModelNotFound(model=f"{name}@{number}")
    await point(connection, version_id, alias)


async def drop_alias(connection: asyncpg.Connection, owner_id: UUID, name: str, alias: str) -> None:
    """Forget an alias. Raises ModelNotFound, AliasNotFound, NameReserved."""
    model_id = await _lock_own(connection, owner_id, name)
    dropped = await connection.fetchval(
        "DELETE FROM model_aliases WHERE model_id = $1 AND alias = $2 RETURNING alias", model_id, alias
    )
    if dropped is None:
        raise AliasNotFound(model=name, alias=alias)


async def show(connection: asyncpg.Connection, owner_id: UUID, name: str, visibility: Visibility) -> None:
    """Say who may use an owner's model. Raises ModelNotFound, NameReserved."""
    model_id = await _lock_own(connection, owner_id, name)
    await connection.execute("UPDATE models SET visibility = $2 WHERE id = $1", model_id, visibility)


async def delete_version(connection: asyncpg.Connection, owner_id: UUID, name: str, number: int) -> str:
    """Delete a version with its aliases; gives the key of its file.

    Raises ModelNotFound, ModelInUse, NameReserved.
    """
    model_id = await _lock_own(connection, owner_id, name)
    found = await connection.fetchrow(
        "SELECT id, artifact_key FROM model_versions WHERE model_id = $1 AND version = $2 FOR UPDATE",
        model_id,
        number,
    )
    if found is None:
        raise ModelNotFound(model=f"{name}@{number}")
    await _ensure_unused(connection, f"{name}@{number}", [found["id"]])
    await connection.execute("DELETE FROM model_versions WHERE id = $1", found["id"])
    key: str = found["artifact_key"]
    return key


async def delete(connection: asyncpg.Connection, owner_id: UUID, name: str) -> list[str]:
    """Delete a model with all its versions; gives the keys of their files.

    Raises ModelNotFound, ModelInUse, NameReserved.
    """
    model_id = await _lock_own(connection, owner_id, name)
    found = await connection.fetch(
        "SELECT id, artifact_key FROM model_versions WHERE model_id = $1 ORDER BY id FOR UPDATE", model_id
    )
    await _ensure_unused(connection, name, [row["id"] for row in found])
    await connection.execute("DELETE FROM models WHERE id = $1", model_id)
    return [row["artifact_key"] for row in found]


async def _lock_own(connection: asyncpg.Connection, owner_id: UUID, name: str) -> UUID:
    _ensure_free(name)
    model_id: UUID | None = await connection.fetchval(
        "SELECT id FROM models WHERE owner_id = $1 AND name = $2 FOR UPDATE", owner_id, name
    )
    if model_id is None:
        raise ModelNotFound(model=name)
    return model_id


async def _ensure_unused(connection: asyncpg.Connection, model: str, version_ids: Sequence[UUID]) -> None:
    if jobs := await queries.jobs_in_need(connection, version_ids):
        raise ModelInUse(model=model, jobs=jobs)


def _ensure_free(name: str) -> None:
    if name in builtin.NAMES:
        raise NameReserved(model=name)
