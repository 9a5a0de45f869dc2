"""Reads of the model registry."""

import re
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

import asyncpg

from app.auth import usernames
from app.core import paging
from app.core.paging import Page, to_page
from app.core.sql import Statement
from app.models import builtin
from app.models.errors import ModelNotFound, NotYourModel
from app.models.versions import EvaluatedVersion, Model, ModelVersion, RegisteredVersion

# The name of a model has no slash, that of an owner may have any character.
_REFERENCE: Final = re.compile(r"(?:(.+)/)?([^@/]+)(?:@(?:([0-9]{1,9})|([^@/]+)))?", re.DOTALL)

# The id of the model that a name refers to for a user. A bare name always refers to the user's own model; a
# public model of another user needs the owner. Otherwise a name could switch to the model of another user
# when the user's own model is deleted.
_MODEL_ID: Final = """
SELECT m.id FROM models m JOIN users u ON u.id = m.owner_id
WHERE m.name = :name AND CASE WHEN :owner_key::text IS NULL THEN m.owner_id = :user_id
    ELSE u.username_key = :owner_key AND (m.owner_id = :user_id OR m.visibility = 'public') END"""

# The version that a reference resolves to for a user, protected from deletion until the transaction ends.
_REFERENCED_VERSION: Final = Statement(f"""
SELECT v.*, m.name, u.username AS owner, m.owner_id = :user_id AS is_own
FROM models m JOIN users u ON u.id = m.owner_id JOIN model_versions v ON v.model_id = m.id
WHERE m.id = ({_MODEL_ID})
    AND (:number::int IS NULL OR v.version = :number)
    AND (:alias::text IS NULL
        OR v.id = (SELECT a.version_id FROM model_aliases a WHERE a.model_id = m.id AND a.alias = :alias))
ORDER BY v.version DESC
LIMIT 1
FOR SHARE OF v""")

# The version that has an alias, of the model of another version.
_ALIASED: Final = Statement("""
SELECT v.version, v.metrics FROM model_aliases a JOIN model_versions v ON v.id = a.version_id
WHERE a.alias = :alias AND a.model_id = (SELECT model_id FROM model_versions WHERE id = :sibling_id)""")

# Models with a summary of their versions.
_MODELS: Final = """
SELECT m.*, m.owner_id = :user_id AS is_own, u.username AS owner,
    (SELECT count(*) FROM model_versions v WHERE v.model_id = m.id) AS versions,
    (SELECT max(v.version) FROM model_versions v WHERE v.model_id = m.id) AS latest_version,
    (SELECT coalesce(jsonb_object_agg(a.alias, v.version), '{}')
        FROM model_aliases a JOIN model_versions v ON v.id = a.version_id WHERE a.model_id = m.id) AS aliases
FROM models m JOIN users u ON u.id = m.owner_id"""

# The model that a name refers to for a user.
_MODEL: Final = Statement(f"{_MODELS} WHERE m.id = ({_MODEL_ID})")

# References of public models with this name, to suggest in an error.
_PUBLIC_REFERENCES: Final = Statement("""
SELECT u.username || '/' || m.name AS reference FROM models m JOIN users u ON u.id = m.owner_id
WHERE m.name = :name AND m.visibility = 'public' ORDER BY m.id LIMIT 5""")

# The accuracy or R² of the latest versions of the model `m` that have one, newest first; null without any.
_SCORES: Final = """(SELECT jsonb_agg(jsonb_build_object('version', version, 'metric', metric, 'value', value)
        ORDER BY version DESC)
    FROM (
        SELECT v.version, found.metric, (v.metrics ->> found.metric)::float8 AS value
        FROM model_versions v
            CROSS JOIN LATERAL (
                SELECT CASE WHEN v.metrics ? 'r2' THEN 'r2' ELSE 'accuracy' END AS metric) found
        WHERE v.model_id = m.id AND jsonb_typeof(v.metrics -> found.metric) = 'number'
        ORDER BY v.version DESC LIMIT :scores
    ) latest)"""

# The next models that a user may predict with, newest first, as many as a page holds.
_PAGE: Final = Statement(
    paging.bounded(
        f"""SELECT m.*, CASE WHEN :scores::int > 0 THEN {_SCORES} END AS scores FROM ({_MODELS}
        WHERE (m.owner_id = :user_id OR m.visibility = 'public') AND (:before::uuid IS NULL OR m.id < :before)
            AND m.tags @> coalesce(:tags::jsonb, '{{}}')
            AND (:prefix::text IS NULL OR starts_with(lower(m.name), lower(:prefix)))
        ORDER BY m.id DESC LIMIT :limit) m""",
        size=" + ".join(
            f"coalesce(octet_length({column}::text), 0)" for column in ("aliases", "description", "tags")
        ),
        order="id DESC",
    )
)

# Versions of a model, with their aliases.
_VERSIONS: Final = """
SELECT v.*, m.name, m.owner_id = :user_id AS is_own, u.username AS owner,
    EXISTS (SELECT FROM model_reports r WHERE r.version_id = v.id) AS has_report,
    ARRAY(SELECT a.alias FROM model_aliases a WHERE a.version_id = v.id ORDER BY a.alias) AS aliases
FROM model_versions v JOIN models m ON m.id = v.model_id JOIN users u ON u.id = m.owner_id
WHERE v.model_id = :model_id"""

# One version of a model.
_VERSION: Final = Statement(f"{_VERSIONS} AND v.version = :number")

# The next versions of a model, newest first, as many as a page holds.
_VERSION_PAGE: Final = Statement(
    paging.bounded(
        f"""{_VERSIONS} AND (:below::int IS NULL OR v.version < :below)
            AND v.tags @> coalesce(:tags::jsonb, '{{}}')
        ORDER BY v.version DESC LIMIT :limit""",
        size=" + ".join(
            f"coalesce(octet_length({column}::text), 0)"
            for column in (
                *("aliases", "columns", "classes", "metrics", "params", "lineage"),
                *("description", "tags"),
            )
        ),
        order="version DESC",
    )
)

# How many unfinished jobs use any of these versions.
_UNFINISHED_JOBS: Final = Statement("""
SELECT count(*) FROM jobs
WHERE model_version_id = ANY (:version_ids) AND status IN ('pending', 'running')""")


async def page(
    connection: asyncpg.Connection,
    user_id: UUID,
    *,
    before: UUID | None,
    limit: int,
    tags: Mapping[str, str] | None = None,
    prefix: str | None = None,
    scores: int = 0,
) -> Page[Model]:
    """Return the models that a user may predict with, newest first, starting after the id `before`.

    With `tags`, only those that have all of them; with `prefix`, those whose names begin with it in any case.
    `scores` is the number of versions of each whose scores are read.
    """
    rows = await _PAGE.fetch(
        connection, user_id=user_id, before=before, tags=tags, prefix=prefix, scores=scores, limit=limit + 1
    )
    return to_page(rows, limit, Model.from_row_with_scores)


async def get(connection: asyncpg.Connection, user_id: UUID, name: str, owner: str | None = None) -> Model:
    """Return a user's own model, or a public one of the `owner`. Raises ModelNotFound."""
    row = await _MODEL.fetchrow(connection, user_id=user_id, name=name, owner_key=_key(owner))
    if row is None:
        raise await _not_found(connection, name, name, owner)
    return Model.from_row(row)


async def version_page(
    connection: asyncpg.Connection,
    model_id: UUID,
    user_id: UUID,
    *,
    below: int | None,
    limit: int,
    tags: Mapping[str, str] | None = None,
) -> Page[RegisteredVersion]:
    """Return the versions of a model, newest first, starting after the number `below`.

    With `tags`, only those that have all of them.
    """
    rows = await _VERSION_PAGE.fetch(
        connection, model_id=model_id, user_id=user_id, below=below, tags=tags, limit=limit + 1
    )
    return to_page(rows, limit, RegisteredVersion.from_row)


async def get_version(
    connection: asyncpg.Connection, user_id: UUID, name: str, number: int, owner: str | None = None
) -> RegisteredVersion:
    """Return one version of a model; see `get`. Raises ModelNotFound."""
    model = await get(connection, user_id, name, owner)
    row = await _VERSION.fetchrow(connection, model_id=model.id, user_id=user_id, number=number)
    if row is None:
        raise ModelNotFound(model=f"{name}@{number}")
    return RegisteredVersion.from_row(row)


async def aliased(connection: asyncpg.Connection, sibling_id: UUID, alias: str) -> EvaluatedVersion | None:
    """The version that has an alias, in the model that `sibling_id` is a version of; None: no such alias."""
    row = await _ALIASED.fetchrow(connection, sibling_id=sibling_id, alias=alias)
    return None if row is None else EvaluatedVersion.from_row(row)


async def unfinished_jobs(connection: asyncpg.Connection, version_ids: Sequence[UUID]) -> int:
    """Count the pending and running jobs that use any of these versions."""
    count: int = await _UNFINISHED_JOBS.fetchval(connection, version_ids=list(version_ids))
    return count


async def get_for_job(connection: asyncpg.Connection, user_id: UUID, reference: str) -> ModelVersion:
    """Resolve `name`, `name@version` or `name@alias` for a user; a bare name means the newest version.

    `owner/name` refers to a public model of another user. The version is protected from deletion until the
    caller's transaction ends. Raises ModelNotFound.
    """
    if (built_in := builtin.find(reference)) is not None:
        return built_in
    parsed = _REFERENCE.fullmatch(reference)
    if parsed is None:
        raise ModelNotFound(model=reference)
    owner, name, number, alias = parsed.groups()
    row = await _REFERENCED_VERSION.fetchrow(
        connection,
        user_id=user_id,
        name=name,
        owner_key=_key(owner),
        number=None if number is None else int(number),
        alias=alias,
    )
    if row is None:
        raise await _not_found(connection, reference, name, owner)
    return ModelVersion.from_row(row)


def _key(owner: str | None) -> str | None:
    return None if owner is None else usernames.key(owner)


async def _not_found(
    connection: asyncpg.Connection, reference: str, name: str, owner: str | None
) -> ModelNotFound:
    """Return the error for an unknown model; for a bare name, it suggests public models of that name."""
    if owner is not None:
        return ModelNotFound(model=reference)
    public = [row["reference"] for row in await _PUBLIC_REFERENCES.fetch(connection, name=name)]
    return NotYourModel(model=reference, public=public) if public else ModelNotFound(model=reference)
