"""Operations on dead letters. The caller's unit of work commits and publishes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

import asyncpg

from app.audit.actions import Action
from app.audit.values import Actor
from app.jobs import service as jobs
from app.jobs import transitions
from app.jobs.dead_letters import commands, queries
from app.jobs.dead_letters.filters import ANY, LetterFilter
from app.jobs.dead_letters.queries import DeadLetter
from app.jobs.dead_letters.schemas import MAX_JOBS
from app.jobs.errors import DeadLetterNotFound
from app.jobs.states import HEAD_START
from app.jobs.unit_of_work import UnitOfWork

Letter = TypeVar("Letter")


@dataclass(frozen=True)
class Selected:
    """Which dead letters a request is about: these jobs, None: all that the filter selects after `after`."""

    job_ids: Sequence[UUID] | None = None
    wanted: LetterFilter = ANY
    after: UUID | None = None
    limit: int = MAX_JOBS


async def find(
    connection: asyncpg.Connection, owner_id: UUID | None, selected: Selected, *, only_retryable: bool = False
) -> list[DeadLetter]:
    """Return those of the selected jobs that are dead letters of this owner, None: of any owner."""
    return await queries.dead_letters(
        connection,
        owner_id,
        selected.job_ids,
        selected.limit,
        wanted=selected.wanted,
        after=selected.after,
        only_retryable=only_retryable,
    )


def by_owner(letters: Sequence[DeadLetter]) -> dict[UUID, list[DeadLetter]]:
    """Return dead letters by their owners: each owner has a quota of their own."""
    found: dict[UUID, list[DeadLetter]] = {}
    for letter in letters:
        found.setdefault(letter.owner_id, []).append(letter)
    return found


async def retry(unit: UnitOfWork, letters: Sequence[DeadLetter], *, by: Actor) -> list[UUID]:
    """Retry dead letters from their last commit. Return the jobs that were still dead letters.

    The audit log records those of other users.
    """
    owners = {letter.job_id: letter.owner_id for letter in letters}
    async with jobs.recording(unit, by, Action.JOB_RETRIED, owners):
        results = [
            await transitions.retry(
                unit, job_id=letter.job_id, from_start=False, head_start=HEAD_START[letter.priority]
            )
            for letter in letters
        ]
    return [result.job_id for result in results if result is not None]


async def retry_one(unit: UnitOfWork, owner_id: UUID | None, job_id: UUID, *, by: Actor) -> None:
    """Retry one dead letter. Raises DeadLetterNotFound, ResultsExpired, JobNotRetryable."""
    only(await queries.dead_letters(unit.connection, owner_id, [job_id], 1), job_id)
    await jobs.retry(unit, owner_id, job_id, from_start=False, by=by)


async def dismiss(
    connection: asyncpg.Connection, letters: Sequence[DeadLetter], *, by: Actor, reason: str | None = None
) -> list[UUID]:
    """Dismiss dead letters. Return the jobs that were still dead letters.

    The audit log records those of other users. Call it in a transaction.
    """
    owners = {letter.job_id: letter.owner_id for letter in letters}
    dismissed = await commands.dismiss(connection, list(owners), reason=reason)
    changed = {job_id: owners[job_id] for job_id in dismissed}
    await jobs.record_others(connection, by, Action.JOB_DISMISSED, changed, reason=reason)
    return dismissed


def only(letters: Sequence[Letter], job_id: UUID) -> Letter:
    """Return the only dead letter. Raises DeadLetterNotFound if there is none."""
    if not letters:
        raise DeadLetterNotFound(job_id=str(job_id))
    return letters[0]
