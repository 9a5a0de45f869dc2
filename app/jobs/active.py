"""Reads of the jobs that run now."""

from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from app.core import paging
from app.core.paging import Page, to_page
from app.core.sql import Statement
from app.jobs.job import Job
from app.jobs.names import names

_OWNED: Final = (
    "status = 'running' AND parent_id IS NULL AND (:owner_id::uuid IS NULL OR owner_id = :owner_id)"
)

# Which jobs of this owner run, the latest start first, from a position on?
_RUNNING: Final = Statement(
    paging.bounded(
        f"""SELECT *, {names("jobs")} FROM jobs WHERE {_OWNED}
        AND (:before_at::timestamptz IS NULL OR (attempt_started_at, id) < (:before_at, :before_id::uuid))
        ORDER BY attempt_started_at DESC, id DESC LIMIT :limit""",  # noqa: S608  # of constants
        size="coalesce(octet_length(params::text), 0) + coalesce(octet_length(metadata::text), 0)",
        order="attempt_started_at DESC, id DESC",
    )
)

# How many jobs of this owner run?
_COUNT: Final = Statement(f"SELECT count(*) FROM jobs WHERE {_OWNED}")  # noqa: S608  # of constants


async def running(
    connection: asyncpg.Connection,
    owner_id: UUID | None,
    *,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> Page[Job]:
    """Return a page of the running jobs of an owner, None: of all, which starts after a position."""
    before_at, before_id = before or (None, None)
    rows = await _RUNNING.fetch(
        connection, owner_id=owner_id, before_at=before_at, before_id=before_id, limit=limit + 1
    )
    return to_page(rows, limit, Job.from_row)


async def count(connection: asyncpg.Connection, owner_id: UUID | None) -> int:
    """Return how many jobs of an owner run, None: of all."""
    found: int = await _COUNT.fetchval(connection, owner_id=owner_id)
    return found


def encode(last: Job) -> str:
    """Return the cursor of the page that follows a job."""
    assert last.attempt_started_at is not None  # noqa: S101  # it runs
    return paging.encode_instant_and_id(last.attempt_started_at, last.id)


def decode(cursor: str) -> tuple[datetime, UUID]:
    """Return the position in a cursor. Raises InvalidCursor."""
    return paging.decode_instant_and_id(cursor)
