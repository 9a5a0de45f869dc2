import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from arq.connections import RedisSettings, create_pool
from redis.asyncio import Redis

from app.embedded.errors import EmbeddedServerError
from app.embedded.servers import EmbeddedServers
from app.embedded.valkey import EmbeddedValkey


@pytest.fixture
def valkey(server_dir: Path) -> Iterator[EmbeddedValkey]:
    """A Valkey that has not been started."""
    server = EmbeddedValkey(server_dir / "valkey")
    yield server
    server.stop()


async def ping(url: str) -> bool:
    async with Redis.from_url(url) as redis:
        return bool(await redis.ping())


async def test_it_answers_redis(running_servers: EmbeddedServers) -> None:
    assert await ping(running_servers.valkey.url)


async def test_it_answers_arq(running_servers: EmbeddedServers) -> None:
    pool = await create_pool(RedisSettings.from_dsn(running_servers.valkey.url))

    answer = await pool.ping()
    await pool.aclose()

    assert answer


async def test_only_its_user_can_reach_it(running_servers: EmbeddedServers) -> None:
    status = running_servers.valkey.socket_dir.stat()
    async with Redis.from_url(running_servers.valkey.url) as redis:
        port = await redis.config_get("port")

    assert stat.S_IMODE(status.st_mode) == 0o700
    assert status.st_uid == os.geteuid()
    assert port == {"port": "0"}


async def test_it_takes_options(server_dir: Path) -> None:
    valkey = EmbeddedValkey(server_dir, options={"maxmemory": "64mb"})
    valkey.start()
    try:
        async with Redis.from_url(valkey.url) as redis:
            assert await redis.config_get("maxmemory") == {"maxmemory": str(64 * 1024 * 1024)}
    finally:
        valkey.stop()


async def test_it_comes_back_empty_at_the_same_url_after_a_stop_and_after_a_kill(
    valkey: EmbeddedValkey,
) -> None:
    url = valkey.url
    for end in (valkey.stop, valkey.kill):
        valkey.start()
        async with Redis.from_url(url) as redis:
            assert await redis.dbsize() == 0
            await redis.set("hint", "lost")
        end()
        assert not valkey.is_running
        assert not valkey.socket_dir.exists()


def test_an_unknown_option_is_a_clear_error(server_dir: Path) -> None:
    valkey = EmbeddedValkey(server_dir, options={"no-such-option": "1"})

    with pytest.raises(EmbeddedServerError) as caught:
        valkey.start()

    assert caught.value.server == "Valkey"
    assert "no-such-option" in caught.value.log_tail
    assert not valkey.socket_dir.exists()
