"""Counts the requests of each user in memory, and writes the counts to Postgres once a second."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app.core import metrics, write_behind
from app.core.database import Database
from app.core.sql import RowSet, Statement

INTERVAL_SECONDS: Final = 1.0

_COUNTS: Final = RowSet("counted", id="uuid", requests="bigint", age_seconds="float8")

# Add the counted requests to their users. Rows are locked in the order of their ids, as in every other
# process, so that two of these statements never deadlock.
_ADD: Final = Statement(f"""
    WITH locked AS (
        SELECT id FROM users WHERE id = ANY(:counted_id::uuid[]) ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE users
    SET request_count = request_count + counted.requests,
        last_request_at = GREATEST(last_request_at, now() - make_interval(secs => counted.age_seconds))
    FROM {_COUNTS.sql}
    JOIN locked USING (id)
    WHERE users.id = counted.id
""")  # noqa: S608  # made of constants


@dataclass(slots=True)
class _Count:
    requests: int
    last_at: float  # by the loop's clock


class Usage:
    """Counts requests by user. While Postgres is unavailable, the counts stay in memory.

    Memory is bounded: only users with a verified token are counted, and verification needs Postgres.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: dict[UUID, _Count] = {}
        self._writing = asyncio.Lock()

    def count(self, user_id: UUID, requests: int = 1) -> None:
        """Count requests that this user sent just now."""
        self._add(user_id, _Count(requests, asyncio.get_running_loop().time()))

    async def write(self) -> None:
        """Write the counts so far. Raises DatabaseUnavailable, and then keeps them.

        If the reply is lost after the commit, those requests count twice rather than not at all.
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
        rows = [
            {"id": user_id, "requests": count.requests, "age_seconds": now - count.last_at}
            for user_id, count in counts.items()
        ]
        async with self._database.connection() as connection:
            await _ADD.execute(connection, **_COUNTS.parameters(rows))

    def _add(self, user_id: UUID, count: _Count) -> None:
        known = self._counts.setdefault(user_id, _Count(0, count.last_at))
        known.requests += count.requests
        known.last_at = max(known.last_at, count.last_at)


@asynccontextmanager
async def open_usage(database: Database) -> AsyncIterator[Usage]:
    """Count requests during the body, and write the last counts at its end."""
    usage = Usage(database)
    last_success = metrics.LOOP_LAST_SUCCESS.labels("usage")
    async with write_behind.writing(
        "usage", usage.write, seconds=INTERVAL_SECONDS, on_success=last_success.set_to_current_time
    ):
        yield usage
