"""Roll-up: brings jobs that are divided into shards up to date with these."""

from collections.abc import Sequence
from functools import partial
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from app.core.hints import Hints
from app.jobs.shards import tallies, transitions
from app.jobs.shards.transitions import FIRST
from app.jobs.unit_of_work import UnitOfWork
from app.maintenance.loop import AfterCommit, Loop, RoundResult

PARENTS_AT_ONCE: Final = 20

log = structlog.get_logger(__name__)


class RollUp:
    """Rolls up open parents, some in each round, in the order of their ids."""

    def __init__(self, hints: Hints, *, parents_at_once: int = PARENTS_AT_ONCE) -> None:
        self._hints = hints
        self._parents_at_once = parents_at_once
        self._after = FIRST
        self._refused: set[UUID] = set()

    async def __call__(self, connection: asyncpg.Connection) -> AfterCommit:
        """Roll up the next parents. The result publishes their events, after the commit."""
        unit = UnitOfWork(connection)
        parent_ids = await transitions.lock_next(unit, self._after, limit=self._parents_at_once)
        is_last = len(parent_ids) < self._parents_at_once
        self._after = FIRST if is_last else parent_ids[-1]
        try:
            async with unit.transaction():
                await transitions.roll_up(unit, parent_ids)
        except asyncpg.PostgresError:
            await self._roll_up_each(unit, parent_ids)
        return partial(unit.publish, self._hints)

    async def _roll_up_each(self, unit: UnitOfWork, parent_ids: Sequence[UUID]) -> None:
        """Roll up parents one by one, so that one that Postgres refuses holds up no other."""
        for parent_id in parent_ids:
            try:
                async with unit.transaction():
                    await transitions.roll_up(unit, [parent_id])
            except asyncpg.PostgresError as error:
                if parent_id not in self._refused:  # once, not in each round
                    log.error("roll_up_refused", job_id=str(parent_id), error=str(error))
                self._refused.add(parent_id)
            else:
                self._refused.discard(parent_id)


class RollUpLoop(Loop):
    """Checks several times a second whether any parent is open, without a lock, before it does a round."""

    async def _do_round(self) -> RoundResult:
        async with self.database.connection() as connection:
            is_any_open = await tallies.is_any_parent_open(connection)
        return await super()._do_round() if is_any_open else RoundResult.DONE
