"""How one of the keeper's duties is repeated, and how it is known that it still is."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic, time

import asyncpg
import structlog

from app.core import metrics
from app.core.database import Database
from app.core.errors import DatabaseUnavailable, StorageUnavailable

log = structlog.get_logger(__name__)

Afterwards = Callable[[], Awaitable[None] | None]
Duty = Callable[[asyncpg.Connection], Awaitable[Afterwards | None]]
"""One round, inside a transaction. What it gives back is called once that is committed, to tell others."""


@dataclass
class Loop:
    """One duty, repeated about every `interval_seconds`. Its errors are logged; it goes on.

    Several processes may do the same duty at once without harm. Whoever finds another at it leaves it to
    that one: the lock is held for one round only, so that a frozen process keeps nobody from it.
    """

    name: str
    interval_seconds: float
    database: Database
    duty: Duty
    in_touch: Callable[[], None] = lambda: None
    """Called whenever Postgres has answered, also when the duty is left to another process."""

    clock: Callable[[], float] = field(default=monotonic, kw_only=True)
    _succeeded_at: float = field(init=False)
    _is_failing: bool = False

    def __post_init__(self) -> None:
        """Count the start as a success: a loop has some time to come to its first."""
        self._succeeded_at = self.clock()

    @property
    def is_healthy(self) -> bool:
        """Whether the last success is recent enough."""
        return self.clock() - self._succeeded_at < 10 * self.interval_seconds + 10

    async def run_forever(self) -> None:
        """Do the duty again and again, until cancelled."""
        while True:
            await self._do_once()
            # Jittered, so that the loops of many processes do not fall into step.
            await asyncio.sleep(self.interval_seconds * random.uniform(0.8, 1.2))  # noqa: S311  # spreads load

    async def _do_once(self) -> None:
        try:
            tell_others = await self._do_round()
            if tell_others is not None and (told := tell_others()) is not None:
                await told
        except (DatabaseUnavailable, StorageUnavailable) as error:
            self._failed(error)
        except Exception as error:
            self._failed(error)
            log.exception("keeper_loop_raised", loop=self.name)
        else:
            self._is_failing = False
            self._succeeded_at = self.clock()
            metrics.LOOP_LAST_SUCCESS.labels(self.name).set(time())

    async def _do_round(self) -> Afterwards | None:
        async with self.database.transaction() as connection:
            is_ours = await connection.fetchval(
                "SELECT pg_try_advisory_xact_lock(hashtext($1))", f"keeper:{self.name}"
            )
            self.in_touch()
            if is_ours:
                return await self.duty(connection)
        return None

    def _failed(self, error: Exception) -> None:
        if not self._is_failing:
            log.warning("keeper_loop_failed", loop=self.name, error=repr(error.__cause__ or error))
        self._is_failing = True
