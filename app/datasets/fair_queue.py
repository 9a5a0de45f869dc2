"""A fair queue: a limited number of places, at most one for each owner, served round-robin."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID


class FairQueue:
    """Admits `places` callers at a time, at most one of each owner.

    When a caller leaves, the next call of the same owner queues behind those of all other owners.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._inside: set[UUID] = set()
        self._waiting: OrderedDict[UUID, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, owner_id: UUID) -> AsyncIterator[None]:
        """Wait for a place, and hold it during the body."""
        await self._enter(owner_id)
        try:
            yield
        finally:
            self._leave(owner_id)

    async def _enter(self, owner_id: UUID) -> None:
        entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner_id, deque()).append(entered)
        self._admit()
        try:
            await entered
        except asyncio.CancelledError:
            if entered.done() and not entered.cancelled():
                self._leave(owner_id)  # admitted and cancelled in the same moment
            else:
                self._forget(owner_id, entered)
            raise

    def _leave(self, owner_id: UUID) -> None:
        self._inside.discard(owner_id)
        self._free += 1
        if owner_id in self._waiting:
            self._waiting.move_to_end(owner_id)
        self._admit()

    def _admit(self) -> None:
        for owner_id in list(self._waiting):
            if not self._free:
                return
            if owner_id in self._inside:
                continue
            entered = self._waiting[owner_id][0]
            self._forget(owner_id, entered)
            if entered.cancelled():
                continue
            self._free -= 1
            self._inside.add(owner_id)
            entered.set_result(None)

    def _forget(self, owner_id: UUID, entered: asyncio.Future[None]) -> None:
        waiting = self._waiting.get(owner_id)
        if waiting is None or entered not in waiting:
            return
        waiting.remove(entered)
        if not waiting:
            del self._waiting[owner_id]
