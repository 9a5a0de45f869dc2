"""What can be done with dead letters. Commits nothing, sends nothing: its callers do."""

from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

import asyncpg

from app.jobs import service as jobs
from app.jobs import transitions
from app.jobs.dead_letters import queries
from app.jobs.dead_letters.schemas import MAX_JOBS
from app.jobs.errors import DeadLetterNotFound
from app.jobs.states import HEAD_START, Priority
from app.jobs.transition_types import TransitionResult

Letter = TypeVar("Letter")


async def retryable(
    connection: asyncpg.Connection, owner_id: UUID, job_ids: Sequence[UUID] | None, *, limit: int = MAX_JOBS
) -> list[asyncpg.Record]:
    """The dead letters that can be tried again; None means all. Those that are none are left out."""
    return await queries.selected(connection, owner_id, job_ids, limit, only_retryable=True)


async def retry(connection: asyncpg.Connection, letters: Sequence[asyncpg.Record]) -> list[TransitionResult]:
    """Let dead letters run again from their last commit. Those that are none any more are left out."""
    transition = [
        await transitions.retry(
            connection, job_id=row["id"], from_start=False, head_start=HEAD_START[Priority(row["priority"])]
        )
        for row in letters
    ]
    return [retried for retried in transition if retried is not None]


async def retry_one(connection: asyncpg.Connection, owner_id: UUID, job_id: UUID) -> TransitionResult:
    """Let one dead letter run again. Raises DeadLetterNotFound, ResultsExpired, JobNotRetryable."""
    the_only(await queries.selected(connection, owner_id, [job_id], 1), job_id)
    return await jobs.retry(connection, owner_id, job_id, from_start=False)


async def dismiss(
    connection: asyncpg.Connection, owner_id: UUID, job_ids: Sequence[UUID] | None
) -> list[UUID]:
    """Put dead letters away; None means all. Those that are none are left out."""
    found = await queries.selected(connection, owner_id, job_ids, MAX_JOBS)
    return await queries.dismiss(connection, [row["id"] for row in found])


def the_only(letters: Sequence[Letter], job_id: UUID) -> Letter:
    """The one dead letter that was asked for; raises DeadLetterNotFound."""
    if not letters:
        raise DeadLetterNotFound(job_id=str(job_id))
    return letters[0]
