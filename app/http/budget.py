"""How many bytes of request bodies a process holds at a time."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Final

from app.core.errors import ServerBusy

WAIT_SECONDS: Final = 10.0
MAX_WAITING: Final = 200
SHARES: Final = 4
"""How many users can have a large request in hand at the least."""

FREE_BYTES: Final = 4096
"""So much of a small body is not counted: whoever only signs in is never refused because of others."""

SMALL_BODIES_BYTES: Final = 16 * 1024 * 1024


class BodyBudget:
    """Large bodies wait for their turn, and no user takes all of it. Small ones are counted in `small`."""

    def __init__(self, max_body_bytes: int) -> None:
        self._share = 2 * max_body_bytes
        self._total = SHARES * self._share
        self._held: Counter[Hashable] = Counter()
        self._waiting: list[asyncio.Future[None]] = []
        self.small = SmallBodies()

    @asynccontextmanager
    async def hold(self, owner: Hashable, size: int) -> AsyncIterator[None]:
        """Hold a body of this size during the `with`. Raises ServerBusy when it does not come to its turn."""
        if not self._fits(owner, size):
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

    def _fits(self, owner: Hashable, size: int) -> bool:
        return self._held[owner] + size <= self._share and self._held.total() + size <= self._total

    async def _wait(self, owner: Hashable, size: int) -> None:
        if len(self._waiting) >= MAX_WAITING:
            raise ServerBusy
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while not self._fits(owner, size):
                    waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._waiting.append(waiting)
                    try:
                        await waiting
                    finally:
                        self._waiting.remove(waiting)
        except TimeoutError:
            raise ServerBusy from None


class SmallBodies:
    """The bytes of small bodies that are held, those of requests included that nobody has signed in for."""

    def __init__(self, limit: int = SMALL_BODIES_BYTES) -> None:
        self._limit = limit
        self._held = 0

    def add(self, size: int) -> None:
        """Count so many bytes more. Raises ServerBusy, and they still count until they are removed."""
        self._held += size
        if self._held > self._limit:
            raise ServerBusy

    def remove(self, size: int) -> None:
        """Stop counting them."""
        self._held -= size
