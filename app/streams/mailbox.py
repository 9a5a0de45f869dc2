"""Bounded queue with a single reader, small enough to give several to each of thousands of clients."""

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """FIFO queue. An empty one takes 200 bytes; an `asyncio.Queue`, with its deques, takes 3 KiB."""

    __slots__ = ("_items", "_limit", "_reader", "_writers")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: list[T] = []
        self._reader: asyncio.Future[None] | None = None
        self._writers: list[asyncio.Future[None]] | None = None

    def put_nowait(self, item: T) -> bool:
        """Append an item if the queue is not full; return whether it was appended."""
        if len(self._items) >= self._limit:
            return False
        self._items.append(item)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
        return True

    async def put(self, item: T) -> None:
        """Append an item, waiting while the queue is full."""
        while not self.put_nowait(item):
            room = asyncio.get_running_loop().create_future()
            self._writers = [*(self._writers or ()), room]
            try:
                await room
            except asyncio.CancelledError:
                if room.done() and not room.cancelled():
                    self._wake_writer()  # pass on the wake-up that this writer can no longer use
                raise

    async def get(self) -> T:
        """Remove and return the first item, waiting while the queue is empty."""
        while not self._items:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        item = self._items.pop(0)
        self._wake_writer()
        return item

    def _wake_writer(self) -> None:
        while self._writers:
            writer = self._writers.pop(0)
            if not writer.done():
                writer.set_result(None)
                return
        self._writers = None
