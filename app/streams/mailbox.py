"""A bounded queue for one reader, small enough that each of thousands of clients can have some."""

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """First in, first out. An empty one takes 200 bytes; an `asyncio.Queue`, with its deques, takes 3 KiB."""

    __slots__ = ("_items", "_limit", "_reader", "_writers")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: list[T] = []
        self._reader: asyncio.Future[None] | None = None
        self._writers: list[asyncio.Future[None]] | None = None

    def put_nowait(self, item: T) -> bool:
        """Put an item in if there is room for it; whether there was."""
        if len(self._items) >= self._limit:
            return False
        self._items.append(item)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
        return True

    async def put(self, item: T) -> None:
        """Put an item in as soon as there is room for it."""
        while not self.put_nowait(item):
            room = asyncio.get_running_loop().create_future()
            self._writers = [*(self._writers or ()), room]
            try:
                await room
            except asyncio.CancelledError:
                if room.done() and not room.cancelled():
                    self._tell_a_writer()  # it was told of room that it does not need any more
                raise

    async def get(self) -> T:
        """Take the first item, as soon as there is one."""
        while not self._items:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        item = self._items.pop(0)
        self._tell_a_writer()
        return item

    def _tell_a_writer(self) -> None:
        while self._writers:
            writer = self._writers.pop(0)
            if not writer.done():
                writer.set_result(None)
                return
        self._writers = None
