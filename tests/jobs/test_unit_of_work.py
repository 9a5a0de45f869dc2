"""Transitions are published after their commit, once, and never without it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from app.core import keys, metrics
from app.core.resources import Resources
from app.jobs import events, transitions
from app.jobs.counting import JobSeries
from app.jobs.kinds import registry
from app.jobs.states import EventType
from app.jobs.unit_of_work import UnitOfWork, unit_of_work
from tests.support import jobs, rows
from tests.support.waiting import until


class Boom(Exception):
    """Raised in the middle."""


@asynccontextmanager
async def listening(resources: Resources, channel: str) -> AsyncIterator[PubSub]:
    async with Redis(connection_pool=resources.redis_pool).pubsub() as pubsub:
        await pubsub.subscribe(channel, "end")
        yield pubsub


async def heard(resources: Resources, pubsub: PubSub) -> list[str]:
    """The types of the events that were published so far."""
    await resources.hints.flush()
    async with Redis(connection_pool=resources.redis_pool) as redis:
        await redis.publish("end", b"end")
    found: list[str] = []
    while (message := await pubsub.get_message(ignore_subscribe_messages=True, timeout=10)) is None or (
        message["data"] != b"end"
    ):
        if message is not None:
            opened = resources.signer.verify(message["channel"], message["data"])
            assert opened is not None
            found.append(events.decode(opened).type)
    return found


async def test_what_was_committed_is_published(resources: Resources) -> None:
    database = resources.database
    job = await jobs.running(database)

    async with listening(resources, keys.events(job.owner_id)) as pubsub:
        async with unit_of_work(resources.hints, database.transaction()) as unit:
            await transitions.cancel(unit, job_id=job.id)
            assert await heard(resources, pubsub) == []
        assert await heard(resources, pubsub) == [EventType.CANCEL_REQUESTED]


async def test_the_token_of_a_new_job_leaves_before_its_caller_goes_on(resources: Resources) -> None:
    job_id = await jobs.create(resources.database)
    async with unit_of_work(resources.hints, resources.database.connection()) as unit:
        await transitions.cancel(unit, job_id=job_id)
        await transitions.retry(unit, job_id=job_id, from_start=False, head_start=timedelta())
        assert not resources.hints._tokens

    assert not resources.hints._tokens
    async with Redis(connection_pool=resources.redis_pool) as redis:

        async def is_there() -> bool:
            return bool(await redis.zcard(keys.queue("default")))

        await until(is_there)


async def test_what_was_rolled_back_is_not_published(resources: Resources) -> None:
    database = resources.database
    job = await jobs.running(database)

    async with listening(resources, keys.events(job.owner_id)) as pubsub:
        with suppress(Boom):
            async with unit_of_work(resources.hints, database.transaction()) as unit:
                assert await transitions.cancel(unit, job_id=job.id) is not None
                raise Boom
        assert await heard(resources, pubsub) == []
    assert await rows.event_types(database, job.id) == ["created", "started"]


async def test_what_was_rolled_back_to_a_savepoint_is_not_published(resources: Resources) -> None:
    database = resources.database
    job = await jobs.running(database)

    async with listening(resources, keys.events(job.owner_id)) as pubsub:
        async with unit_of_work(resources.hints, database.transaction()) as unit:
            with suppress(Boom):
                async with unit.transaction():
                    assert await transitions.cancel(unit, job_id=job.id) is not None
                    raise Boom
            await transitions.release(unit, job_id=job.id, attempt=job.attempt)
        assert await heard(resources, pubsub) == [EventType.RELEASED]


async def test_a_transition_is_published_and_counted_once(resources: Resources) -> None:
    database = resources.database
    JobSeries(registry.BUILT_IN)
    job = await jobs.running(database)
    ended = metrics.JOBS_ENDED.labels(job.kind, "default", "failed", "user")
    before = ended._value.get()

    async with listening(resources, keys.events(job.owner_id)) as pubsub:
        async with database.connection() as connection:
            unit = UnitOfWork(connection)
            await transitions.fail(
                unit,
                job_id=job.id,
                attempt=job.attempt,
                error=jobs.ERROR,
                traceback=None,
                is_retryable=False,
                delay_seconds=0.0,
            )
        unit.publish(resources.hints)
        unit.publish(resources.hints)
        assert await heard(resources, pubsub) == [EventType.FAILED]
    assert ended._value.get() == before + 1
