"""The only way to commit transitions: commit, then publish the events, then count the metrics.

    async with unit_of_work(resources.hints, resources.database.connection()) as unit:
        await transitions.cancel(unit, job_id=job_id)

Transitions take a unit instead of a connection and record in it what they changed. Nothing is published
before the commit, and nothing at all if the body raises: a published event is always a committed one. A
committed event may stay unpublished if the process dies in between; the hub and the maintenance loops detect
that.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import asyncpg

from app.core import failpoints
from app.core.hints import Hints
from app.jobs.counting import count_transition
from app.jobs.publishing import publish_transition
from app.jobs.transition_types import TransitionResult


class UnitOfWork:
    """A connection, and the transitions made through it that are not published yet."""

    __slots__ = ("_results", "connection")

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self._results: list[TransitionResult] = []

    @property
    def results(self) -> tuple[TransitionResult, ...]:
        """The transitions recorded so far."""
        return tuple(self._results)

    def record(self, results: Iterable[TransitionResult]) -> None:
        """Record transitions. Only `transitions` calls this."""
        self._results += results

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Run the body in a transaction, or in a savepoint of the one that is open.

        If the body raises, what it recorded is dropped together with what it wrote.
        """
        recorded = len(self._results)
        try:
            async with self.connection.transaction():
                yield
        except BaseException:
            del self._results[recorded:]
            raise

    def publish(self, hints: Hints) -> None:
        """Publish and count what was recorded. Call it only after the commit."""
        results, self._results = self._results, []
        for result in results:
            publish_transition(hints, result)
            count_transition(result)


@asynccontextmanager
async def unit_of_work(
    hints: Hints,
    connections: AbstractAsyncContextManager[asyncpg.Connection],
    *,
    failpoint: str | None = None,
) -> AsyncIterator[UnitOfWork]:
    """Open a unit on a connection, and publish its transitions once they are committed.

    `connections` decides what commits: `Database.connection()` each statement, `Database.transaction()` and
    `Quota.admit()` the whole body. A failpoint is reached twice: before the body, and after a commit that
    changed something.
    """
    if failpoint is not None:
        failpoints.reach(f"{failpoint}:before")
    async with connections as connection:
        unit = UnitOfWork(connection)
        yield unit
    if failpoint is not None and unit.results:
        failpoints.reach(f"{failpoint}:after")
    unit.publish(hints)
    await hints.let_wakes_leave()
