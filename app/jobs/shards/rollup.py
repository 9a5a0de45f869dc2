"""Rolls parents up from outside the loop: at once when their last shard ends, and when they are cancelled."""

from collections.abc import Iterable
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from app.core.database import Database
from app.core.errors import DatabaseUnavailable
from app.core.hints import Hints
from app.jobs.shards import transitions
from app.jobs.states import Status
from app.jobs.transition_types import TransitionResult
from app.jobs.unit_of_work import UnitOfWork, unit_of_work

CANCEL_ROUNDS: Final = 5
"""How often a cancel tries to end shards that workers are writing at the moment; the loop ends the rest."""

log = structlog.get_logger(__name__)


async def roll_up_finished(database: Database, hints: Hints, results: Iterable[TransitionResult]) -> None:
    """Roll up the parents of shards that have ended with these transitions, if no other shard is open.

    What fails is left to the maintenance loop: the transitions are committed, and no attempt fails for it.
    """
    parent_ids = {
        result.parent_id for result in results if result.parent_id is not None and result.status.is_final
    }
    if not parent_ids:
        return
    try:
        async with unit_of_work(hints, database.transaction()) as unit:
            await transitions.roll_up(unit, await transitions.lock_finished(unit, list(parent_ids)))
    except (DatabaseUnavailable, asyncpg.PostgresError) as error:
        log.warning("roll_up_left_to_loop", error=repr(error))


async def end_cancelled(unit: UnitOfWork, parent_id: UUID) -> bool:
    """End the shards of a parent whose cancellation is requested, and then the parent.

    Return False if shards are left, which are being written.
    """
    for _ in range(CANCEL_ROUNDS):
        async with unit.transaction():
            locked = await transitions.lock(unit, parent_id)
            if locked is None or not locked.is_cancel_requested:  # ended, and perhaps retried since
                return True
            before = len(unit.results)
            await transitions.end_shards(unit, [parent_id])  # there is no need to count them before
            await transitions.roll_up(unit, [parent_id])
        if any(
            result.job_id == parent_id and result.status is Status.CANCELLED
            for result in unit.results[before:]
        ):
            return True
    return False
