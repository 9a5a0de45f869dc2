"""Fixtures for tests of shards."""

from collections.abc import AsyncIterator

import pytest

from app.core.database import Database
from app.maintenance import locks


@pytest.fixture
async def without_roll_up(store: Database) -> AsyncIterator[None]:
    """Keep the API from rolling up: the test says what becomes of parents."""
    async with store.connection() as connection:
        assert await locks.try_for_connection(connection, "roll_up")
        yield
        await connection.execute("SELECT pg_advisory_unlock_all()")
