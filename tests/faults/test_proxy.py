"""The fault-injecting proxy that other tests rely on."""

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from app.core.config import Settings
from tests.support import proxy
from tests.support.proxy import PostgresProxy, Proxy

BROKEN = (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)


async def test_by_default_everything_is_forwarded(
    settings: Settings, postgres_proxy: PostgresProxy, redis_proxy: Proxy
) -> None:
    connection = await asyncpg.connect(proxy.postgres_url(postgres_proxy, settings.database_url))
    assert await connection.fetchval("SELECT repeat('x', $1)", 1_000_000) == "x" * 1_000_000
    await connection.close()
    async with Redis.from_url(proxy.redis_url(redis_proxy)) as client:
        assert await client.ping()


async def test_a_cut_breaks_open_connections_and_new_ones_succeed(
    settings: Settings, redis_proxy: Proxy
) -> None:
    async with Redis.from_url(proxy.redis_url(redis_proxy), single_connection_client=True) as client:
        await client.ping()
        redis_proxy.cut()
        with pytest.raises(RedisConnectionError):
            await client.ping()
        assert await client.ping()


async def test_a_refused_connection_fails_immediately(
    settings: Settings, postgres_proxy: PostgresProxy
) -> None:
    url = proxy.postgres_url(postgres_proxy, settings.database_url)
    await postgres_proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await asyncpg.connect(url)
    await postgres_proxy.accept()
    await (await asyncpg.connect(url)).close()


async def test_a_black_hole_forwards_nothing(settings: Settings, postgres_proxy: PostgresProxy) -> None:
    connection = await asyncpg.connect(proxy.postgres_url(postgres_proxy, settings.database_url))
    postgres_proxy.blackhole()
    with pytest.raises(TimeoutError):
        await connection.fetchval("SELECT 1", timeout=0.2)
    postgres_proxy.resume()
    connection.terminate()


@pytest.mark.parametrize("is_in_transaction", [False, True])
async def test_a_lost_reply_is_lost_after_the_commit(
    settings: Settings, postgres_proxy: PostgresProxy, is_in_transaction: bool
) -> None:
    direct = await asyncpg.connect(settings.database_url)
    await direct.execute("CREATE TABLE notes (text text)")
    connection = await asyncpg.connect(proxy.postgres_url(postgres_proxy, settings.database_url))
    await connection.execute("INSERT INTO notes VALUES ($1)", "before")
    lost = postgres_proxy.lose_reply("INSERT INTO notes")
    if is_in_transaction:
        await connection.execute("BEGIN")
        await connection.execute("INSERT INTO notes VALUES ($1)", "lost")
        assert not lost.is_set()
        with pytest.raises(BROKEN):
            await connection.execute("COMMIT")
    else:
        with pytest.raises(BROKEN):
            await connection.execute("INSERT INTO notes VALUES ($1)", "lost")

    assert lost.is_set()
    assert [row["text"] for row in await direct.fetch("SELECT text FROM notes")] == ["before", "lost"]
    await direct.close()


async def test_a_break_before_a_statement_keeps_it_from_the_server(
    settings: Settings, postgres_proxy: PostgresProxy
) -> None:
    direct = await asyncpg.connect(settings.database_url)
    await direct.execute("CREATE TABLE notes (text text)")
    connection = await asyncpg.connect(proxy.postgres_url(postgres_proxy, settings.database_url))
    broken = postgres_proxy.break_before("INSERT INTO notes")
    with pytest.raises(BROKEN):
        await connection.execute("INSERT INTO notes VALUES ($1)", "never")

    assert broken.is_set()
    assert await direct.fetchval("SELECT count(*) FROM notes") == 0
    await direct.close()
