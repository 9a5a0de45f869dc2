"""What can be done with groups. Commits nothing, sends nothing: its callers do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from app.core import ids
from app.core.config import Settings
from app.core.errors import AppError
from app.http.offloading import offload
from app.jobs import service, transitions
from app.jobs.errors import GroupNotFound, IdempotencyKeyReused
from app.jobs.groups import queries
from app.jobs.groups.schemas import GroupView
from app.jobs.kinds.kind import Kind
from app.jobs.requests import JobOptions
from app.jobs.searches import leaderboard
from app.jobs.states import Status
from app.jobs.transition_types import NewJob, TransitionResult


@dataclass(frozen=True)
class GroupSubmitted:
    """A new group with the moves of its jobs, or the one that the same request made before, without."""

    group_id: UUID
    job_ids: list[UUID]
    transition: list[TransitionResult]
    is_replay: bool = False


async def submit(
    connection: asyncpg.Connection,
    settings: Settings,
    owner_id: UUID,
    jobs: Sequence[tuple[Kind, JobOptions]],
    *,
    key: str | None,
    digest: bytes,
    search: Mapping[str, Any] | None = None,
) -> GroupSubmitted:
    """Create all jobs of a request in the caller's transaction.

    Raises IdempotencyKeyReused, and what the plans of the kinds raise.
    """
    group_id = ids.new_id()
    while not await queries.add(connection, group_id, owner_id, key, None if key is None else digest):
        earlier = await find_earlier(connection, owner_id, key=key, digest=digest)
        if earlier is not None:
            return earlier
        # The key was let go between the two statements: it is free again.
    if search is not None:
        await queries.note_search(connection, group_id, dict(search))
    transition = []
    for index, (kind, request) in enumerate(jobs):
        new = await _new_job(connection, settings, owner_id, kind, request, group_id, index)
        created = await transitions.create(connection, new)
        assert created is not None  # noqa: S101  # it is refused only for its key, and it has none
        transition.append(created)
    return GroupSubmitted(group_id, [created.job_id for created in transition], transition)


async def _new_job(
    connection: asyncpg.Connection,
    settings: Settings,
    owner_id: UUID,
    kind: Kind,
    request: Any,
    group_id: UUID,
    index: int,
) -> NewJob:
    try:
        found = await service.find(connection, owner_id, kind.references(request))
        return await offload(service.new_job, settings, owner_id, kind, request, found, group_id=group_id)
    except AppError as error:
        # Which one of the many it was, said as for a fault in the body's shape.
        error.facts["errors"] = [{"loc": ["body", "jobs", index], "msg": error.detail, "type": error.code}]
        raise


async def find_earlier(
    connection: asyncpg.Connection, owner_id: UUID, *, key: str | None, digest: bytes
) -> GroupSubmitted | None:
    """The group that the same request made before under this key; raises IdempotencyKeyReused."""
    if key is None or (earlier := await queries.of_key(connection, owner_id, key)) is None:
        return None
    if earlier["request_digest"] != digest:
        raise IdempotencyKeyReused
    return GroupSubmitted(earlier["id"], await queries.job_ids(connection, earlier["id"]), [], is_replay=True)


async def get_own(connection: asyncpg.Connection, owner_id: UUID, group_id: UUID) -> GroupView:
    """A group of this owner, as its jobs stand now; raises GroupNotFound."""
    rows = await queries.summary(connection, group_id)
    if not rows or rows[0]["owner_id"] != owner_id:
        raise GroupNotFound(group_id=str(group_id))
    statuses = {Status(row["status"]): row["jobs"] for row in rows if row["status"] is not None}
    jobs = sum(statuses.values())
    view = GroupView(
        group_id=group_id,
        created_at=rows[0]["created_at"],
        jobs=jobs,
        progress=round(sum(row["progress"] or 0 for row in rows) / jobs, 1) if jobs else 0.0,
        is_finished=all(status.is_final for status in statuses),
        statuses=statuses,
    )
    if rows[0]["search"] is not None:
        view["search"] = leaderboard.of(rows[0]["search"], await queries.trials(connection, group_id))
    return view


async def cancel(connection: asyncpg.Connection, owner_id: UUID, group_id: UUID) -> list[TransitionResult]:
    """Cancel every job of a group that has not ended; raises GroupNotFound."""
    await get_own(connection, owner_id, group_id)
    transition = [
        await transitions.cancel(connection, job_id=job_id)
        for job_id in await queries.job_ids(connection, group_id)
    ]
    return [cancelled for cancelled in transition if cancelled is not None]
