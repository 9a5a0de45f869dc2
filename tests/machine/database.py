"""The database of the state machine: one connection, and a clock that the machine moves.

Postgres' `now()` cannot be set, but within one transaction it stands still. So each step is one transaction,
and before it acts every instant that still matters is written anew, as far from `now()` as it is from the
model's clock. What a transition then computes from `now()` is read back in the same way, to the microsecond.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg

from app.core.database import Database
from tests.machine.model import Model

_EMPTY = ("DELETE FROM jobs", "DELETE FROM workers", "DELETE FROM users")

# A job that has ended does not change, but its start moves with the clock: the turn of its owner depends
# on it.
_GUARD = (
    "DROP TRIGGER jobs_guard ON jobs",
    """CREATE TRIGGER jobs_guard BEFORE UPDATE ON jobs FOR EACH ROW
    WHEN (current_setting('machine.sets_clock', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION jobs_guard()""",
)

_SET_STARTS = """
UPDATE jobs SET attempt_started_at = now() + t.attempt_started_at
FROM unnest($1::uuid[], $2::interval[]) AS t (id, attempt_started_at) WHERE jobs.id = t.id"""

_SET_JOBS = """
UPDATE jobs SET run_at = now() + t.run_at, sort_key = now() + t.sort_key
FROM unnest($1::uuid[], $2::interval[], $3::interval[]) AS t (id, run_at, sort_key) WHERE jobs.id = t.id"""

_SET_WORKERS = """
UPDATE workers SET seen_at = now() + t.seen_at
FROM unnest($1::uuid[], $2::interval[]) AS t (id, seen_at) WHERE workers.id = t.id"""


class OneConnection(Database):
    """The doors to Postgres, narrowed to a single connection, and so to its transaction."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.only = connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        yield self.only

    @asynccontextmanager
    async def step(self, model: Model) -> AsyncIterator[asyncpg.Connection]:
        """A transaction in which it is as late as the model says."""
        async with self.only.transaction():
            await self._set_clock(model)
            yield self.only

    async def prepare(self) -> None:
        """Let the clock be set."""
        for statement in _GUARD:
            await self.only.execute(statement)

    async def empty(self) -> None:
        for statement in _EMPTY:
            await self.only.execute(statement)

    async def _set_clock(self, model: Model) -> None:
        live = [job for job in model.jobs.values() if job.is_live]
        await self.only.execute(
            _SET_JOBS,
            [job.id for job in live],
            [timedelta(seconds=job.run_at - model.now) for job in live],
            [timedelta(seconds=job.sort_key - model.now) for job in live],
        )
        started = {
            job.id: timedelta(seconds=job.attempt_started_at - model.now)
            for job in model.jobs.values()
            if job.attempt_started_at is not None
        }
        await self.only.execute("SET LOCAL machine.sets_clock = on")
        await self.only.execute(_SET_STARTS, list(started), list(started.values()))
        await self.only.execute("SET LOCAL machine.sets_clock = off")
        await self.only.execute(
            _SET_WORKERS,
            list(model.seen_at),
            [timedelta(seconds=seen_at - model.now) for seen_at in model.seen_at.values()],
        )

    async def read(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        return await self.only.fetch(query, *arguments)

    async def live_instants(self) -> dict[UUID, tuple[float, float]]:
        """For each job that has not ended, how far its due time and its sort key are from now."""
        found = await self.read(
            """SELECT id, extract(epoch FROM run_at - now())::float8 AS run_at,
                extract(epoch FROM sort_key - now())::float8 AS sort_key
            FROM jobs WHERE status IN ('pending', 'running')"""
        )
        return {row["id"]: (row["run_at"], row["sort_key"]) for row in found}
