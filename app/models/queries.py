"""What can be asked about models. Nothing here changes anything."""

import re
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from app.core.files import StoredFile
from app.models import builtin
from app.models.errors import ModelNotFound
from app.models.versions import InputColumn, ModelVersion, Task

_REFERENCE: Final = re.compile(r"([^@]+)(?:@(?:([0-9]{1,9})|([^@]+)))?")

# The owner's own before a public one. FOR SHARE: what is found here is not deleted before the caller commits.
_VERSION: Final = """
SELECT v.*, m.name
FROM models m JOIN model_versions v ON v.model_id = m.id
WHERE m.name = $2 AND (m.owner_id = $1 OR m.visibility = 'public')
    AND ($3::int IS NULL OR v.version = $3)
    AND ($4::text IS NULL
        OR v.id = (SELECT a.version_id FROM model_aliases a WHERE a.model_id = m.id AND a.alias = $4))
ORDER BY m.owner_id = $1 DESC, v.version DESC
LIMIT 1
FOR SHARE OF v"""


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
