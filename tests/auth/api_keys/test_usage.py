"""When a key was last used: noted in memory, written at most once a minute."""

import asyncio
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from app.auth.api_keys.usage import KeyUsage, open_key_usage
from app.auth.permissions import Scope
from app.core.database import Database, open_database
from app.core.errors import DatabaseUnavailable
from tests.support import api_keys, jobs, ports, rows
from tests.support.waiting import until


@pytest.fixture
async def key_id(database: Database) -> UUID:
    owner_id = await jobs.user(database)
    return (await api_keys.create(database, owner_id, Scope.JOBS_READ)).id


async def last_used(database: Database, key_id: UUID) -> datetime | None:
    found: datetime | None = await rows.value(
        database, "SELECT last_used_at FROM api_keys WHERE id = $1", key_id
    )
    return found


async def test_a_use_is_written(database: Database, key_id: UUID) -> None:
    usage = KeyUsage(database)
    usage.note(key_id)
    await usage.write()

    written = await last_used(database, key_id)
    assert written is not None
    assert await rows.value(database, "SELECT $1 BETWEEN now() - interval '1 hour' AND now()", written)


async def test_within_a_minute_nothing_is_written_again(database: Database, key_id: UUID) -> None:
    """Neither by this process nor by another."""
    first, second = KeyUsage(database, precision_seconds=3600), KeyUsage(database, precision_seconds=3600)
    first.note(key_id)
    await first.write()
    written = await last_used(database, key_id)

    for usage in (first, second):
        usage.note(key_id)
        await usage.write()

    assert await last_used(database, key_id) == written


async def test_after_a_minute_it_is_written_again(database: Database, key_id: UUID) -> None:
    usage = KeyUsage(database, precision_seconds=0)
    usage.note(key_id)
    await usage.write()
    await rows.execute(
        database, "UPDATE api_keys SET last_used_at = now() - interval '1 day' WHERE id = $1", key_id
    )
    before = await last_used(database, key_id)

    usage.note(key_id)
    await usage.write()

    after = await last_used(database, key_id)
    assert before is not None
    assert after is not None
    assert after - before > timedelta(hours=23)


async def test_without_postgres_a_use_is_kept(database: Database, key_id: UUID) -> None:
    with ports.bound(0) as nothing_listens:
        _, port = nothing_listens.getsockname()
        async with open_database(f"postgresql://x@127.0.0.1:{port}/x", pool_size=1) as away:
            usage = KeyUsage(away)
            usage.note(key_id)
            with pytest.raises(DatabaseUnavailable):
                await usage.write()
            usage._database = database
            await usage.write()

    assert await last_used(database, key_id) is not None


async def test_two_processes_write_many_keys_at_once(database: Database) -> None:
    owner_id = await jobs.user(database)
    ids = [(await api_keys.create(database, owner_id, Scope.PREDICT)).id for _ in range(20)]
    first, second = KeyUsage(database), KeyUsage(database)
    for key_id in ids:
        first.note(key_id)
    for key_id in reversed(ids):
        second.note(key_id)

    await asyncio.gather(first.write(), second.write())

    assert all([await last_used(database, key_id) for key_id in ids])


async def test_a_key_that_was_revoked_meanwhile_is_no_error(database: Database, key_id: UUID) -> None:
    usage = KeyUsage(database)
    usage.note(key_id)
    await rows.execute(database, "DELETE FROM api_keys")

    await usage.write()

    assert await last_used(database, key_id) is None


async def test_a_process_writes_every_second_and_at_its_end(database: Database, key_id: UUID) -> None:
    async def is_written() -> bool:
        return await last_used(database, key_id) is not None

    async with open_key_usage(database) as usage:
        usage.note(key_id)
        await until(is_written)
    await rows.execute(database, "UPDATE api_keys SET last_used_at = NULL")
    async with open_key_usage(database) as usage:
        usage.note(key_id)

    assert await is_written()
