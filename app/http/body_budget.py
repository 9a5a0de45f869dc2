"""Limits the bytes of request bodies that a process holds in memory."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Final

from app.core.errors import ServerBusy

WAIT_SECONDS: Final = 10.0
MAX_WAITING: Final = 200
SHARES: Final = 4
"""At least this many users can send a large body at the same time."""

FREE_BYTES: Final = 4096
"""The first bytes of a small body are not counted, so that other requests can never block a sign-in."""

SMALL_BODIES_BYTES: Final = 16 * 1024 * 1024


class BodyBudget:
    """Large bodies wait until they fit, and no user can use the whole budget. `small` counts small bodies."""

    def __init__(self, max_body_bytes: int) -> None:
        self._share = 2 * max_body_bytes
        self._total = SHARES * self._share
        self._held: Counter[Hashable] = Counter()
        self._waiting: list[asyncio.Future[None]] = []
        self.small = SmallBodies()

    @asynccontextmanager
    async def hold(self, owner: Hashable, size: int) -> AsyncIterator[None]:
        """Reserve memory for a body during the `with`. Raises ServerBusy if none becomes free in time."""
        if not self._has_room(owner, size):
            await self._wait(owner, size)
        self._held[owner] += size
        try:
            yield
        finally:
            self._held[owner] -= size
            if not self._held[owner]:
                del self._held[owner]
            for waiting in self._waiting:
                if not waiting.done():
                    waiting.set_result(None)

    def _has_room(self, owner: Hashable, size: int) -> bool:
        return self._held[owner] + size <= self._share and self._held.total() + size <= self._total

    async def _wait(self, owner: Hashable, size: int) -> None:
        if len(self._waiting) >= MAX_WAITING:
            raise ServerBusy
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while not self._has_room(owner, size):
                    waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._waiting.append(waiting)
                    try:
                        await waiting
                    finally:
                        self._waiting.remove(waiting)
        except TimeoutError:
            raise ServerBusy from None


class SmallBodies:
    """Counts the bytes of small bodies in memory, including those of unauthenticated requests."""

    def __init__(self, limit: int = SMALL_BODIES_BYTES) -> None:
        self._limit = limit
        self._held = 0

    def add(self, size: int) -> None:
        """Add bytes.

        Raises ServerBusy if there are too many; even then they count until they are removed.
        """
        self._held += size
        if self._held > self._limit:
            raise ServerBusy

    def remove(self, size: int) -> None:
        """Remove bytes."""
        self._held -= size
