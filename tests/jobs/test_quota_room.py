"""How many more jobs a user may create, and when that is counted under a lock."""

from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from app.core.database import Database
from app.jobs.quota import FEW_JOBS, SLACK, Quota
from app.quotas.service import SLACK_BYTES, StorageQuota
from tests.support import jobs, rows
from tests.support.clocks import Clock

FAR_ABOVE = SLACK + 1000


@pytest.fixture
async def owner_id(database: Database) -> UUID:
    return await jobs.user(database)


@pytest.fixture
async def held(database: Database, owner_id: UUID) -> AsyncIterator[asyncpg.Connection]:
    """Another session that holds the lock on the user's row."""
    async with rows.transaction(database) as connection:
        await connection.execute("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE", owner_id)
        yield connection


async def is_locked_out(database: Database, quota: Quota, owner_id: UUID, count: int = 1) -> bool:
    """Whether the question waits for the lock."""
    async with database.transaction() as connection:
        await connection.execute("SET LOCAL lock_timeout = '200ms'")
        try:
            await quota.room(connection, owner_id, count)
        except asyncpg.LockNotAvailableError:
            return True
    return False


async def test_there_is_room_for_what_is_left_of_the_limit(database: Database, owner_id: UUID) -> None:
    for _ in range(3):
        await jobs.create(database, owner_id)
    quota = Quota(database, 5, StorageQuota(0))

    async with database.transaction() as connection:
        room = await quota.room(connection, owner_id)

    assert (room.jobs, room.bytes_left) == (2, None)
    assert room.jobs_error.facts == {"active": 3, "limit": 5}


async def test_there_is_no_room_above_the_limit(database: Database, owner_id: UUID) -> None:
    for _ in range(3):
        await jobs.create(database, owner_id)
    await rows.execute(
        database, "INSERT INTO user_quotas (user_id, max_active_jobs) VALUES ($1, 2)", owner_id
    )

    async with database.transaction() as connection:
        room = await Quota(database, 5).room(connection, owner_id)

    assert room.jobs == 0


async def test_near_the_limit_users_are_counted_under_a_lock(
    database: Database, owner_id: UUID, held: asyncpg.Connection
) -> None:
    assert await is_locked_out(database, Quota(database, 5), owner_id)


async def test_far_below_the_limit_few_jobs_wait_for_no_lock_and_many_do(
    database: Database, owner_id: UUID
) -> None:
    quota = Quota(database, FAR_ABOVE, clock=Clock(0.0))
    async with database.transaction() as connection:
        await quota.room(connection, owner_id)
    async with rows.transaction(database) as held:
        await held.execute("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE", owner_id)

        assert not await is_locked_out(database, quota, owner_id, FEW_JOBS)
        assert await is_locked_out(database, quota, owner_id, FEW_JOBS + 1)


async def test_near_the_limit_of_bytes_they_are_counted_under_a_lock(
    database: Database, owner_id: UUID
) -> None:
    quota = Quota(database, FAR_ABOVE, StorageQuota(SLACK_BYTES), clock=Clock(0.0))
    async with database.transaction() as connection:
        room = await quota.room(connection, owner_id)
    async with rows.transaction(database) as held:
        await held.execute("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE", owner_id)

        assert await is_locked_out(database, quota, owner_id)

    assert room.bytes_left is not None
    assert room.bytes_left[0] == SLACK_BYTES


async def test_far_below_the_limit_of_bytes_they_are_counted_once_a_second(
    database: Database, owner_id: UUID
) -> None:
    storage = StorageQuota(3 * SLACK_BYTES)
    async with database.transaction() as connection:
        room = await Quota(database, 5, storage).room(connection, owner_id)

    assert room.bytes_left is None
    assert storage.is_far_below(owner_id)
