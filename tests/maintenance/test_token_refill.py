"""Wake: for every due job there is a token in Redis, whatever Redis has forgotten."""

from datetime import timedelta

import pytest
from redis.asyncio import Redis

from app.core import keys, metrics
from app.core.config import Settings
from app.core.database import Database
from app.core.resources import Resources, open_resources
from app.maintenance.token_refill import TOKENS_AT_ONCE, TokenRefill
from tests.support import jobs, rows


async def wake(resources: Resources) -> None:
    """One round, and the hints that came of it."""
    duty = TokenRefill(resources.redis_pool, resources.redis, resources.hints)
    async with resources.database.transaction() as connection:
        await duty(connection)
    await resources.hints.flush()


async def tokens(resources: Resources, queue: str = "default") -> int:
    """How many tokens wait in a queue."""
    async with Redis(connection_pool=resources.redis_pool) as redis:
        return int(await redis.zcard(keys.queue(queue)))


async def forget_everything(resources: Resources) -> None:
    async with Redis(connection_pool=resources.redis_pool) as redis:
        await redis.flushall()


async def test_each_due_job_gets_the_token_that_it_lacks(resources: Resources, database: Database) -> None:
    for _ in range(3):
        await jobs.create(database)
    await jobs.create(database, queue="gpu")

    await wake(resources)

    assert await tokens(resources) == 3
    assert await tokens(resources, "gpu") == 1


async def test_the_tokens_that_are_added_are_counted(resources: Resources, database: Database) -> None:
    before = metrics.TOKENS_RESTORED._value.get()
    for _ in range(3):
        await jobs.create(database)
    resources.hints.wake("default", 1)
    await resources.hints.flush()

    await wake(resources)
    await wake(resources)

    assert metrics.TOKENS_RESTORED._value.get() == before + 2


async def test_a_paused_queue_gets_its_tokens_when_it_is_resumed(
    resources: Resources, database: Database
) -> None:
    await jobs.create(database)
    await jobs.create(database, queue="gpu")
    await rows.execute(database, "INSERT INTO paused_queues (name, reason) VALUES ('gpu', 'New drivers.')")
    await wake(resources)
    assert (await tokens(resources), await tokens(resources, "gpu")) == (1, 0)

    await rows.execute(database, "DELETE FROM paused_queues")
    await wake(resources)

    assert (await tokens(resources), await tokens(resources, "gpu")) == (1, 1)


async def test_each_shard_gets_a_token_and_its_parent_none(resources: Resources, database: Database) -> None:
    await jobs.sharded(database, shards=3)

    await wake(resources)

    assert await tokens(resources) == 3


async def test_tokens_that_are_there_are_not_added_again(resources: Resources, database: Database) -> None:
    for _ in range(3):
        await jobs.create(database)
    resources.hints.wake("default", 2)
    await resources.hints.flush()

    await wake(resources)
    await wake(resources)

    assert await tokens(resources) == 3


async def test_the_queue_is_rebuilt_after_redis_forgot_it(resources: Resources, database: Database) -> None:
    for _ in range(3):
        await jobs.create(database)
    await wake(resources)
    await forget_everything(resources)

    await wake(resources)

    assert await tokens(resources) == 3


async def test_nobody_is_woken_for_a_job_that_is_not_due_or_does_not_wait(
    resources: Resources, database: Database
) -> None:
    await jobs.running(database)
    await jobs.create(database, delay=timedelta(hours=1))
    await jobs.cancel(database, await jobs.create(database))

    await wake(resources)

    assert await tokens(resources) == 0


async def test_a_delayed_job_gets_its_token_once_it_is_due(resources: Resources, database: Database) -> None:
    await jobs.create(database, delay=timedelta(hours=1))
    await rows.execute(database, "UPDATE jobs SET run_at = now()")

    await wake(resources)

    assert await tokens(resources) == 1


async def test_so_many_tokens_are_added_at_once_and_no_more(resources: Resources, database: Database) -> None:
    await many_due(database, TOKENS_AT_ONCE + 50, queue="default")

    await wake(resources)

    assert await tokens(resources) == TOKENS_AT_ONCE


async def test_a_full_queue_that_nobody_serves_does_not_hide_the_others(
    resources: Resources, database: Database
) -> None:
    await many_due(database, TOKENS_AT_ONCE, queue="abandoned")
    await jobs.create(database, queue="default")
    await jobs.create(database, queue="zoo")

    await wake(resources)

    assert await tokens(resources, "default") == 1
    assert await tokens(resources, "zoo") == 1


@pytest.mark.parametrize("queue", ["default"])
async def test_without_redis_a_round_ends_quietly(settings: Settings, queue: str) -> None:
    away = settings.model_copy(update={"redis_url": "unix:///nowhere/at/all.sock"})
    async with open_resources(away) as resources:
        await jobs.create(resources.database, queue=queue)

        await wake(resources)

        assert not resources.redis.is_up


async def many_due(database: Database, count: int, *, queue: str) -> None:
    """So many due jobs, made of one."""
    job_id = await jobs.create(database, queue=queue)
    await rows.fill(
        database,
        """INSERT INTO jobs (id, owner_id, kind, queue, priority, sort_key, params, max_attempts, run_at,
            soft_limit_seconds, time_limit_seconds, retention_seconds, last_seq)
        SELECT gen_random_uuid(), owner_id, kind, queue, priority, sort_key, params, max_attempts,
            run_at - interval '1 day', soft_limit_seconds, time_limit_seconds, retention_seconds, last_seq
        FROM jobs, generate_series(2, $2) WHERE id = $1""",
        job_id,
        count,
    )
