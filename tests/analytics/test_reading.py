"""Figures are those of one snapshot, also while the statistics change."""

from typing import Any

import asyncpg

from app.analytics import queries
from app.analytics.facts import ALL_USERS
from app.analytics.ranges import TimeRange
from app.core.database import Database
from tests.support import jobs, statistics


class FoldingBetween:
    """A connection on which a fold happens after the first statement, which reads the watermark."""

    def __init__(self, connection: asyncpg.Connection, database: Database) -> None:
        self._connection = connection
        self._database = database
        self._has_folded = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def fetch(self, *arguments: Any) -> list[asyncpg.Record]:
        if not self._has_folded:
            self._has_folded = True
            await statistics.fold(self._database)
        return await self._connection.fetch(*arguments)


async def test_a_fold_between_the_watermark_and_the_figures_changes_nothing(database: Database) -> None:
    await jobs.complete(database, await jobs.running(database))

    async with database.connection() as connection:
        between: Any = FoldingBetween(connection, database)
        found = await queries.statistics(between, ALL_USERS, TimeRange.HOUR)

    assert (found.totals.jobs, found.totals.attempts) == (1, 1)
