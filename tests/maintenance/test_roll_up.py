"""The roll-up loop: parents follow their shards, whoever runs the loop."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from app.core import background, keys
from app.core.database import Database
from app.core.resources import Resources
from app.maintenance.roll_up import RollUp, RollUpLoop
from tests.support import invariants, jobs, rows
from tests.support.waiting import until


@asynccontextmanager
async def listening(resources: Resources, channel: str) -> AsyncIterator[PubSub]:
    """Subscribe to a channel during the body."""
    async with (
        Redis(connection_pool=resources.redis_pool) as redis,
        redis.pubsub(ignore_subscribe_messages=True) as pubsub,
    ):
        await pubsub.subscribe(channel)
        await pubsub.get_message(timeout=5.0)
        yield pubsub


async def round_of(database: Database, roll_up: RollUp) -> None:
    """One round: a transaction, and what follows its commit."""
    async with database.transaction() as connection:
        after_commit = await roll_up(connection)
    after_commit()


async def test_the_loop_brings_a_job_to_its_end(resources: Resources, database: Database) -> None:
    parent_id = await jobs.sharded(database)
    loop = RollUpLoop("roll_up", 0.02, database, RollUp(resources.hints))

    async def has(status: str) -> bool:
        return bool((await rows.job(database, parent_id))["status"] == status)

    async with background.running(loop.run_forever()):
        claimed = await jobs.claim_all(database, await jobs.worker(database))
        await until(lambda: has("running"))
        for job in claimed:
            await jobs.complete(database, job)
        await until(lambda: has("completed"))

    await invariants.all_hold(database, predict=jobs.prediction)


async def test_rounds_go_from_parent_to_parent(resources: Resources, database: Database) -> None:
    parents = [await jobs.sharded(database, shards=2) for _ in range(5)]
    for job in await jobs.claim_all(database, await jobs.worker(database)):
        await jobs.complete(database, job)
    roll_up = RollUp(resources.hints, parents_at_once=2)
    ended = "SELECT id FROM jobs WHERE shards IS NOT NULL AND status = 'completed' ORDER BY id"

    found = []
    for _ in range(3):
        await round_of(database, roll_up)
        found.append([row["id"] for row in await rows.fetch(database, ended)])

    assert found == [parents[:2], parents[:4], parents]


async def test_a_parent_that_another_process_rolls_up_is_passed_by(
    resources: Resources, database: Database
) -> None:
    held = await jobs.sharded(database, shards=2)
    other = await jobs.sharded(database, shards=2)
    await jobs.claim_all(database, await jobs.worker(database))

    async with rows.transaction(database) as connection:
        await connection.execute("SELECT FROM jobs WHERE id = $1 FOR UPDATE", held)
        await round_of(database, RollUp(resources.hints))

    assert (await rows.job(database, held))["status"] == "pending"
    assert (await rows.job(database, other))["status"] == "running"


async def test_the_events_of_the_parent_are_published_and_those_of_shards_are_not(
    resources: Resources, database: Database
) -> None:
    owner_id = await jobs.user(database)
    parent_id = await jobs.sharded(database, owner_id, shards=2)
    [first, _] = await jobs.claim_all(database, await jobs.worker(database))
    await jobs.fail(database, first, is_retryable=False)
    async with listening(resources, keys.events(owner_id)) as channel:
        await round_of(database, RollUp(resources.hints))
        await resources.hints.flush()
        heard = []
        while (message := await channel.get_message(timeout=1.0)) is not None:
            heard.append(message["data"])

    assert len(heard) == 2
    assert all(str(parent_id).encode() in message or parent_id.bytes in message for message in heard)


async def test_the_worker_of_a_running_shard_that_was_ended_is_told(
    resources: Resources, database: Database
) -> None:
    worker_id = await jobs.worker(database)
    parent_id = await jobs.sharded(database, shards=3)
    [first, second] = await jobs.claim_all(database, worker_id, limit=2)
    await jobs.fail(database, first, is_retryable=False)
    assert second.attempt == 1
    async with listening(resources, keys.worker(worker_id)) as channel:
        await round_of(database, RollUp(resources.hints))
        await resources.hints.flush()
        message = await channel.get_message(timeout=5.0)

    assert message is not None
    assert second.id.bytes in message["data"]
    assert (await rows.job(database, parent_id))["status"] == "failed"
