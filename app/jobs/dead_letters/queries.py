"""Reads of dead letters."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg

from app.core import paging
from app.core.paging import Page, to_page
from app.core.sql import Statement
from app.jobs.job import Job
from app.jobs.states import Priority

# Which jobs of this owner are dead letters, from before this one?
_PAGE: Final = Statement(
    paging.bounded(
        """SELECT * FROM jobs
        WHERE owner_id = :owner_id AND status = 'failed' AND dismissed_at IS NULL
            AND (:before::uuid IS NULL OR id < :before)
        ORDER BY id DESC LIMIT :limit""",
        size="octet_length(params::text) + octet_length(metadata::text) + octet_length(error::text)",
        order="id DESC",
    )
)

# Which of these jobs, or of all, are dead letters of this owner, and may they be retried?
_SELECTED: Final = Statement("""
SELECT id, priority FROM jobs
WHERE owner_id = :owner_id AND status = 'failed' AND dismissed_at IS NULL
    AND (:job_ids::uuid[] IS NULL OR id = ANY (:job_ids))
    AND (pruned_at IS NULL OR NOT :only_retryable)
ORDER BY id LIMIT :limit""")


@dataclass(frozen=True)
class DeadLetter:
    """A job that failed for good and was neither retried nor dismissed."""

    job_id: UUID
    priority: Priority


async def page(
    connection: asyncpg.Connection, owner_id: UUID, *, before: UUID | None, limit: int
) -> Page[Job]:
    """Return a page of an owner's dead letters, newest first, starting after the job `before`."""
    rows = await _PAGE.fetch(connection, owner_id=owner_id, before=before, limit=limit + 1)
    return to_page(rows, limit, Job.from_row)


async def dead_letters(
    connection: asyncpg.Connection,
    owner_id: UUID,
    job_ids: Sequence[UUID] | None,
    limit: int,
    *,
    only_retryable: bool = False,
) -> list[DeadLetter]:
    """Return those of the given jobs, or of all, that are dead letters of this owner.

    `only_retryable` leaves out those whose rows were pruned.
    """
    rows = await _SELECTED.fetch(
        connection,
        owner_id=owner_id,
        job_ids=None if job_ids is None else list(job_ids),
        limit=limit,
        only_retryable=only_retryable,
    )
    return [DeadLetter(row["id"], Priority(row["priority"])) for row in rows]
