"""What can be asked about groups, and how one is stored."""

from typing import Any, Final
from uuid import UUID

import asyncpg

_GROUP = """
SELECT g.id, g.owner_id, g.created_at, g.search, j.status, count(j.id) AS jobs, sum(j.progress) AS progress
FROM job_groups g LEFT JOIN jobs j ON j.group_id = g.id
WHERE g.id = $1 GROUP BY g.id, j.status"""

MAX_METRICS_BYTES: Final = 4096

_TRIALS = f"""
SELECT j.id, j.status, j.progress, j.params->'params' AS params, j.result->>'model' AS model, j.error,
    CASE WHEN octet_length((j.result->'metrics')::text) <= {MAX_METRICS_BYTES} THEN j.result->'metrics'
        WHEN g.search->>'metric' IS NOT NULL AND j.result ? 'metrics' THEN jsonb_build_object(
            g.search->>'metric', j.result->'metrics'->(g.search->>'metric'))
    END AS metrics
FROM jobs j JOIN job_groups g ON g.id = j.group_id
WHERE j.group_id = $1 ORDER BY j.id"""  # a number of our own


async def add(
    connection: asyncpg.Connection, group_id: UUID, owner_id: UUID, key: str | None, digest: bytes | None
) -> bool:
    """Store a new group; False when the owner's idempotency key is taken."""
    added = await connection.fetchval(
        """INSERT INTO job_groups (id, owner_id, idempotency_key, request_digest) VALUES ($1, $2, $3, $4)
        ON CONFLICT (owner_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING RETURNING id""",
        group_id,
        owner_id,
        key,
        digest,
    )
    return added is not None


async def lock_search(connection: asyncpg.Connection, group_id: UUID) -> dict[str, Any] | None:
    """What a group's search is after and has found; None if it is no search. Locked until the commit."""
    search: dict[str, Any] | None = await connection.fetchval(
        "SELECT search FROM job_groups WHERE id = $1 FOR NO KEY UPDATE", group_id
    )
    return search


async def note_search(connection: asyncpg.Connection, group_id: UUID, search: dict[str, Any]) -> None:
    """Store what a search is after, or has found."""
    await connection.execute("UPDATE job_groups SET search = $2 WHERE id = $1", group_id, search)


async def trials(connection: asyncpg.Connection, group_id: UUID) -> list[asyncpg.Record]:
    """The jobs of a search with what each was told and has found.

    Of metrics that take more than MAX_METRICS_BYTES only the one is given by which the search ranks.
    """
    return await connection.fetch(_TRIALS, group_id)


async def of_key(connection: asyncpg.Connection, owner_id: UUID, key: str) -> asyncpg.Record | None:
    """The group that an owner's idempotency key stands for."""
    return await connection.fetchrow(
        "SELECT id, request_digest FROM job_groups WHERE owner_id = $1 AND idempotency_key = $2",
        owner_id,
        key,
    )


async def job_ids(connection: asyncpg.Connection, group_id: UUID) -> list[UUID]:
    """The jobs of a group, in the order in which they were asked for."""
    return [
        row["id"]
        for row in await connection.fetch("SELECT id FROM jobs WHERE group_id = $1 ORDER BY id", group_id)
    ]


async def summary(connection: asyncpg.Connection, group_id: UUID) -> list[asyncpg.Record]:
    """A group, with a row for each status that its jobs have; nothing if there is no such group."""
    return await connection.fetch(_GROUP, group_id)
