"""Operations on all schedules of a group, one after the other, each in a transaction of its own.

A group is a label of one user: a process that dies in between leaves a part of it unchanged, and the same
request changes the rest.
"""

from collections.abc import Awaitable, Callable

import asyncpg

from app.audit.values import Actor
from app.auth.identities import Identity
from app.core.database import Database
from app.core.errors import AppError
from app.core.resources import Resources
from app.jobs.quota import Quota
from app.jobs.unit_of_work import unit_of_work
from app.schedules import queries, service
from app.schedules.errors import (
    ScheduleBroken,
    ScheduleBusy,
    ScheduleFinished,
    ScheduleGroupNotFound,
    ScheduleNotFound,
    ScheduleTimePassed,
)
from app.schedules.service import Planner
from app.schedules.values import Reason, ScheduleRow

_UNCHANGEABLE = (ScheduleNotFound, ScheduleFinished, ScheduleTimePassed, ScheduleBroken)
"""Why a schedule of a group is left out. Not found: it was deleted in the meantime."""

Change = Callable[[asyncpg.Connection, str], Awaitable[ScheduleRow]]


async def pause(database: Database, caller: Identity, group: str, *, by: Actor) -> int:
    """Pause the schedules of a group. Return how many are paused. Raises ScheduleGroupNotFound."""
    return await _change_each(
        database, caller, group, lambda connection, one: service.pause(connection, caller, one, by=by)
    )


async def resume(database: Database, caller: Identity, group: str, *, by: Actor) -> int:
    """Resume the schedules of a group. Return how many are active. Raises ScheduleGroupNotFound."""
    return await _change_each(
        database, caller, group, lambda connection, one: service.resume(connection, caller, one, by=by)
    )


async def run(resources: Resources, planner: Planner, quota: Quota, caller: Identity, group: str) -> int:
    """Run the schedules of a group that are idle. Return how many have a job. Raises ScheduleGroupNotFound.

    Quota and templates are checked as at a tick: what is refused is a firing with the reason.
    """
    ran = 0
    for one in await _ids(resources.database, caller, group):
        ran += await _run(resources, planner, quota, caller, one)
    return ran


async def _run(resources: Resources, planner: Planner, quota: Quota, caller: Identity, one: str) -> bool:
    by = Actor(user_id=caller.id)
    try:
        async with unit_of_work(resources.hints, resources.database.transaction()) as unit:
            await service.run(unit, planner, quota, caller, one, is_forced=False, by=by)
    except (ScheduleNotFound, ScheduleBusy):
        return False
    except AppError as error:
        if error.status >= 500:
            raise
        async with resources.database.transaction() as connection:
            await service.refuse(connection, caller, one, Reason(code=error.code, message=error.detail))
        return False
    return True


async def delete(resources: Resources, caller: Identity, group: str, *, cancels_jobs: bool, by: Actor) -> int:
    """Delete the schedules of a group. Return how many. Raises ScheduleGroupNotFound."""
    deleted = 0
    for one in await _ids(resources.database, caller, group):
        async with unit_of_work(resources.hints, resources.database.connection()) as unit:
            try:
                await service.delete(unit, caller, one, cancels_jobs=cancels_jobs, by=by)
            except ScheduleNotFound:
                continue
        deleted += 1
    return deleted


async def _change_each(database: Database, caller: Identity, group: str, change: Change) -> int:
    changed = 0
    for one in await _ids(database, caller, group):
        try:
            async with database.transaction() as connection:
                await change(connection, one)
        except _UNCHANGEABLE:
            continue
        changed += 1
    return changed


async def _ids(database: Database, caller: Identity, group: str) -> list[str]:
    async with database.connection() as connection:
        found = await queries.ids_of_group(connection, caller.id, group)
    if not found:
        raise ScheduleGroupNotFound(group=group)
    return [str(schedule_id) for schedule_id in found]
