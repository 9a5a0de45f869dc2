"""What others publish in Redis is never shown: a stream is the log, whatever the hints say."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from app.core import ids, keys
from app.core.database import Database
from app.core.resources import Resources
from app.core.signing import MAX_MESSAGE_BYTES, SIGNATURE_BYTES, HintSigner
from app.jobs.events import Event
from app.jobs.states import EventType
from app.streams.hub import Hub
from app.streams.times import StreamTimes
from tests.streams.test_hub import hints_of
from tests.support import jobs
from tests.support.accounts import Account
from tests.support.app_state import state_of
from tests.support.following import following, publish, subscriber_count
from tests.support.waiting import until


@pytest.fixture
def stream_times() -> StreamTimes:
    """No comparison with Postgres, which would show what the hints do not."""
    return StreamTimes(compare_seconds=3600, compare_away_seconds=3600)


@pytest.fixture
def resources(app: FastAPI) -> Resources:
    return state_of(app).resources


def forged(job_id: UUID, seq: int, kind: EventType) -> bytes:
    data = msgspec.Raw(b'{"status":"completed"}')
    return Event(job_id, seq, kind, datetime(2026, 1, 1, tzinfo=UTC), data).encoded()


FORGERIES: dict[str, Callable[[HintSigner, bytes, bytes], bytes]] = {
    "unsigned": lambda _signer, _channel, message: message,
    "signed with nothing": lambda _signer, _channel, message: bytes(SIGNATURE_BYTES) + message,
    "signed for another channel": lambda signer, _channel, message: signer.sign(
        keys.events(ids.new_id()).encode(), message
    ),
    "signed, then changed": lambda signer, channel, message: (
        signer.sign(channel, b"another")[:SIGNATURE_BYTES] + message
    ),
    "cut off": lambda signer, channel, message: signer.sign(channel, message)[: SIGNATURE_BYTES - 1],
    "empty": lambda _signer, _channel, _message: b"",
    "huge": lambda _signer, _channel, message: message + b" " * MAX_MESSAGE_BYTES,
}


@pytest.mark.parametrize("forgery", FORGERIES)
@pytest.mark.parametrize("kind", [EventType.PROGRESS, EventType.COMPLETED])
async def test_a_forged_event_is_not_shown_and_ends_no_stream(
    resources: Resources, store: Database, hub: Hub, alice: Account, forgery: str, kind: EventType
) -> None:
    job = await jobs.running(store, alice.id, rows=25)
    channel = keys.events(alice.id)
    async with following(hub, alice.id, job.id) as reader:
        await reader.wait_for(2)
        await until(lambda: subscriber_count(resources, alice.id))
        await resources.signer.load()
        async with Redis(connection_pool=resources.redis_pool) as redis:
            hint = FORGERIES[forgery](resources.signer, channel.encode(), forged(job.id, 3, kind))
            assert await redis.publish(channel, hint) == 1
        publish(resources, await jobs.commit(store, job))
        assert await reader.wait_for(3) == [1, 2, 3]
        publish(resources, await jobs.complete(store, replace(job, next_batch=1)))

    assert reader.seen == list(range(1, 7))


async def test_what_was_said_before_changes_nothing_when_it_is_said_again_in_any_order(
    resources: Resources, store: Database, hub: Hub, alice: Account
) -> None:
    job = await jobs.running(store, alice.id, rows=25)
    channel = keys.events(alice.id)
    async with following(hub, alice.id, job.id) as reader:
        await reader.wait_for(2)
        await until(lambda: subscriber_count(resources, alice.id))
        transition = await jobs.commit(store, job, count=2)
        await resources.signer.load()
        hints = [resources.signer.sign(channel.encode(), hint) for hint in await hints_of(store, job.id)]
        async with Redis(connection_pool=resources.redis_pool) as redis:
            for hint in [*reversed(hints), *hints, *hints]:
                await redis.publish(channel, hint)
        assert await reader.wait_for(4) == [1, 2, 3, 4]
        publish(resources, transition)
        publish(resources, await jobs.complete(store, replace(job, next_batch=2)))

    assert reader.seen == [1, 2, 3, 4, 5, 6]
