"""Enforces the quota of stored bytes: exactly near the limit, without a query far below it.

A user is far below the limit if no writes of the next seconds could reach it; there, the last count is good
enough. Near the limit, the bytes are counted before and after the write, in its transaction and under a lock
on the user's row, so that concurrent writes cannot exceed the quota together.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Final
from uuid import UUID

import asyncpg

from app.quotas import queries
from app.quotas.errors import QuotaExceeded

SLACK_BYTES: Final = 2 * 1024**3
COUNT_LIFETIME_SECONDS: Final = 2.0
MAX_REMEMBERED: Final = 10_000


class StorageQuota:
    """The quota of stored bytes, with the counts that this process has cached. 0 means no limit."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._counts: dict[UUID, tuple[int, float]] = {}

    def is_far_below(self, owner_id: UUID) -> bool:
        """Whether the next write can go unchecked."""
        if not self.limit_bytes:
            return True
        if (counted := self._counts.get(owner_id)) is None:
            return False
        used, counted_at = counted
        return used + SLACK_BYTES < self.limit_bytes and monotonic() - counted_at < COUNT_LIFETIME_SECONDS

    @asynccontextmanager
    async def checked(self, connection: asyncpg.Connection, owner_id: UUID) -> AsyncIterator[None]:
        """Check what the body writes. Raises QuotaExceeded, to roll back the caller's transaction."""
        if not self.limit_bytes:
            yield
            return
        await queries.lock(connection, owner_id)
        before = await queries.used_bytes(connection, owner_id)
        yield
        after = await queries.used_bytes(connection, owner_id)
        if after > self.limit_bytes and after > before:
            raise QuotaExceeded(used=before, limit=self.limit_bytes)
        self._remember(owner_id, after)

    async def left_bytes(self, connection: asyncpg.Connection, owner_id: UUID) -> int | None:
        """How many bytes a user may still store; None if there is no limit."""
        if not self.limit_bytes:
            return None
        return max(0, self.limit_bytes - await queries.used_bytes(connection, owner_id))

    def _remember(self, owner_id: UUID, used: int) -> None:
        if len(self._counts) >= MAX_REMEMBERED:
            self._counts.clear()
        self._counts[owner_id] = (used, monotonic())
