"""Stats: measures the queues once for all processes, and adds the attempts that ended to the statistics.

It also learns which queues have a label of their own.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from math import inf
from typing import Final

import asyncpg

from app.analytics.folding import Folding
from app.core.metrics import MAX_QUEUES
from app.jobs.counting import JobSeries
from app.maintenance import commands, queries
from app.maintenance.loop import Loop, RoundResult

INTERVAL: Final = timedelta(seconds=7)
"""Shorter than the shortest wait of the loop, so that a process alone measures in each of its rounds."""

TOTALS_INTERVAL: Final = timedelta(minutes=1)
"""How often to count the dead letters and measure the database, which may take longer."""

FOLD_SECONDS: Final = 0.5
"""How long to catch up at most if the statistics are behind, before the next measurement."""

REST: Final = 20.0
"""The next measurement starts no sooner than this many times the duration of the last: 5 % of the time."""


async def measure(connection: asyncpg.Connection) -> None:
    """Measure the queues, and the totals if they are old."""
    await commands.measure(connection, totals_after=TOTALS_INTERVAL)


@dataclass
class StatsLoop(Loop):
    """Asks without a lock whether any process has measured recently, before it does so itself."""

    series: JobSeries = field(kw_only=True)
    folding: Folding = field(default=Folding(), kw_only=True)  # frozen
    _rests_until: float = -inf

    async def _do_round(self) -> RoundResult:
        async with self.database.connection() as connection:
            measurement = await queries.measurement(
                connection, interval=INTERVAL, rest=REST, limit=MAX_QUEUES
            )
        self.series.admit(measurement.served)
        if not measurement.is_due or self.clock() < self._rests_until:
            return RoundResult.LEFT
        started = self.clock()
        try:
            result = await super()._do_round()
            if result is RoundResult.DONE:
                await self._fold(until=self.clock() + FOLD_SECONDS)
            return result
        finally:  # also after an error: one that takes long must not be repeated at once
            self._rests_until = self.clock() + REST * (self.clock() - started)

    async def _fold(self, *, until: float) -> None:
        """Fold in transactions of their own: if it fails, the measurement stays."""
        is_behind = True
        while is_behind and self.clock() < until:
            async with self.database.transaction() as connection:
                is_behind = await self.folding.fold(connection)
