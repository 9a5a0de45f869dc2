"""Operations on groups. The caller's unit of work commits and publishes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
from msgspec.structs import replace

from app.audit import commands as audit
from app.audit.actions import Action, ObjectType
from app.audit.values import Actor, Entry
from app.core import ids, tracing
from app.core.config import Settings
from app.core.errors import AppError
from app.http.offloading import offload
from app.jobs import service, transitions
from app.jobs.errors import CannotShard, GroupNotFound, IdempotencyKeyReused
from app.jobs.groups import commands, queries
from app.jobs.groups.queries import Group
from app.jobs.groups.schemas import GroupView
from app.jobs.kinds.kind import Kind
from app.jobs.quota import Quota
from app.jobs.requests import JobOptions
from app.jobs.searches import leaderboard
from app.jobs.shards.plan import MAX_SHARDS
from app.jobs.states import Status
from app.jobs.transition_types import NewJob
from app.jobs.unit_of_work import UnitOfWork

Place = tuple[()] | tuple[str, int]
"""Where a job is in the request: in a list, at an index. It is empty for one made of the whole request."""


@dataclass(frozen=True)
class GroupSubmitted:
    """The group that a request created. `is_replay` means that an earlier, identical request created it."""

    group_id: UUID
    job_ids: list[UUID]
    is_replay: bool = False


@dataclass(frozen=True)
class Cancelled:
    """How many jobs were pending and are cancelled, and for how many running ones that is requested."""

    at_once: int
    requested: int


async def submit(
    unit: UnitOfWork,
    settings: Settings,
    owner_id: UUID,
    jobs: Sequence[tuple[Kind, JobOptions]],
    *,
    key: str | None,
    digest: bytes,
    search: Mapping[str, Any] | None = None,
    member: str | None,
    quota: Quota,
) -> GroupSubmitted:
    """Create all jobs of a request in the caller's transaction. `member` is as in `plan_all`.

    The caller's quota has admitted the jobs; shards are checked here. Raises IdempotencyKeyReused,
    TooManyActiveJobs, and what the plans of the kinds raise.
    """
    group_id = ids.new_id()
    connection = unit.connection
    while not await commands.add(connection, group_id, owner_id, key, None if key is None else digest):
        earlier = await find_earlier(connection, owner_id, key=key, digest=digest)
        if earlier is not None:
            return earlier
        # The key expired between the two statements and is free again.
    if search is not None:
        await commands.store_search(connection, group_id, dict(search))
    planned = await plan_all(connection, settings, owner_id, jobs, group_id, member)
    with_shards = sum(job.jobs for job in planned)
    if with_shards > len(jobs):
        await quota.check(connection, owner_id, with_shards)
    job_ids = []
    with tracing.sending(_only_queue(jobs), jobs=len(jobs)) as send:
        for new in planned:
            created = await transitions.create(unit, replace(new, trace_context=send.trace_context))
            assert created is not None  # noqa: S101  # only a job with an idempotency key may exist already
            job_ids.append(created.job_id)
    return GroupSubmitted(group_id, job_ids)


def _only_queue(jobs: Sequence[tuple[Kind, JobOptions]]) -> str | None:
    """Return the queue of all jobs; None if they go to different ones."""
    queues = {request.queue_or(kind.queue) for kind, request in jobs}
    return queues.pop() if len(queues) == 1 else None


async def plan_all(
    connection: asyncpg.Connection,
    settings: Settings,
    owner_id: UUID,
    jobs: Sequence[tuple[Kind, JobOptions]],
    group_id: UUID | None,
    member: str | None,
) -> list[NewJob]:
    """Plan the jobs of a group, with at most MAX_SHARDS shards in all.

    `member` is the list in the request that they are made of, None if each is made of the whole request.
    Those beyond are not divided if they leave it to the server. Raises CannotShard for others.
    """
    planned = []
    left = MAX_SHARDS
    for index, (kind, request) in enumerate(jobs):
        place = () if member is None else (member, index)
        new = await plan(connection, settings, owner_id, kind, request, group_id, place)
        new = await service.divide(connection, settings, new)
        if new.shards is not None and new.shards.shards > left:
            if new.divisible is not None and new.divisible.wanted is not None:
                raise _at(place, CannotShard(reason=f"a request may have {MAX_SHARDS} shards in all."))
            new = replace(new, shards=None)
        left -= new.jobs - 1
        planned.append(new)
    return planned


async def plan(
    connection: asyncpg.Connection,
    settings: Settings,
    owner_id: UUID,
    kind: Kind,
    request: Any,
    group_id: UUID | None,
    place: Place,
) -> NewJob:
    """Plan one job of a group. Errors refer to its `place`."""
    try:
        await service.ensure_own_source(connection, owner_id, request)
        found = await service.resolve(connection, owner_id, kind.references(request))
        return await offload(service.new_job, settings, owner_id, kind, request, found, group_id=group_id)
    except AppError as error:
        raise _at(place, error) from None


def _at(place: Place, error: AppError) -> AppError:
    """Say which of the jobs it is, in the same form as for an invalid body."""
    if not place:  # as for a single job: the facts of the error name the field
        return error
    error.facts["errors"] = [{"loc": ["body", *place], "msg": error.detail, "type": error.code}]
    return error


async def find_earlier(
    connection: asyncpg.Connection, owner_id: UUID, *, key: str | None, digest: bytes
) -> GroupSubmitted | None:
    """Return the group that the same request created with this key. Raises IdempotencyKeyReused."""
    if key is None or (earlier := await queries.group_by_key(connection, owner_id, key)) is None:
        return None
    if earlier.request_digest != digest:
        raise IdempotencyKeyReused
    return GroupSubmitted(earlier.id, await queries.job_ids(connection, earlier.id), is_replay=True)


async def get_own(connection: asyncpg.Connection, owner_id: UUID | None, group_id: UUID) -> GroupView:
    """Return a group of this owner, None: of any, with the statuses of its jobs. Raises GroupNotFound."""
    group = await _find_own(connection, owner_id, group_id)
    jobs = sum(group.statuses.values())
    view = GroupView(
        group_id=group_id,
        created_at=group.created_at,
        jobs=jobs,
        progress=round(group.progress / jobs, 1) if jobs else 0.0,
        is_finished=all(status.is_final for status in group.statuses),
        statuses=group.statuses,
    )
    if group.search is not None:
        view["search"] = leaderboard.rank_trials(group.search, await queries.trials(connection, group_id))
    return view


async def _find_own(connection: asyncpg.Connection, owner_id: UUID | None, group_id: UUID) -> Group:
    group = await queries.group(connection, group_id)
    if group is None or owner_id not in (None, group.owner_id):
        raise GroupNotFound(group_id=str(group_id))
    return group


async def cancel(unit: UnitOfWork, owner_id: UUID | None, group_id: UUID, *, by: Actor) -> Cancelled:
    """Cancel every job of a group that has not ended. Raises GroupNotFound.

    The audit log records it for the group of another user.
    """
    group = await _find_own(unit.connection, owner_id, group_id)
    if group.owner_id == by.user_id:
        return await _cancel(unit, group_id)
    async with unit.transaction():
        cancelled = await _cancel(unit, group_id)
        if cancelled == Cancelled(0, requested=0):
            return cancelled
        entry = Entry(
            Action.GROUP_CANCELLED,
            ObjectType.GROUP,
            str(group_id),
            details={
                "owner_id": str(group.owner_id),
                "cancelled": cancelled.at_once,
                "cancel_requested": cancelled.requested,
            },
        )
        await audit.record(unit.connection, by, entry)
    return cancelled


async def _cancel(unit: UnitOfWork, group_id: UUID) -> Cancelled:
    results = [
        await service.cancel_with_shards(unit, job_id)
        for job_id in await queries.job_ids(unit.connection, group_id)
    ]
    statuses = [result.status for result in results if result is not None]
    at_once = statuses.count(Status.CANCELLED)
    return Cancelled(at_once, requested=len(statuses) - at_once)
