"""The clock: `time_update` to every connected WebSocket client, once a second, on the second."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, Protocol

import msgspec
import structlog

RETRY_SECONDS: Final = 5.0
"""How long the clock pauses after an error."""

EARLY_SECONDS: Final = 0.01
"""How much too early a timer may go off by the wall clock, which is not the one that timers run by."""

log = structlog.get_logger(__name__)


class Listeners(Protocol):
    """Everybody who wants to be told."""

    async def tick(self, frame: str) -> None:
        """Take the frame of this second; must not wait for any of them."""


class Clock:
    """Tells all listeners the time, from one task."""

    def __init__(
        self,
        listeners: Listeners,
        *,
        retry_seconds: float = RETRY_SECONDS,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._listeners = listeners
        self._retry_seconds = retry_seconds
        self._wall = wall
        self._sleep = sleep

    async def run_forever(self) -> None:
        """Tick until cancelled. An error is logged, and the clock goes on after a pause."""
        while True:
            try:
                await self._tick_forever()
            except Exception:
                log.exception("clock_failed")
                await asyncio.sleep(self._retry_seconds)

    async def _tick_forever(self) -> None:
        while True:
            # The second that is meant, not the moment at which the task comes to run.
            second = math.floor(self._wall() + EARLY_SECONDS) + 1
            await self._sleep(second - self._wall())
            await self._listeners.tick(time_frame(datetime.fromtimestamp(second, UTC)))


def time_frame(date: datetime) -> str:
    """The frame that says what time it is."""
    return msgspec.json.encode({"event": "time_update", "data": {"date": date}}).decode()
