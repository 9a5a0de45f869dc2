"""How the slots of a worker consume tokens."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from app.core import background, keys
from app.core.resources import Resources
from tests.support.waiting import until
from worker.consumer import Consumer
from worker.main import are_idle_within


@asynccontextmanager
async def consuming(
    resources: Resources, run_next: Callable[[str], Awaitable[bool]], *, slots: int = 1
) -> AsyncIterator[Consumer]:
    consumer = Consumer(
        pool=resources.redis_pool,
        availability=resources.redis,
        hints=resources.hints,
        queues=("default", "gpu"),
        slots=slots,
        run_next=run_next,
    )
    async with background.running(consumer.consume_forever()):
        yield consumer


def recording(taken: list[str]) -> Callable[[str], Awaitable[bool]]:
    """Return a `run_next` that records its queue and finishes at once."""

    async def run_next(queue: str) -> bool:
        taken.append(queue)
        return True

    return run_next


async def add(resources: Resources, queue: str, tokens: int) -> None:
    resources.hints.wake(queue, tokens)
    await resources.hints.flush()


async def left(resources: Resources) -> list[bytes]:
    """Return all keys of tokens and queues in Redis."""
    async with Redis(connection_pool=resources.redis_pool) as redis:
        return [key async for key in redis.scan_iter("arq:*")] + [
            key async for key in redis.scan_iter(f"{keys.PREFIX}queue:*")
        ]


async def test_each_token_runs_once_and_leaves_no_keys(resources: Resources) -> None:
    taken: list[str] = []
    await add(resources, "default", 20)
    await add(resources, "gpu", 3)
    async with consuming(resources, recording(taken), slots=2) as consumer:
        await until(lambda: _is(len(taken) == 23))
        await consumer.wait_idle()

    assert (taken.count("default"), taken.count("gpu")) == (20, 3)
    assert await left(resources) == []


async def test_a_busy_slot_serves_the_queues_in_turn(resources: Resources) -> None:
    taken: list[str] = []
    await add(resources, "default", 10)
    await add(resources, "gpu", 2)
    async with consuming(resources, recording(taken)):
        await until(lambda: _is(len(taken) == 12))

    assert taken[:4].count("gpu") == 2


async def test_no_more_jobs_run_than_slots(resources: Resources) -> None:
    running, most = 0, 0

    async def run_next(_queue: str) -> bool:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return True

    await add(resources, "default", 20)
    async with consuming(resources, run_next, slots=3) as consumer:
        await until(lambda: _is(most == 3))
        await until(lambda: _no_tokens(resources))
        await consumer.wait_idle()

    assert most == 3


async def test_a_slot_takes_no_token_after_the_consumer_stops(resources: Resources) -> None:
    entered, may_end = asyncio.Event(), asyncio.Event()

    async def run_next(_queue: str) -> bool:
        entered.set()
        await may_end.wait()
        return True

    await add(resources, "default", 5)
    async with consuming(resources, run_next) as consumer:
        await entered.wait()
    may_end.set()
    await consumer.wait_idle()

    async with Redis(connection_pool=resources.redis_pool) as redis:
        assert await redis.zcard(keys.queue("default")) == 4


async def test_a_drain_waits_for_the_slots_of_all_consumers(resources: Resources) -> None:
    entered, may_end = asyncio.Event(), asyncio.Event()

    async def run_next(_queue: str) -> bool:
        entered.set()
        await may_end.wait()
        return True

    async with consuming(resources, recording([])) as idle:
        pass
    await add(resources, "default", 1)
    async with consuming(resources, run_next) as busy:
        await entered.wait()

    assert not await are_idle_within(0.01, [idle, busy])
    may_end.set()
    assert await are_idle_within(10, [idle, busy])


async def _is(fact: bool) -> bool:  # what `until` waits for
    return fact


async def _no_tokens(resources: Resources) -> bool:
    async with Redis(connection_pool=resources.redis_pool) as redis:
        return not await redis.zcard(keys.queue("default"))
