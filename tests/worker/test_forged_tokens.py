"""A worker survives forged tokens and queue keys, and logs little about them."""

import asyncio
import math
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from app.core import background, ids, keys
from app.core.resources import Resources
from app.jobs.workers.commands import WorkerIdentity
from tests.support.waiting import until
from worker.consumer import Consumer
from worker.lease import Lease

QUEUE = keys.queue("default")
MANY = 200_000


def bodies() -> dict[str, bytes | None]:
    """Return forged token bodies by name, so that a failure names the body."""
    token: dict[str, Any] = {"t": None, "f": "run_next", "a": ["default"], "k": {}, "et": 1}
    odd: list[Any] = [None, True, -1, 10**400, 1.5, "", "x" * 100_000, [], {}, [[]] * 1000, {"a": {}}, "\0"]
    found: dict[str, bytes | None] = {
        "missing": None,
        "empty": b"",
        "pickle": b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93\x8c\x14raise SystemExit(13)\x85R.",
        "pickle of text": b"cos\nsystem\n(S'exit 13'\ntR.",
        "not json": b"{",
        "nested": b"[" * 100_000,
        "huge": b"x" * 5_000_000,
        "not utf-8": b"\xff\xfe",
        "unknown function": msgspec.json.encode({**token, "f": "os.system"}),
        "unknown queue": msgspec.json.encode({**token, "a": ["unknown"]}),
        "too many arguments": msgspec.json.encode({**token, "a": ["default"] * 1000}),
        "no arguments": msgspec.json.encode({**token, "a": []}),
        "a name of ours as a keyword": msgspec.json.encode({**token, "k": {"name": 1, "_context": 2}}),
    }
    for member in token:
        without = {name: value for name, value in token.items() if name != member}
        found[f"without {member}"] = msgspec.json.encode(without)
        for index, value in enumerate(odd):
            if isinstance(value, int) and abs(value) > 2**64:
                found[f"{member}: huge number"] = (
                    msgspec.json.encode(without)[:-1] + b',"%s":1e999}' % member.encode()
                )
            else:
                found[f"{member}: {index}"] = msgspec.json.encode({**without, member: value})
    chance = random.Random(7)
    plain = msgspec.json.encode(token)
    for number in range(120):
        damaged = bytearray(plain)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        found[f"damaged {number}"] = bytes(damaged)
    return found


BODIES = bodies()
NAMES = [b"", b"\xff\xff", b"x" * 1_000_000, b"\0", b"a b\nc", "\u202e".encode(), b"arq:job:x", b"1" * 5000]
SCORES = [0.0, -1.0, math.inf, -math.inf, 1e308, -1e308, 0.5, 2.0**63]
WRONG_TYPES: dict[str, tuple[str, ...]] = {
    "string": ("SET", "x"),
    "list": ("LPUSH", "x"),
    "hash": ("HSET", "a", "b"),
    "set": ("SADD", "x"),
    "stream": ("XADD", "*", "a", "b"),
}


async def put(redis: Redis, kind: str, key: str) -> None:
    """Store a value of another type under a key."""
    command, *content = WRONG_TYPES[kind]
    await redis.execute_command(command, key, *content)  # type: ignore[no-untyped-call]  # redis-py


@asynccontextmanager
async def consuming(
    resources: Resources, taken: list[str], *, is_work_there: bool = True, max_empty_seconds: float = 0.5
) -> AsyncIterator[Consumer]:
    async def run_next(queue: str) -> bool:
        taken.append(queue)
        await asyncio.sleep(0)  # as each claim does: a worker claims in a loop while Redis is away
        return is_work_there

    consumer = Consumer(
        pool=resources.redis_pool,
        availability=resources.redis,
        hints=resources.hints,
        queues=("default", "gpu"),
        slots=2,
        run_next=run_next,
        max_empty_seconds=max_empty_seconds,
    )
    async with background.running(consumer.consume_forever()):
        yield consumer


async def still_works(resources: Resources, taken: list[str]) -> None:
    """Check that a genuine token is still consumed."""
    taken.clear()

    async def is_taken() -> bool:
        resources.hints.wake("gpu")
        await resources.hints.flush()
        return "gpu" in taken

    await until(is_taken)


async def test_a_token_wakes_the_worker_whatever_its_content(resources: Resources) -> None:
    assert len(BODIES) + len(NAMES) * len(SCORES) >= 200
    tokens = [ids.new_id().hex for _ in BODIES]
    taken: list[str] = []
    async with Redis(connection_pool=resources.redis_pool) as redis:
        with capture_logs() as records:
            async with consuming(resources, taken) as consumer:
                for token, body in zip(tokens, BODIES.values(), strict=True):
                    if body is not None:
                        await redis.set(f"arq:job:{token}", body)
                    await redis.zadd(QUEUE, {token: 1})
                for name in NAMES:
                    for score in SCORES:
                        await redis.zadd(QUEUE, {name: score})
                        await redis.zadd(keys.queue("gpu"), {name: score})
                await until(lambda: _is_empty(redis))
                await still_works(resources, taken)
                await consumer.wait_idle()
        assert not await redis.exists(*(f"arq:job:{token}" for token in tokens))
    assert records == []


@pytest.mark.parametrize("kind", WRONG_TYPES)
async def test_a_queue_key_of_a_wrong_type_is_deleted(resources: Resources, kind: str) -> None:
    taken: list[str] = []
    async with Redis(connection_pool=resources.redis_pool) as redis:
        with capture_logs() as records:
            async with consuming(resources, taken):
                await redis.unlink(QUEUE)
                await put(redis, kind, QUEUE)
                await still_works(resources, taken)
                await until(lambda: _is_usable(redis))
    assert len(records) <= 3


@pytest.mark.parametrize("kind", WRONG_TYPES)
async def test_token_keys_of_a_wrong_type_are_deleted_with_the_token(resources: Resources, kind: str) -> None:
    taken: list[str] = []
    async with Redis(connection_pool=resources.redis_pool) as redis:
        for prefix in ("arq:job:", "arq:retry:", "arq:in-progress:"):
            await put(redis, kind, f"{prefix}a-token")
        await redis.zadd(QUEUE, {"a-token": 1})
        async with consuming(resources, taken) as consumer:
            await until(lambda: _is_empty(redis))
            await still_works(resources, taken)
            await consumer.wait_idle()
        assert not await redis.exists("arq:job:a-token", "arq:retry:a-token")


async def test_hundreds_of_thousands_of_useless_tokens_are_consumed_quickly(resources: Resources) -> None:
    taken: list[str] = []
    async with Redis(connection_pool=resources.redis_pool) as redis:
        for first in range(0, MANY, 10_000):
            await redis.zadd(QUEUE, dict.fromkeys(map(str, range(first, first + 10_000)), 1))
        async with consuming(resources, taken, is_work_there=False, max_empty_seconds=0.01) as consumer:
            await until(lambda: _is_empty(redis))
            await consumer.wait_idle()
    assert len(taken) < MANY / 100


@pytest.mark.parametrize("hint", [b"", b"x" * 1_000_000, b"\x80\x04K\x01.", bytes(16), bytes(32), b"{}"])
async def test_a_worker_ignores_unsigned_hints(resources: Resources, hint: bytes) -> None:
    identity = WorkerIdentity(ids.new_id(), "w", "here", 1, ("default",), (), 1)
    lease = Lease(identity, resources.settings.database_url, 3600, _Nobody(), lease_seconds=30)
    channel = keys.worker(identity.id)
    async with (
        Redis(connection_pool=resources.redis_pool) as redis,
        background.running(lease.listen_forever(resources.redis_pool, resources.redis, resources.signer)),
    ):
        await until(lambda: _has_listener(redis, channel))
        assert await redis.publish(channel, hint) == 1
        await asyncio.sleep(0.2)
        assert not lease._renew_now.is_set()

        resources.hints.notify_worker(identity.id, ids.new_id())
        await resources.hints.flush()
        await asyncio.wait_for(lease._renew_now.wait(), 20)


class _Nobody:
    async def release(self, job_id: Any, attempt: int) -> None:
        raise AssertionError("nothing runs here")


async def _has_listener(redis: Redis, channel: str) -> bool:
    [(_, count)] = await redis.pubsub_numsub(channel)
    return bool(count)


async def _is_empty(redis: Redis) -> bool:
    return not await redis.zcard(QUEUE) and not await redis.zcard(keys.queue("gpu"))


async def _is_usable(redis: Redis) -> bool:
    return await redis.type(QUEUE) in (b"zset", b"none")
