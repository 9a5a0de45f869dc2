"""Reads of dead letters."""

# SQL put together from constants; values are parameters

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

_OF_OWNER: Final = "owner_id = :owner_id AND"


def _page(owner: str) -> Statement:
    return Statement(
        paging.bounded(
            f"""SELECT * FROM jobs
            WHERE {owner} status = 'failed' AND dismissed_at IS NULL
                AND (:before::uuid IS NULL OR id < :before)
            ORDER BY id DESC LIMIT :limit""",
            size="octet_length(params::text) + octet_length(metadata::text) + octet_length(error::text)",
            order="id DESC",
        )
    )


def _selected(owner: str) -> Statement:
    return Statement(f"""
SELECT id, owner_id, priority FROM jobs
WHERE {owner} status = 'failed' AND dismissed_at IS NULL
    AND (:job_ids::uuid[] IS NULL OR id = ANY (:job_ids))
    AND (pruned_at IS NULL OR NOT :only_retryable)
ORDER BY id LIMIT :limit""")


# Which jobs of this owner are dead letters, from before this one?
_PAGE: Final = _page(_OF_OWNER)

# Which jobs are dead letters, from before this one?
_PAGE_OF_ALL: Final = _page("")

# Which of these jobs, or of all, are dead letters of this owner, and may they be retried?
_SELECTED: Final = _selected(_OF_OWNER)

# Which of these jobs, or of all, are dead letters, and may they be retried?
_SELECTED_OF_ALL: Final = _selected("")


@dataclass(frozen=True)
class DeadLetter:
    """A job that failed for good and was neither retried nor dismissed."""

    job_id: UUID
    owner_id: UUID
    priority: Priority


async def page(
    connection: asyncpg.Connection, owner_id: UUID | None, *, before: UUID | None, limit: int
) -> Page[Job]:
    """Return a page of an owner's dead letters, None: of all, newest first, starting after `before`."""
    if owner_id is None:
        rows = await _PAGE_OF_ALL.fetch(connection, before=before, limit=limit + 1)
    else:
        rows = await _PAGE.fetch(connection, owner_id=owner_id, before=before, limit=limit + 1)
    return to_page(rows, limit, Job.from_row)


async def dead_letters(
    connection: asyncpg.Connection,
    owner_id: UUID | None,
    job_ids: Sequence[UUID] | None,
    limit: int,
    *,
    only_retryable: bool = False,
) -> list[DeadLetter]:
    """Return those of the given jobs, or of all, that are dead letters of this owner, None: of any.

    `only_retryable` leaves out those whose rows were pruned.
    """
    selection = {
        "job_ids": None if job_ids is None else list(job_ids),
        "limit": limit,
        "only_retryable": only_retryable,
    }
    if owner_id is None:
        rows = await _SELECTED_OF_ALL.fetch(connection, **selection)
    else:
        rows = await _SELECTED.fetch(connection, owner_id=owner_id, **selection)
    return [DeadLetter(row["id"], row["owner_id"], Priority(row["priority"])) for row in rows]
