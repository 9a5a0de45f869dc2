"""Hints: sent together, never waited for, and dropped rather than kept."""

import msgspec
import pytest
from prometheus_client import Counter
from redis.asyncio import Redis

from app.core import hints, ids, keys, metrics, queue
from app.core.config import Settings
from app.core.hints import Hints
from app.core.redis import RECOVERY_SECONDS, Availability, Operation, open_pool
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
