"""One maintenance duty, repeated, and a health check for the repetition."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from time import monotonic, perf_counter, time

import asyncpg
import structlog
from prometheus_client import Counter, Histogram

from app.core import metrics
from app.core.database import Database
from app.core.errors import DatabaseUnavailable, StorageUnavailable
from app.core.loops import LoopState
from app.maintenance import locks

log = structlog.get_logger(__name__)

AfterCommit = Callable[[], Awaitable[None] | None]
Duty = Callable[[asyncpg.Connection], Awaitable[AfterCommit | None]]
"""One round, inside a transaction. What it returns is called after the commit."""


class RoundResult(StrEnum):
    """How a round ended. `left`: another process was performing the duty, or had just done so."""

    DONE = "done"
    LEFT = "left"
    FAILED = "failed"


async def _always() -> bool:
    return True


@dataclass
class Loop:
    """One duty, repeated about every `interval_seconds`. Errors are logged and do not end the loop.

    Several processes may perform the same duty at once without harm. A process skips the round if another one
    is performing it. The lock is held for one round only, so that a frozen process does not block the others.
    """

    name: str
    interval_seconds: float
    database: Database
    duty: Duty
    in_touch: Callable[[], None] = lambda: None
    """Called whenever Postgres responds, even if another process performs the duty."""

    may_begin: Callable[[], Awaitable[bool]] = field(default=_always, kw_only=True)
    """Asked before a round, unless the last one failed. If not, the round is left to another process."""

    clock: Callable[[], float] = field(default=monotonic, kw_only=True)
    _succeeded_at: float = field(init=False)
    _rounds: dict[RoundResult, Counter] = field(init=False)
    _seconds: Histogram = field(init=False)
    _is_failing: bool = False
    _round_count: int = field(default=0, init=False)
    _failure_count: int = field(default=0, init=False)
    _last_success_at: datetime | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Count the start as a success, which gives the loop time for its first round."""
        self._succeeded_at = self.clock()
        self._seconds = metrics.LOOP_SECONDS.labels(self.name)
        self._rounds = {result: metrics.LOOP_ROUNDS.labels(self.name, result) for result in RoundResult}

    @property
    def is_healthy(self) -> bool:
        """Whether the last success is recent enough."""
        return self.clock() - self._succeeded_at < 10 * self.interval_seconds + 10

    @property
    def state(self) -> LoopState:
        """How it is doing."""
        return LoopState(
            self.name, self.is_healthy, self._last_success_at, self._round_count, self._failure_count
        )

    async def run_forever(self) -> None:
        """Perform the duty repeatedly, until cancelled."""
        while True:
            await self._do_once()
            # Jittered, so that the loops of many processes do not synchronise.
            await asyncio.sleep(self.interval_seconds * random.uniform(0.8, 1.2))  # noqa: S311  # spreads load

    async def _do_once(self) -> None:
        started_at = perf_counter()
        result = await self._try_round()
        self._rounds[result].inc()
        self._seconds.observe(perf_counter() - started_at)
        self._round_count += 1
        if result is RoundResult.FAILED:
            self._failure_count += 1
            return
        if self._is_failing:
            self._is_failing = False
            log.info("maintenance_loop_recovered", loop=self.name)
        self._succeeded_at = self.clock()
        self._last_success_at = datetime.now(UTC)
        metrics.LOOP_LAST_SUCCESS.labels(self.name).set(time())

    async def _try_round(self) -> RoundResult:
        try:
            may_begin = self._is_failing or await self.may_begin()
            return await self._do_round() if may_begin else RoundResult.LEFT
        except (DatabaseUnavailable, StorageUnavailable) as error:
            self._failed(error)
        except Exception as error:
            self._failed(error)
            log.exception("maintenance_loop_raised", loop=self.name)
        return RoundResult.FAILED

    async def _do_round(self) -> RoundResult:
        async with self.database.transaction() as connection:
            is_ours = await locks.try_for_transaction(connection, self.name)
            self.in_touch()
            if not is_ours:
                return RoundResult.LEFT
            after_commit = await self.duty(connection)
        if after_commit is not None and (pending := after_commit()) is not None:
            await pending
        return RoundResult.DONE

    def _failed(self, error: Exception) -> None:
        if not self._is_failing:
            log.warning("maintenance_loop_failed", loop=self.name, error=repr(error.__cause__ or error))
        self._is_failing = True
