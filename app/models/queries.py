"""What can be asked about models. Nothing here changes anything."""

import re
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from app.core import paging
from app.core.files import StoredFile
from app.models import builtin
from app.models.errors import ModelNotFound
from app.models.versions import InputColumn, ModelVersion, Task

_REFERENCE: Final = re.compile(r"([^@]+)(?:@(?:([0-9]{1,9})|([^@]+)))?")

# The owner's own before a public one, whichever versions it has: a name must not mean another's model because
# a version is missing.
_MEANT: Final = """
SELECT id FROM models WHERE name = $2 AND (owner_id = $1 OR visibility = 'public')
ORDER BY owner_id = $1 DESC LIMIT 1"""

# FOR SHARE: what is found here is not deleted before the caller commits.
_VERSION: Final = f"""
SELECT v.*, m.name
FROM models m JOIN model_versions v ON v.model_id = m.id
WHERE m.id = ({_MEANT})
    AND ($3::int IS NULL OR v.version = $3)
    AND ($4::text IS NULL
        OR v.id = (SELECT a.version_id FROM model_aliases a WHERE a.model_id = m.id AND a.alias = $4))
ORDER BY v.version DESC
LIMIT 1
FOR SHARE OF v"""

_MODEL: Final = """
SELECT m.*, m.owner_id = $1 AS is_own,
    (SELECT count(*) FROM model_versions v WHERE v.model_id = m.id) AS versions,
    (SELECT max(v.version) FROM model_versions v WHERE v.model_id = m.id) AS latest_version,
    (SELECT coalesce(jsonb_object_agg(a.alias, v.version), '{}')
        FROM model_aliases a JOIN model_versions v ON v.id = a.version_id WHERE a.model_id = m.id) AS aliases
FROM models m"""

# A public model that one's own of the same name hides cannot be named, so it is not shown either.
_PAGE: Final = paging.bounded(
    f"""{_MODEL}
WHERE (m.owner_id = $1 OR m.visibility = 'public' AND NOT EXISTS (
        SELECT FROM models own WHERE own.owner_id = $1 AND own.name = m.name))
    AND ($2::uuid IS NULL OR m.id < $2)
ORDER BY m.id DESC LIMIT $3""",
    size="octet_length(aliases::text)",
    order="id DESC",
)

_SHOWN_VERSION: Final = """
SELECT v.*, m.name, m.owner_id = $2 AS is_own,
    ARRAY(SELECT a.alias FROM model_aliases a WHERE a.version_id = v.id ORDER BY a.alias) AS aliases
FROM model_versions v JOIN models m ON m.id = v.model_id
WHERE v.model_id = $1"""

_VERSIONS: Final = paging.bounded(
    f"{_SHOWN_VERSION} AND ($3::int IS NULL OR v.version < $3) ORDER BY v.version DESC LIMIT $4",
    size=" + ".join(
        f"coalesce(octet_length({column}::text), 0)"
        for column in ("aliases", "columns", "classes", "metrics", "params", "lineage")
    ),
    order="version DESC",
)


async def page(
    connection: asyncpg.Connection, user_id: UUID, *, before: UUID | None, limit: int
) -> list[asyncpg.Record]:
    """The models that a user can predict with, newest first, below the one with the id `before`."""
    return await connection.fetch(_PAGE, user_id, before, limit)


async def get(connection: asyncpg.Connection, user_id: UUID, name: str) -> asyncpg.Record:
    """The model that a name means to a user. Raises ModelNotFound."""
    row = await connection.fetchrow(f"{_MODEL} WHERE m.id = ({_MEANT})", user_id, name)
    if row is None:
        raise ModelNotFound(model=name)
    return row


async def versions(
    connection: asyncpg.Connection, model: asyncpg.Record, user_id: UUID, *, below: int | None, limit: int
) -> list[asyncpg.Record]:
    """The versions of a model, newest first, below the number `below`."""
    return await connection.fetch(_VERSIONS, model["id"], user_id, below, limit)


async def get_version(
    connection: asyncpg.Connection, user_id: UUID, name: str, number: int
) -> asyncpg.Record:
    """One version of the model that a name means to a user. Raises ModelNotFound."""
    model = await get(connection, user_id, name)
    row = await connection.fetchrow(f"{_SHOWN_VERSION} AND v.version = $3", model["id"], user_id, number)
    if row is None:
        raise ModelNotFound(model=f"{name}@{number}")
    return row


async def jobs_in_need(connection: asyncpg.Connection, version_ids: Sequence[UUID]) -> int:
    """How many jobs that have not ended need one of these versions."""
    count: int = await connection.fetchval(
        "SELECT count(*) FROM jobs WHERE model_version_id = ANY ($1) AND status IN ('pending', 'running')",
        list(version_ids),
    )
    return count


async def get_for_job(connection: asyncpg.Connection, owner_id: UUID, reference: str) -> ModelVersion:
    """The version that `name`, `name@version` or `name@alias` means to a user; a bare name is the newest.

    It stays until the caller's transaction ends. Raises ModelNotFound.
    """
    if (built_in := builtin.find(reference)) is not None:
        return built_in
    parsed = _REFERENCE.fullmatch(reference)
    if parsed is None:
        raise ModelNotFound(model=reference)
    name, number, alias = parsed.groups()
    row = await connection.fetchrow(_VERSION, owner_id, name, None if number is None else int(number), alias)
    if row is None:
        raise ModelNotFound(model=reference)
    return version(row)


def version(row: asyncpg.Record) -> ModelVersion:
    """A row of `model_versions`, with the `name` of its model."""
    return ModelVersion(
        name=row["name"],
        version=row["version"],
        runtime=row["runtime"],
        id=row["id"],
        task=None if row["task"] is None else Task(row["task"]),
        columns=msgspec.convert(row["columns"], tuple[InputColumn, ...] | None),
        classes=msgspec.convert(row["classes"], tuple[str, ...] | None),
        file=StoredFile(row["artifact_key"], row["bytes"], row["sha256"]),
    )
