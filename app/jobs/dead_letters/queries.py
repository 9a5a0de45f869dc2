"""Which jobs are dead letters, and how one is put away."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from app.core import paging

_LETTERS = paging.bounded(
    """SELECT * FROM jobs
    WHERE owner_id = $1 AND status = 'failed' AND dismissed_at IS NULL AND ($2::uuid IS NULL OR id < $2)
    ORDER BY id DESC LIMIT $3""",
    size="octet_length(params::text) + octet_length(metadata::text) + octet_length(error::text)",
    order="id DESC",
)

_SELECTED = """
SELECT id, priority FROM jobs
WHERE owner_id = $1 AND status = 'failed' AND dismissed_at IS NULL AND ($2::uuid[] IS NULL OR id = ANY ($2))
    AND (pruned_at IS NULL OR NOT $4)
ORDER BY id LIMIT $3"""


async def page(
    connection: asyncpg.Connection, owner_id: UUID, *, before: UUID | None, limit: int
) -> list[asyncpg.Record]:
    """An owner's dead letters, newest first."""
    return await connection.fetch(_LETTERS, owner_id, before, limit)


async def selected(
    connection: asyncpg.Connection,
    owner_id: UUID,
    job_ids: Sequence[UUID] | None,
    limit: int,
    *,
    only_retryable: bool = False,
) -> list[asyncpg.Record]:
    """Those of the given jobs, or of all, that are dead letters of this owner: id and priority.

    `only_retryable` leaves out those whose rows were pruned.
    """
    chosen = None if job_ids is None else list(job_ids)
    return await connection.fetch(_SELECTED, owner_id, chosen, limit, only_retryable)


async def dismiss(connection: asyncpg.Connection, job_ids: Sequence[UUID]) -> list[UUID]:
    """Put dead letters away; those that are none any more are left out of the answer."""
    rows = await connection.fetch(
        """UPDATE jobs SET dismissed_at = now()
        WHERE id = ANY ($1) AND status = 'failed' AND dismissed_at IS NULL RETURNING id""",
        list(job_ids),
    )
    return [row["id"] for row in rows]
