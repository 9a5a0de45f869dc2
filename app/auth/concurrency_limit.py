"""Limits concurrency, and shares it fairly between client networks."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from app.core.errors import AppError


class ConcurrencyLimiter:
    """Admits `at_once` callers, lets a bounded number wait, and refuses the rest.

    Waiting networks are served round-robin, so that a flood from one does not delay the others. When all
    waiting places are taken, a caller from a network with few of them replaces the last caller of the network
    with the most.
    """

    def __init__(
        self,
        *,
        at_once: int,
        waiting: int,
        too_many: Callable[[], AppError],
        wait_seconds: float = 30.0,
    ) -> None:
        """At most `waiting` callers wait, each for at most `wait_seconds`."""
        self._free = at_once
        self._max_waiting = waiting
        self._too_many = too_many
        self._wait_seconds = wait_seconds
        self._queues: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._waiting = 0

    @asynccontextmanager
    async def turn(self, network: str) -> AsyncIterator[None]:
        """Wait for a turn and hold it during the body. Raises the `too_many` error if there is none."""
        await self._enter(network)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, network: str) -> None:
        if self._free and not self._waiting:
            self._free -= 1
            return
        if self._waiting >= self._max_waiting:
            self._make_room(network)
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(network, deque()).append(place)
        self._waiting += 1
        try:
            async with asyncio.timeout(self._wait_seconds):
                await place
        except TimeoutError:
            raise self._too_many() from None
        finally:
            # Admitted and cancelled at the same moment: the turn goes to the next caller.
            task = asyncio.current_task()
            if place.cancelled():
                self._forget(network, place)
            elif task is not None and task.cancelling() and place.exception() is None:
                self._leave()

    def _make_room(self, network: str) -> None:
        longest = max(self._queues, key=lambda name: len(self._queues[name]))
        mine = len(self._queues.get(network, ()))
        if len(self._queues[longest]) <= mine + 1:
            raise self._too_many()
        evicted = self._queues[longest][-1]
        self._forget(longest, evicted)
        if not evicted.done():
            evicted.set_exception(self._too_many())

    def _forget(self, network: str, place: asyncio.Future[None]) -> None:
        queue = self._queues.get(network)
        if queue is None or place not in queue:
            return
        queue.remove(place)
        self._waiting -= 1
        if not queue:
            del self._queues[network]

    def _leave(self) -> None:
        self._free += 1
        while self._free and self._queues:
            network, queue = next(iter(self._queues.items()))
            place = queue[0]
            self._forget(network, place)
            if network in self._queues:
                self._queues.move_to_end(network)
            if not place.done():
                self._free -= 1
                place.set_result(None)
