"""Reads of the jobs that a bulk action is about."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self
from uuid import UUID

import asyncpg
from sqlmodel.ext.asyncio.session import AsyncSession

from app.core.rows import Row
from app.core.sql import Statement
from app.jobs import tables
from app.jobs.filters import JobFilter
from app.jobs.selecting import newest

# Which of these jobs exist, whose are they, which have shards, and which are shards?
_NAMED: Final = Statement("SELECT id, owner_id, parent_id, shards FROM jobs WHERE id = ANY (:job_ids)")


@dataclass(frozen=True)
class Candidate:
    """A job that an action may change, its owner, and how many shards it has. It may not change a shard."""

    job_id: UUID
    owner_id: UUID
    is_shard: bool = False
    shards: int = 0

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row with the id of a job, its owner, its parent and the number of its shards."""
        return cls(row["id"], row["owner_id"], row["parent_id"] is not None, row["shards"] or 0)


async def named(connection: asyncpg.Connection, job_ids: Sequence[UUID]) -> dict[UUID, Candidate]:
    """Return those of the jobs that exist, by id."""
    rows = await _NAMED.fetch(connection, job_ids=list(job_ids))
    return {row["id"]: Candidate.from_row(row) for row in rows}


async def selected(
    session: AsyncSession, owner_id: UUID | None, wanted: JobFilter, *, before: UUID | None, limit: int
) -> list[Candidate]:
    """Return the newest jobs of an owner, None: of all, that a filter selects, from the job `before` on."""
    table = tables.Job.__table__.c  # type: ignore[attr-defined]  # SQLModel gives every table class its table
    statement = newest(
        [table.id, table.owner_id, table.parent_id, table.shards],
        owner_id,
        wanted,
        before=before,
        limit=limit,
    )
    connection = await session.connection()
    return [Candidate.from_row(row) for row in (await connection.execute(statement)).mappings()]
