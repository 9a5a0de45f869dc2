"""The pace of a duty that many processes share: frequent rounds are those of all of them together.

Without it, each API process and each worker would query Postgres several times a second for the same rows.
"""

import asyncio
from typing import Final

from redis.asyncio import ConnectionPool, Redis

from app.core import keys
from app.core.redis import UNREACHABLE, Availability, Operation

ASK_SECONDS: Final = 1.0
"""Timeout for Redis."""


class Pace:
    """Allows one of all processes to begin a round in so many `seconds`; each of them while Redis is away."""

    def __init__(self, pool: ConnectionPool, availability: Availability, duty: str, seconds: float) -> None:
        self._redis = Redis(connection_pool=pool)
        self._availability = availability
        self._key = keys.pace(duty)
        self._milliseconds = int(seconds * 1000)

    async def __call__(self) -> bool:
        """Return whether this process is the first to ask within the time."""
        if not self._availability.is_up:
            return True
        try:
            async with asyncio.timeout(ASK_SECONDS):
                is_first = await self._redis.set(self._key, b"", nx=True, px=self._milliseconds)
        except UNREACHABLE as error:
            self._availability.failed(error, Operation.PUBLISH)
            return True
        return bool(is_first)
