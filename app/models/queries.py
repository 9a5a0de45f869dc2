"""What can be asked about models. Nothing here changes anything."""

import re
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from app.auth import usernames
from app.core import paging
from app.core.files import StoredFile
from app.models import builtin
from app.models.errors import ModelNotFound, NotYourModel
from app.models.versions import InputColumn, ModelVersion, Task

# A name has no slash, an owner's may have anything.
_REFERENCE: Final = re.compile(r"(?:(.+)/)?([^@/]+)(?:@(?:([0-9]{1,9})|([^@/]+)))?", re.DOTALL)

# A bare name means one's own model and never another's: a public one is named with its owner. So a name that
# its owner gives up, or hides for a moment, never comes to mean somebody else's model.
_MEANT: Final = """
SELECT m.id FROM models m JOIN users u ON u.id = m.owner_id
WHERE m.name = $2 AND CASE WHEN $3::text IS NULL THEN m.owner_id = $1
    ELSE u.username_key = $3 AND (m.owner_id = $1 OR m.visibility = 'public') END"""

# FOR SHARE: what is found here is not deleted before the caller commits.
_VERSION: Final = f"""
SELECT v.*, m.name, u.username AS owner, m.owner_id = $1 AS is_own
FROM models m JOIN users u ON u.id = m.owner_id JOIN model_versions v ON v.model_id = m.id
WHERE m.id = ({_MEANT})
    AND ($4::int IS NULL OR v.version = $4)
    AND ($5::text IS NULL
        OR v.id = (SELECT a.version_id FROM model_aliases a WHERE a.model_id = m.id AND a.alias = $5))
ORDER BY v.version DESC
LIMIT 1
FOR SHARE OF v"""

_MODEL: Final = """
SELECT m.*, m.owner_id = $1 AS is_own, u.username AS owner,
    (SELECT count(*) FROM model_versions v WHERE v.model_id = m.id) AS versions,
    (SELECT max(v.version) FROM model_versions v WHERE v.model_id = m.id) AS latest_version,
    (SELECT coalesce(jsonb_object_agg(a.alias, v.version), '{}')
        FROM model_aliases a JOIN model_versions v ON v.id = a.version_id WHERE a.model_id = m.id) AS aliases
FROM models m JOIN users u ON u.id = m.owner_id"""

# Models of this name that another user could name.
_PUBLIC: Final = """
SELECT u.username || '/' || m.name FROM models m JOIN users u ON u.id = m.owner_id
WHERE m.name = $1 AND m.visibility = 'public' ORDER BY m.id LIMIT 5"""

_PAGE: Final = paging.bounded(
    f"""{_MODEL}
WHERE (m.owner_id = $1 OR m.visibility = 'public')
    AND ($2::uuid IS NULL OR m.id < $2)
ORDER BY m.id DESC LIMIT $3""",
    size="octet_length(aliases::text)",
    order="id DESC",
)

_SHOWN_VERSION: Final = """
SELECT v.*, m.name, m.owner_id = $2 AS is_own, u.username AS owner,
    ARRAY(SELECT a.alias FROM model_aliases a WHERE a.version_id = v.id ORDER BY a.alias) AS aliases
FROM model_versions v JOIN models m ON m.id = v.model_id JOIN users u ON u.id = m.owner_id
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


async def get(
    connection: asyncpg.Connection, user_id: UUID, name: str, owner: str | None = None
) -> asyncpg.Record:
    """A user's own model of this name, or that of an owner who shows it. Raises ModelNotFound."""
    owner_key = None if owner is None else usernames.key(owner)
    row = await connection.fetchrow(f"{_MODEL} WHERE m.id = ({_MEANT})", user_id, name, owner_key)
    if row is None:
        raise await _not_found(connection, name, name, owner)
    return row


async def _not_found(
    connection: asyncpg.Connection, reference: str, name: str, owner: str | None
) -> ModelNotFound:
    """What to say of a model that is not there; for a bare name, whose public models have it."""
    if owner is not None:
        return ModelNotFound(model=reference)
    public = [row[0] for row in await connection.fetch(_PUBLIC, name)]
    return NotYourModel(model=reference, public=public) if public else ModelNotFound(model=reference)


async def versions(
    connection: asyncpg.Connection, model: asyncpg.Record, user_id: UUID, *, below: int | None, limit: int
) -> list[asyncpg.Record]:
    """The versions of a model, newest first, below the number `below`."""
    return await connection.fetch(_VERSIONS, model["id"], user_id, below, limit)


async def get_version(
    connection: asyncpg.Connection, user_id: UUID, name: str, number: int, owner: str | None = None
) -> asyncpg.Record:
    """One version of a model; see `get`. Raises ModelNotFound."""
    model = await get(connection, user_id, name, owner)
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

    Another user's public model is `owner/name`, likewise.

    It stays until the caller's transaction ends. Raises ModelNotFound.
    """
    if (built_in := builtin.find(reference)) is not None:
        return built_in
    parsed = _REFERENCE.fullmatch(reference)
    if parsed is None:
        raise ModelNotFound(model=reference)
    owner, name, number, alias = parsed.groups()
    owner_key = None if owner is None else usernames.key(owner)
    wanted = None if number is None else int(number)
    row = await connection.fetchrow(_VERSION, owner_id, name, owner_key, wanted, alias)
    if row is None:
        raise await _not_found(connection, reference, name, owner)
    return version(row)


def version(row: asyncpg.Record) -> ModelVersion:
    """A row of `model_versions`, with the `name` of its model, the `owner`, and whether it `is_own`."""
    return ModelVersion(
        name=row["name"] if row["is_own"] else f"{row['owner']}/{row['name']}",
        version=row["version"],
        runtime=row["runtime"],
        id=row["id"],
        task=None if row["task"] is None else Task(row["task"]),
        columns=msgspec.convert(row["columns"], tuple[InputColumn, ...] | None),
        classes=msgspec.convert(row["classes"], tuple[str, ...] | None),
        file=StoredFile(row["artifact_key"], row["bytes"], row["sha256"]),
    )
