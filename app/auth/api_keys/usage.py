"""Remembers when each API key was used, and writes it to Postgres at most once a minute for each key."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

from app.core import write_behind
from app.core.database import Database
from app.core.sql import RowSet, Statement

INTERVAL_SECONDS: Final = 1.0
PRECISION_SECONDS: Final = 60.0

_USED: Final = RowSet("used", id="uuid", age_seconds="float8")

# Set when these keys were last used, unless that was set less than a minute ago, as another process may have.
# Rows are locked in the order of their ids, so that two of these statements never deadlock.
_WRITE: Final = Statement(f"""
    WITH locked AS (
        SELECT id FROM api_keys
        WHERE id = ANY(:used_id::uuid[])
            AND coalesce(last_used_at < now() - make_interval(secs => :precision), true)
        ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE api_keys SET last_used_at = now() - make_interval(secs => used.age_seconds)
    FROM {_USED.sql} JOIN locked USING (id)
    WHERE api_keys.id = used.id
""")  # noqa: S608  # made of constants


class KeyUsage:
    """Collects uses of API keys in memory. While Postgres is unavailable, they stay there.

    Memory is bounded: only valid keys are noted, and validation needs Postgres.
    """

    def __init__(self, database: Database, *, precision_seconds: float = PRECISION_SECONDS) -> None:
        self._database = database
        self._precision_seconds = precision_seconds
        self._pending: dict[UUID, float] = {}  # last use, by the loop's clock
        self._written: dict[UUID, float] = {}

    def note(self, key_id: UUID) -> None:
        """Note that a key was used just now."""
        now = asyncio.get_running_loop().time()
        if key_id not in self._written or self._written[key_id] <= now - self._precision_seconds:
            self._pending[key_id] = now

    async def write(self) -> None:
        """Write the uses so far. Raises DatabaseUnavailable, and then keeps them."""
        now = asyncio.get_running_loop().time()
        self._forget_before(now - self._precision_seconds)
        uses, self._pending = self._pending, {}
        if not uses:
            return
        self._written |= dict.fromkeys(uses, now)
        try:
            rows = [{"id": key_id, "age_seconds": now - at} for key_id, at in uses.items()]
            async with self._database.connection() as connection:
                await _WRITE.execute(connection, **_USED.parameters(rows), precision=self._precision_seconds)
        except BaseException:
            for key_id, at in uses.items():
                self._written.pop(key_id, None)
                self._pending.setdefault(key_id, at)
            raise

    def _forget_before(self, moment: float) -> None:
        self._written = {key_id: at for key_id, at in self._written.items() if at > moment}


@asynccontextmanager
async def open_key_usage(database: Database) -> AsyncIterator[KeyUsage]:
    """Collect uses during the body, and write the last ones at its end."""
    usage = KeyUsage(database)
    async with write_behind.writing("key_usage", usage.write, seconds=INTERVAL_SECONDS):
        yield usage
