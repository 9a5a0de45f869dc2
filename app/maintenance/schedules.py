"""Schedules: every process fires those that are due, side by side with the others.

Without the lock of the duty: each process locks the schedules that it fires, and skips those that another one
is firing. A process that is frozen in a round holds up its schedules only, until Postgres ends its session.
"""

import asyncio
import random
from dataclasses import dataclass, field
from math import inf
from typing import Final

from app.core import metrics
from app.core.hints import Hints
from app.jobs.unit_of_work import unit_of_work
from app.maintenance.loop import Loop, RoundResult
from app.schedules.firing import Dispatcher, Round
from app.schedules.states import FiringOutcome

BUSY_SECONDS: Final = 0.03
"""How long to wait if other processes are firing what is due."""

SPREAD_SECONDS: Final = 0.004
"""Processes that know the same tick look at it within this time of each other: the first one fires it."""

MOST_AT_ONCE: Final = 2
"""Rounds at once while more is due than fits into one: one computes while Postgres works for the other."""

RENEW_SECONDS: Final = 5.0


@dataclass
class ScheduleLoop(Loop):
    """Looks at least every `interval_seconds` when the next tick is, and sleeps until then.

    The duty computes next ticks again, see `Dispatcher.renew`; one process at a time does it.
    """

    dispatcher: Dispatcher = field(kw_only=True)
    hints: Hints = field(kw_only=True)
    renew_seconds: float = field(default=RENEW_SECONDS, kw_only=True)
    _wait_seconds: float = field(default=0.0, init=False)
    _rounds_at_once: int = field(default=1, init=False)
    _renewed_at: float = field(default=-inf, init=False)

    def __post_init__(self) -> None:
        """Create the series, so that `rate()` sees the first tick of each outcome."""
        super().__post_init__()
        for outcome in FiringOutcome:
            metrics.SCHEDULE_FIRINGS.labels(outcome)

    async def run_forever(self) -> None:
        """Fire schedules until cancelled."""
        while True:
            self._wait_seconds = self.interval_seconds
            await self._do_once()
            spread = random.random() * min(SPREAD_SECONDS, self._wait_seconds)  # noqa: S311  # spreads load
            await asyncio.sleep(self._wait_seconds + spread)

    async def _do_round(self) -> RoundResult:
        if self.clock() - self._renewed_at >= self.renew_seconds:
            await super()._do_round()
            self._renewed_at = self.clock()
        async with self.database.connection() as connection:
            look = await self.dispatcher.look(connection)
        if look.has_waiting:
            await self._promote()
        if look.seconds is None:
            return RoundResult.DONE
        if look.seconds > 0:
            self._wait_seconds = min(self._wait_seconds, look.seconds)
            return RoundResult.DONE
        rounds = await self._fire_at_once()
        has_fired = any(fired.schedules for fired in rounds)
        self._rounds_at_once = MOST_AT_ONCE if any(fired.is_full for fired in rounds) else 1
        # What is due next is not known: look again, at once unless others are firing it.
        self._wait_seconds = 0.0 if has_fired else BUSY_SECONDS
        return RoundResult.DONE if has_fired else RoundResult.LEFT

    async def _fire_at_once(self) -> list[Round]:
        rounds = await asyncio.gather(
            *(self._fire() for _ in range(self._rounds_at_once)), return_exceptions=True
        )
        done = []
        for fired in rounds:
            if isinstance(fired, BaseException):
                raise fired
            done.append(fired)
        return done

    async def _fire(self) -> Round:
        async with unit_of_work(self.hints, self.database.transaction(), failpoint="fire") as unit:
            fired = await self.dispatcher.fire(unit)
        fired.count()
        return fired

    async def _promote(self) -> None:
        async with unit_of_work(self.hints, self.database.transaction(), failpoint="promote") as unit:
            promoted = await self.dispatcher.promote(unit)
        promoted.count()
        if promoted.is_full:
            self._wait_seconds = 0.0
