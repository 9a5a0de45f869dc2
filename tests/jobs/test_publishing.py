"""Whom a committed transition is told to."""

from redis.asyncio import Redis

from app.core import keys
from app.core.database import Database
from app.core.resources import Resources
from app.jobs.publishing import publish_transition
from app.jobs.transition_types import TransitionResult
from tests.support import jobs


async def told_to_worker(resources: Resources, transition: TransitionResult | None) -> list[bytes]:
    """What the worker of a running job hears when this is announced."""
    assert transition is not None
    assert transition.worker_id is not None
    async with Redis(connection_pool=resources.redis_pool).pubsub() as channel:
        await channel.subscribe(keys.worker(transition.worker_id), "end")
        publish_transition(resources.hints, transition)
        await resources.hints.flush()
        async with Redis(connection_pool=resources.redis_pool) as redis:
            await redis.publish("end", b"end")
        heard: list[bytes] = []
        while (message := await channel.get_message(ignore_subscribe_messages=True, timeout=10)) is None or (
            message["data"] != b"end"
        ):
            if message is not None:
                opened = resources.signer.verify(message["channel"], message["data"])
                assert opened is not None
                heard.append(opened)
        return heard


async def test_a_worker_hears_of_the_cancel_of_its_job(resources: Resources, store: Database) -> None:
    job = await jobs.running(store)

    transition = await jobs.cancel(store, job.id)

    assert await told_to_worker(resources, transition) == [job.id.bytes]


async def test_a_worker_is_not_told_what_it_does_itself(resources: Resources, store: Database) -> None:
    job = await jobs.running(store)

    transition = await jobs.commit(store, job)

    assert await told_to_worker(resources, transition) == []
