"""Hints: sent together, never waited for, and dropped rather than kept."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from prometheus_client import Counter
from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import RedisError, ResponseError

from app.core import hints, ids, keys, metrics, queue
from app.core.config import Settings
from app.core.hints import Hints
from app.core.redis import (
    RECOVERY_SECONDS,
    Availability,
    Command,
    DedicatedConnection,
    Operation,
    open_pool,
)
from app.core.resources import Resources, open_resources
from tests.support.waiting import until


@pytest.fixture
def quiet(resources: Resources) -> Hints:
    """Hints that are sent when the test says so."""
    return Hints(resources.redis_pool, resources.redis, resources.signer)


def count_of(counter: Counter) -> float:
    return float(counter._value.get())


async def test_a_wake_up_is_a_token_that_arq_can_read(resources: Resources, quiet: Hints) -> None:
    quiet.wake("gpu", 2)
    await quiet.flush()

    async with Redis(connection_pool=resources.redis_pool) as redis:
        tokens = await redis.zrange(keys.queue("gpu"), 0, -1)
        payloads = [queue.deserialize(await redis.get(b"arq:job:" + token)) for token in tokens]
        lifetimes = [await redis.pttl(b"arq:job:" + token) for token in tokens]
    assert len(set(tokens)) == 2
    assert [payload["a"] for payload in payloads] == [["gpu"], ["gpu"]]
    assert all(0 < lifetime <= keys.TOKEN_LIFETIME_SECONDS * 1000 for lifetime in lifetimes)


async def test_an_event_reaches_whoever_listens(resources: Resources, quiet: Hints) -> None:
    owner_id, worker_id, job_id = (ids.new_id() for _ in range(3))
    async with Redis(connection_pool=resources.redis_pool).pubsub() as pubsub:
        await pubsub.subscribe(keys.events(owner_id), keys.worker(worker_id))
        quiet.publish_events(owner_id, [b"one", b"two"])
        quiet.notify_worker(worker_id, job_id)
        await quiet.flush()
        heard: list[bytes] = []

        async def has_heard_all() -> bool:
            message = await pubsub.get_message(ignore_subscribe_messages=True)
            if message is not None:
                opened = resources.signer.verify(message["channel"], message["data"])
                assert opened is not None
                heard.append(opened)
            return len(heard) == 3

        await until(has_heard_all)
    assert heard == [b"one", b"two", job_id.bytes]


async def test_so_many_wait_and_the_rest_is_dropped_and_counted(quiet: Hints) -> None:
    owner_id = ids.new_id()
    before = count_of(metrics.HINTS_DROPPED)

    quiet.publish_events(owner_id, [b"x"] * (hints.MAX_WAITING + 7))
    quiet.wake("default", hints.MAX_TOKENS_AT_ONCE + 7)
    quiet.wake("default", 1)

    assert len(quiet._messages) == hints.MAX_WAITING
    assert quiet._tokens["default"] == hints.MAX_TOKENS_AT_ONCE
    assert count_of(metrics.HINTS_DROPPED) == before + 7


async def test_without_redis_hints_are_dropped_and_nobody_waits(resources: Resources) -> None:
    before = count_of(metrics.HINTS_DROPPED)
    async with open_pool("unix:///nowhere/at/all.sock", max_connections=2) as pool:
        availability = Availability()
        lost = Hints(pool, availability, resources.signer)

        lost.wake("default")
        lost.publish_events(ids.new_id(), [b"one", b"two"])
        await lost.flush()

        assert not availability.is_up
        assert lost._messages == []
    assert count_of(metrics.HINTS_DROPPED) == before + 3


async def test_while_redis_is_away_it_is_asked_although_there_is_nothing_to_send(
    resources: Resources,
) -> None:
    now = 0.0
    availability = Availability(lambda: now)
    quiet = Hints(resources.redis_pool, availability, resources.signer)
    availability.failed(ConnectionError("away"), Operation.PUBLISH)

    now += RECOVERY_SECONDS
    await quiet.flush()

    assert availability.is_up


async def test_hints_are_sent_by_themselves(resources: Resources) -> None:
    resources.hints.wake("default", 3)

    async def has_three_tokens() -> bool:
        async with Redis(connection_pool=resources.redis_pool) as redis:
            return bool(await redis.zcard(keys.queue("default")) == 3)

    await until(has_three_tokens)


class Counting(DedicatedConnection):
    """A connection that counts how often it sends, and can be held back."""

    def __init__(self, pool: ConnectionPool) -> None:
        super().__init__(pool)
        self.sent = 0
        self.may_send = asyncio.Event()
        self.may_send.set()

    async def execute(self, commands: Sequence[Command]) -> list[Any]:
        self.sent += 1
        await self.may_send.wait()
        return await super().execute(commands)


@pytest.fixture
def counting(resources: Resources, quiet: Hints) -> Counting:
    """The connection of `quiet`."""
    counting = Counting(resources.redis_pool)
    quiet._connection = counting
    return counting


async def test_requests_travel_with_the_hints_that_wait_and_get_their_own_replies(
    quiet: Hints, counting: Counting
) -> None:
    quiet.wake("default", 2)
    first = asyncio.create_task(quiet.request(("ZCARD", keys.queue("default")), ("ECHO", "one")))
    second = asyncio.create_task(quiet.request(("ECHO", "two")))
    await asyncio.sleep(0)
    await quiet.flush()

    assert await first == [2, b"one"]
    assert await second == [b"two"]
    assert counting.sent == 1


async def test_a_flush_waits_for_what_is_on_its_way(quiet: Hints, counting: Counting) -> None:
    counting.may_send.clear()
    quiet.wake("default")
    first, second = (asyncio.create_task(quiet.flush()) for _ in range(2))
    for _ in range(5):
        await asyncio.sleep(0)
    assert counting.sent == 1
    assert not second.done()
    counting.may_send.set()

    await asyncio.gather(first, second)
    assert counting.sent == 1


async def test_a_hint_that_redis_refuses_fails_no_request(
    resources: Resources, quiet: Hints, counting: Counting
) -> None:
    before = count_of(metrics.HINTS_DROPPED)
    async with Redis(connection_pool=resources.redis_pool) as redis:
        await redis.set(keys.queue("default"), b"of a wrong type")
    quiet.wake("default", 3)
    request = asyncio.create_task(quiet.request(("ECHO", "text")))
    await asyncio.sleep(0)
    await quiet.flush()

    assert await request == [b"text"]
    assert count_of(metrics.HINTS_DROPPED) == before + 3
    assert not resources.redis.is_up


async def test_a_request_that_redis_refuses_fails_no_hint(
    resources: Resources, quiet: Hints, counting: Counting
) -> None:
    before = count_of(metrics.HINTS_DROPPED)
    quiet.wake("default")
    request = asyncio.create_task(quiet.request(("ECHO",)))
    await asyncio.sleep(0)
    await quiet.flush()

    assert isinstance((await request)[0], ResponseError)
    assert count_of(metrics.HINTS_DROPPED) == before
    assert resources.redis.is_up


async def test_a_request_that_was_given_up_takes_no_reply_of_another(
    quiet: Hints, counting: Counting
) -> None:
    given_up = asyncio.create_task(quiet.request(("ECHO", "one")))
    kept = asyncio.create_task(quiet.request(("ECHO", "two")))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    await quiet.flush()

    assert await kept == [b"two"]


async def test_without_redis_a_request_raises(resources: Resources) -> None:
    async with open_pool("unix:///nowhere/at/all.sock", max_connections=2) as pool:
        lost = Hints(pool, Availability(), resources.signer)
        request = asyncio.create_task(lost.request(("PING",)))
        await asyncio.sleep(0)
        await lost.flush()

        with pytest.raises(RedisError):
            await request


async def test_a_wake_up_leaves_before_its_caller_goes_on(resources: Resources) -> None:
    resources.hints.wake("default")
    await resources.hints.let_wakes_leave()

    assert not resources.hints._tokens


async def test_what_waits_at_the_end_is_sent(settings: Settings) -> None:
    async with open_resources(settings) as closing:
        closing.hints.wake("last-moment")
    async with (
        open_pool(settings.redis_url, max_connections=1) as pool,
        Redis(connection_pool=pool) as redis,
    ):
        assert await redis.zcard(keys.queue("last-moment")) == 1


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"\x80\x04K\x01.", b"{"])
def test_a_token_that_is_no_json_object_is_never_read(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        queue.deserialize(data)


def test_the_names_of_queues_and_owners_survive_the_way() -> None:
    owner_id = ids.new_id()

    assert keys.queue_name(keys.queue("a.b-c_d").encode()) == "a.b-c_d"
    assert keys.events_owner(keys.events(owner_id).encode()) == owner_id
