"""Whom a committed transition is told to."""

from redis.asyncio import Redis

from app.core import keys
from app.core.database import Database
from app.core.resources import Resources
from app.jobs.announcements import announce
from app.jobs.moves import Moved
from tests.support import jobs


async def told_to_worker(resources: Resources, moved: Moved | None) -> list[bytes]:
    """What the worker of a running job hears when this is announced."""
    assert moved is not None
    assert moved.worker_id is not None
    async with Redis(connection_pool=resources.redis_pool).pubsub() as channel:
        await channel.subscribe(keys.worker(moved.worker_id), "end")
        announce(resources.hints, moved)
        await resources.hints.flush()
        async with Redis(connection_pool=resources.redis_pool) as redis:
            await redis.publish("end", b"end")
        heard: list[bytes] = []
        while (message := await channel.get_message(ignore_subscribe_messages=True, timeout=10)) is None or (
            message["data"] != b"end"
        ):
            if message is not None:
                opened = resources.seal.open(message["channel"], message["data"])
                assert opened is not None
                heard.append(opened)
        return heard


async def test_a_worker_hears_of_the_cancel_of_its_job(resources: Resources, store: Database) -> None:
    job = await jobs.running(store)

    moved = await jobs.cancel(store, job.id)

    assert await told_to_worker(resources, moved) == [job.id.bytes]


async def test_a_worker_is_not_told_what_it_does_itself(resources: Resources, store: Database) -> None:
    job = await jobs.running(store)

    moved = await jobs.commit(store, job)

    assert await told_to_worker(resources, moved) == []
