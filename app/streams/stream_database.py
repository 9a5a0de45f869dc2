"""Postgres for streams: few at once, so that requests find a free connection beside thousands of streams.

All streams of a process may open, or read their logs, in the same second: when clients come back after a
rolling update, or when Redis does. They wait here, in the order in which they came.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from app.core.database import Database
from app.core.errors import DatabaseUnavailable

WAIT_SECONDS: Final = 10.0
"""How long a stream waits: thousands on a slow machine may take several seconds."""


class StreamDatabase:
    """The database of the process, of which at most `at_once` streams use a connection."""

    def __init__(self, database: Database, at_once: int) -> None:
        self.at_once = at_once
        self._database = database
        self._free = asyncio.Semaphore(at_once)
        self._waiting = 0

    def close(self) -> None:
        """Let all streams pass that wait: the process shuts down, and they end."""
        for _ in range(self._waiting):
            self._free.release()

    @asynccontextmanager
    async def connection(self, *, wait_seconds: float = WAIT_SECONDS) -> AsyncIterator[asyncpg.Connection]:
        """A connection, as `Database.connection`. Raises DatabaseUnavailable, also as `use` does."""
        async with self.use(wait_seconds=wait_seconds), self._database.connection() as connection:
            yield connection

    @asynccontextmanager
    async def use(self, *, wait_seconds: float = WAIT_SECONDS) -> AsyncIterator[None]:
        """Let the body take a connection of the process by itself, one at a time.

        Raises DatabaseUnavailable if the other streams leave no room within `wait_seconds`.
        """
        self._waiting += 1
        try:
            async with asyncio.timeout(wait_seconds):
                await self._free.acquire()
        except TimeoutError as error:
            raise DatabaseUnavailable from error
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()
