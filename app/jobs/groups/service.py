"""What can be done with groups. Commits nothing, sends nothing: its callers do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from app.core import ids
from app.core.config import Settings
from app.jobs import service, transitions
from app.jobs.errors import GroupNotFound, IdempotencyKeyReused, TooManyJobs
from app.jobs.groups import queries
from app.jobs.groups.schemas import MAX_JOBS, GroupView
from app.jobs.kinds.kind import Kind
from app.jobs.moves import Moved
from app.jobs.states import Status


@dataclass(frozen=True)
class GroupSubmitted:
    """A new group with the moves of its jobs, or the one that the same request made before, without."""

    group_id: UUID
    job_ids: list[UUID]
    moved: list[Moved]
    is_replay: bool = False


async def submit(
    connection: asyncpg.Connection,
    settings: Settings,
    owner_id: UUID,
    kinds: Mapping[str, Kind],
    request: Any,
    key: str | None,
) -> GroupSubmitted:
    """Create all jobs of a bulk request in the caller's transaction.

    Raises TooManyJobs, IdempotencyKeyReused, and what the plans of the kinds raise.
    """
    if len(request.jobs) > MAX_JOBS:
        raise TooManyJobs(limit=MAX_JOBS, got=len(request.jobs))
    group_id = ids.new_id()
    digest = None if key is None else service.digest("bulk", request)
    if not await queries.add(connection, group_id, owner_id, key, digest):
        return await _replay(connection, owner_id, key, digest)
    moved = []
    for job in request.jobs:
        new = service.new_job(settings, owner_id, kinds[job.kind], job, group_id=group_id)
        created = await transitions.create(connection, new)
        assert created is not None  # noqa: S101  # it is refused only for its key, and it has none
        moved.append(created)
    return GroupSubmitted(group_id, [created.job_id for created in moved], moved)


async def _replay(
    connection: asyncpg.Connection, owner_id: UUID, key: str | None, digest: bytes | None
) -> GroupSubmitted:
    earlier = await queries.of_key(connection, owner_id, key or "")
    if earlier is None or earlier["request_digest"] != digest:
        raise IdempotencyKeyReused
    return GroupSubmitted(earlier["id"], await queries.job_ids(connection, earlier["id"]), [], is_replay=True)


async def get_own(connection: asyncpg.Connection, owner_id: UUID, group_id: UUID) -> GroupView:
    """A group of this owner, as its jobs stand now; raises GroupNotFound."""
    rows = await queries.summary(connection, group_id)
    if not rows or rows[0]["owner_id"] != owner_id:
        raise GroupNotFound(group_id=str(group_id))
    statuses = {Status(row["status"]): row["jobs"] for row in rows if row["status"] is not None}
    jobs = sum(statuses.values())
    return GroupView(
        group_id=group_id,
        created_at=rows[0]["created_at"],
        jobs=jobs,
        progress=round(sum(row["progress"] or 0 for row in rows) / jobs, 1) if jobs else 0.0,
        is_finished=all(status.is_final for status in statuses),
        statuses=statuses,
    )


async def cancel(connection: asyncpg.Connection, owner_id: UUID, group_id: UUID) -> list[Moved]:
    """Cancel every job of a group that has not ended; raises GroupNotFound."""
    await get_own(connection, owner_id, group_id)
    moved = [
        await transitions.cancel(connection, job_id=job_id)
        for job_id in await queries.job_ids(connection, group_id)
    ]
    return [cancelled for cancelled in moved if cancelled is not None]
