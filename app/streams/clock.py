"""Clock that tells every connected client the time at each full second."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, Protocol

import structlog

from app.core import metrics

RETRY_SECONDS: Final = 5.0
"""Pause after an error."""

EARLY_SECONDS: Final = 0.01
"""How early a timer may fire by the wall clock: timers run on the monotonic clock."""

log = structlog.get_logger(__name__)


class Broadcaster(Protocol):
    """Sends the time to all clients of one transport."""

    async def tick(self, date: datetime) -> None:
        """Queue the frame of this second for every client, without waiting for any of them."""


class Clock:
    """Broadcasts the time to all clients from a single task."""

    def __init__(
        self,
        *broadcasters: Broadcaster,
        retry_seconds: float = RETRY_SECONDS,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._broadcasters = broadcasters
        self._retry_seconds = retry_seconds
        self._wall = wall
        self._sleep = sleep
        self._last_success = metrics.LOOP_LAST_SUCCESS.labels("clock")

    async def run_forever(self) -> None:
        """Tick until cancelled. After an error, log it and continue after a pause."""
        while True:
            try:
                await self._tick_forever()
            except Exception:
                log.exception("clock_failed")
                await asyncio.sleep(self._retry_seconds)

    async def _tick_forever(self) -> None:
        while True:
            # Send the full second that the timer was set for, not the time at which the task is scheduled.
            second = math.floor(self._wall() + EARLY_SECONDS) + 1
            await self._sleep(second - self._wall())
            date = datetime.fromtimestamp(second, UTC)
            for broadcaster in self._broadcasters:
                await broadcaster.tick(date)
            self._last_success.set_to_current_time()
