"""How much each user asks for: counted in memory, written once a second, never in a request's way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog

from app.core import background
from app.core.database import Database
from app.core.errors import DatabaseUnavailable

INTERVAL_SECONDS: Final = 1.0

log = structlog.get_logger(__name__)

# Rows are locked in the order of their ids, as every other process does: no two can wait for each other.
_ADD = """
    WITH locked AS (
        SELECT id FROM users WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE users
    SET request_count = request_count + counted.requests,
        last_request_at = GREATEST(last_request_at, now() - make_interval(secs => counted.age_seconds))
    FROM unnest($1::uuid[], $2::bigint[], $3::float8[]) AS counted (id, requests, age_seconds)
    JOIN locked USING (id)
    WHERE users.id = counted.id
"""


@dataclass(slots=True)
class _Count:
    requests: int
    last_at: float  # by the loop's clock


class Usage:
    """Counts requests by user. While Postgres is away nothing is lost: the counts wait in memory.

    They are as many as there are users whose token was verified, which in turn needs Postgres.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: dict[UUID, _Count] = {}
        self._writing = asyncio.Lock()

    def count(self, user_id: UUID, requests: int = 1) -> None:
        """Note that this user asked for something just now."""
        self._add(user_id, _Count(requests, asyncio.get_running_loop().time()))

    async def write_forever(self) -> None:
        """Write what was counted each second, until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            try:
                await self.write()
            except DatabaseUnavailable:
                continue
            except Exception:
                log.exception("usage_not_written")

    async def write(self) -> None:
        """Write what was counted so far; raises DatabaseUnavailable and keeps the counts.

        A reply that is lost after the commit makes those requests count twice: rather that than not at all.
        """
        async with self._writing:
            counts, self._counts = self._counts, {}
            if not counts:
                return
            try:
                await self._write(counts)
            except BaseException:
                for user_id, count in counts.items():
                    self._add(user_id, count)
                raise

    async def _write(self, counts: dict[UUID, _Count]) -> None:
        now = asyncio.get_running_loop().time()
        requests = [count.requests for count in counts.values()]
        ages = [now - count.last_at for count in counts.values()]
        async with self._database.connection() as connection:
            await connection.execute(_ADD, list(counts), requests, ages)

    def _add(self, user_id: UUID, count: _Count) -> None:
        known = self._counts.setdefault(user_id, _Count(0, count.last_at))
        known.requests += count.requests
        known.last_at = max(known.last_at, count.last_at)


@asynccontextmanager
async def open_usage(database: Database) -> AsyncIterator[Usage]:
    """Count requests during the body, and write the last of them at its end."""
    usage = Usage(database)
    try:
        async with background.running(usage.write_forever()):
            yield usage
    finally:
        with suppress(DatabaseUnavailable):
            await usage.write()
