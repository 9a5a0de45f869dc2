"""Pace: of all processes, one begins a round in each interval, and Redis is not needed for it."""

from pathlib import Path

from redis import Redis as SyncRedis
from redis.asyncio import Redis

from app.core import keys
from app.core.config import Settings
from app.core.resources import Resources, open_resources
from app.embedded.valkey import EmbeddedValkey
from app.maintenance.pace import Pace


def pace(resources: Resources, duty: str = "test", seconds: float = 60.0) -> Pace:
    """The pace of another process."""
    return Pace(resources.redis_pool, resources.redis, duty, seconds)


async def test_one_process_begins_a_round_in_each_interval(resources: Resources) -> None:
    first, second = pace(resources), pace(resources)

    assert [await first(), await second(), await first()] == [True, False, False]

    async with Redis(connection_pool=resources.redis_pool) as redis:
        await redis.delete(keys.pace("test"))
    assert [await second(), await first()] == [True, False]


async def test_each_duty_has_its_own_pace(resources: Resources) -> None:
    assert [await pace(resources, "one")(), await pace(resources, "two")()] == [True, True]


async def test_a_process_that_dies_after_it_has_begun_holds_up_no_other(
    resources: Resources,
) -> None:
    await pace(resources, seconds=0.18)()

    async with Redis(connection_pool=resources.redis_pool) as redis:
        assert await redis.pttl(keys.pace("test")) in range(-2, 181)  # -2: it is gone already


async def test_while_redis_is_away_each_process_begins_its_rounds(settings: Settings) -> None:
    async with open_resources(settings.model_copy(update={"redis_url": "redis://127.0.0.1:1"})) as away:
        first, second = pace(away), pace(away)

        assert [await first(), await second(), await first()] == [True, True, True]
        assert not away.redis.is_up


async def test_a_redis_that_refuses_writes_counts_as_away(settings: Settings, server_dir: Path) -> None:
    server = EmbeddedValkey(server_dir / "valkey")
    server.start()
    try:
        with SyncRedis.from_url(server.url) as administrator:
            administrator.replicaof("127.0.0.1", "1")  # a replica is read-only
        async with open_resources(settings.model_copy(update={"redis_url": server.url})) as resources:
            assert [await pace(resources)(), await pace(resources)()] == [True, True]
            assert not resources.redis.is_up
    finally:
        server.stop()
