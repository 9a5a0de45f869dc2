"""What a process believes of Redis changes seldom: once when it goes, once when it is back for good.

And a connection that one task keeps never mixes up replies.
"""

import asyncio

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from structlog.testing import capture_logs

from app.core.redis import (
    RECOVERY_SECONDS,
    Availability,
    DedicatedConnection,
    Operation,
    first_error,
    open_pool,
)
from app.core.resources import Resources
from tests.support.waiting import until

AWAY = ConnectionError("away")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_redis_is_back_when_nothing_has_failed_for_a_while() -> None:
    clock = Clock()
    redis = Availability(clock)

    redis.failed(AWAY, Operation.PUBLISH)
    assert not redis.is_up
    redis.succeeded(Operation.PUBLISH)
    assert not redis.is_up
    clock.now += RECOVERY_SECONDS
    redis.succeeded(Operation.SUBSCRIBE)

    assert redis.is_up


def test_what_failed_at_one_use_is_not_back_by_another() -> None:
    clock = Clock()
    redis = Availability(clock)

    redis.failed(AWAY, Operation.CONSUME)
    clock.now += RECOVERY_SECONDS
    redis.succeeded(Operation.PUBLISH)

    assert not redis.is_up


@pytest.mark.parametrize("pause", [0.1, 1.0, RECOVERY_SECONDS - 0.5])
def test_a_redis_that_fails_now_and_then_is_one_line_in_the_log(pause: float) -> None:
    clock = Clock()
    redis = Availability(clock)

    with capture_logs() as lines:
        for _ in range(20):
            redis.failed(AWAY, Operation.PUBLISH)
            redis.succeeded(Operation.PUBLISH)
            clock.now += pause
            redis.succeeded(Operation.CONSUME)

    assert [line["event"] for line in lines] == ["redis_unavailable"]


@pytest.fixture
def dedicated(resources: Resources) -> DedicatedConnection:
    return DedicatedConnection(resources.redis_pool)


async def test_each_command_has_its_reply_and_one_that_fails_its_error(
    dedicated: DedicatedConnection,
) -> None:
    replies = await dedicated.execute(
        [("SET", "text", b"a"), ("ZADD", "text", 1, "member"), ("GET", "text"), ("GET", "nothing")]
    )

    assert replies[0] == b"OK"
    assert isinstance(replies[1], ResponseError)
    assert replies[2:] == [b"a", None]
    assert first_error(replies) is replies[1]
    assert first_error(replies[2:]) is None


async def test_commands_are_sent_again_if_redis_has_closed_the_connection(
    resources: Resources, dedicated: DedicatedConnection
) -> None:
    [first_id] = await dedicated.execute([("CLIENT", "ID")])
    async with Redis(connection_pool=resources.redis_pool) as redis:
        await redis.client_kill_filter(_id=str(first_id))

    [second_id] = await dedicated.execute([("CLIENT", "ID")])

    assert second_id != first_id


async def test_a_command_that_is_cancelled_leaves_no_reply_to_the_next_one(
    resources: Resources, dedicated: DedicatedConnection
) -> None:
    waiting = asyncio.create_task(dedicated.execute([("BLPOP", "list", 2)]))
    async with Redis(connection_pool=resources.redis_pool) as redis:

        async def is_waiting() -> bool:
            return bool((await redis.info("clients"))["blocked_clients"])

        await until(is_waiting)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await redis.execute_command("RPUSH", "list", "late")  # type: ignore[no-untyped-call]  # redis-py

    assert await dedicated.execute([("PING",)]) == [b"PONG"]


async def test_a_redis_that_does_not_answer_is_given_up(dedicated: DedicatedConnection) -> None:
    waiting = asyncio.create_task(dedicated.execute([("BLPOP", "list", 0)]))
    done, _ = await asyncio.wait([waiting], timeout=30)
    waiting.cancel()

    assert done
    with pytest.raises(TimeoutError):
        await waiting
    assert await dedicated.execute([("PING",)]) == [b"PONG"]


async def test_its_connections_go_back_to_the_pool_when_they_break(resources: Resources) -> None:
    async with open_pool(resources.settings.redis_url, max_connections=1) as pool:
        dedicated = DedicatedConnection(pool)
        for _ in range(3):
            [client_id] = await dedicated.execute([("CLIENT", "ID")])
            async with Redis(connection_pool=resources.redis_pool) as redis:
                await redis.client_kill_filter(_id=str(client_id))


async def test_without_redis_it_raises_at_once() -> None:
    async with open_pool("unix:///nowhere/at/all.sock", max_connections=1) as pool:
        for _ in range(2):
            with pytest.raises(RedisConnectionError):
                await DedicatedConnection(pool).execute([("PING",)])
