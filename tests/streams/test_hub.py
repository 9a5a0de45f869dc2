"""The hub: whatever becomes of the hints, whoever follows a job sees its log."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from app.core import keys
from app.core.config import Settings
from app.core.database import Database
from app.core.resources import Resources
from app.jobs import queries
from app.jobs.transition_types import ClaimedJob
from app.main import create_app
from app.streams.followers import HubClosed
from app.streams.hub import Hub
from app.streams.times import StreamTimes
from tests.support import jobs, rows
from tests.support.accounts import Account
from tests.support.app_state import state_of
from tests.support.following import following, publish, subscriber_count
from tests.support.waiting import TIMEOUT_SECONDS, until

WITHOUT_COMPARISON = pytest.mark.parametrize(
    "stream_times", [StreamTimes(compare_seconds=3600, compare_away_seconds=3600)]
)
"""The hub does not look into Postgres by itself."""

WITH_QUICK_COMPARISON = pytest.mark.parametrize(
    "stream_times", [StreamTimes(compare_seconds=0.05, compare_away_seconds=0.05)]
)
"""The hub looks into Postgres all the time."""


@pytest.fixture
def resources(app: FastAPI) -> Resources:
    """What the API has opened."""
    return state_of(app).resources


async def end(store: Database, job: ClaimedJob, *, at: int) -> Any:
    """The transition that completes a job whose batches are all there."""
    return (await jobs.advance(store, jobs.report(job, first=at, count=0, is_final=True)))[job.id]


async def hints_of(store: Database, job_id: UUID, *, after: int = 0) -> list[bytes]:
    """The hints that the events of a job were announced with, or should have been."""
    async with store.connection() as connection:
        return [event.encoded() for event in (await queries.events(connection, job_id, after=after)).events]


async def publish_raw(resources: Resources, owner_id: UUID, hints: Sequence[bytes]) -> None:
    """Send these hints, in this order, signed as ours are."""
    await resources.signer.load()
    channel = keys.events(owner_id)
    async with Redis(connection_pool=resources.redis_pool) as redis:
        for hint in hints:
            await redis.publish(channel, resources.signer.sign(channel.encode(), hint))


@WITHOUT_COMPARISON
async def test_a_follower_gets_what_was_and_what_comes(
    resources: Resources, store: Database, hub: Hub, alice: Account
) -> None:
    job = await jobs.running(store, alice.id, rows=25)
    await jobs.commit(store, job, first=0)

    async with following(hub, alice.id, job.id) as reader:
        assert await reader.wait_for(3) == [1, 2, 3]
        for index in (1, 2):
            publish(resources, await jobs.commit(store, job, first=index))
            assert await reader.wait_for(index + 3) == list(range(1, index + 4))
        publish(resources, await end(store, job, at=3))

    assert reader.seen == [1, 2, 3, 4, 5, 6]


async def _insert_event_of_a_newer_version(store: Database, job: ClaimedJob) -> None:
    """Append an event of a type that this version does not know, as a process of a newer one does."""
    await rows.execute(
        store,
        """WITH job AS (UPDATE jobs SET last_seq = last_seq + 1 WHERE id = $1 RETURNING *)
        INSERT INTO job_events (job_id, seq, owner_id, type, data)
        SELECT j.id, j.last_seq, j.owner_id, 'paused', e.data
        FROM job j JOIN job_events e ON e.job_id = j.id AND e.seq = j.last_seq - 1""",
        job.id,
    )


@WITHOUT_COMPARISON
async def test_an_event_of_a_newer_version_is_passed_on_from_a_hint_and_from_the_log(
    resources: Resources, store: Database, hub: Hub, alice: Account, client: httpx.AsyncClient
) -> None:
    job = await jobs.running(store, alice.id, rows=25)
    types: list[str] = []

    async def follow(after: int) -> None:
        async for event in hub.follow(alice.id, job.id, after=after):
            types.append(event.type)  # noqa: PERF401  # another task looks at what has come so far

    async with asyncio.timeout(TIMEOUT_SECONDS), asyncio.TaskGroup() as group:
        group.create_task(follow(0))
        await until(lambda: _has(types, 2))
        await _insert_event_of_a_newer_version(store, job)
        await publish_raw(resources, alice.id, await hints_of(store, job.id, after=2))
        await until(lambda: _has(types, 3))
        publish(resources, await jobs.complete(store, job))
    from_hints = [*types]
    types.clear()
    await follow(0)
    page = await client.get(f"/jobs/{job.id}/events", headers=alice.headers)

    assert from_hints[2] == "paused"
    assert from_hints[-1] == "completed"
    assert types == from_hints
    assert [event["type"] for event in page.json()["items"]] == from_hints


async def _has(found: Sequence[object], count: int) -> bool:
    return len(found) >= count


@WITHOUT_COMPARISON
async def test_each_follower_starts_from_its_own_place(
    resources: Resources, store: Database, hub: Hub, alice: Account
) -> None:
    job = await jobs.running(store, alice.id, rows=25)

    async with (
        following(hub, alice.id, job.id) as one,
        following(hub, alice.id, job.id, after=1) as other,
        following(hub, alice.id, job.id, after=4) as ahead,
    ):
        await one.wait_for(2)
        await other.wait_for(1)
        await until(lambda: subscriber_count(resources, alice.id))
        publish(resources, await jobs.complete(store, job))

    assert one.seen == [1, 2, 3, 4, 5, 6]
    assert other.seen == [2, 3, 4, 5, 6]
    assert ahead.seen == [5, 6]


@WITHOUT_COMPARISON
async def test_a_gap_is_filled_from_the_log(
    resources: Resources, store: Database, hub: Hub, alice: Account
) -> None:
    job = await jobs.running(store, alice.id, rows=25)

    async with following(hub, alice.id, job.id) as reader:
        await reader.wait_for(2)
        await until(lambda: subscriber_count(resources, alice.id))
        for index in range(3):
            await jobs.commit(store, job, first=index)  # nobody is told
        publish(resources, await end(store, job, at=3))

    assert reader.seen == [1, 2, 3, 4, 5, 6]


@WITH_QUICK_COMPARISON
async def test_hints_that_were_lost_without_a_trace_are_made_good(
    store: Database, hub: Hub, alice: Account
) -> None:
    job = await jobs.running(store, alice.id, rows=25)

    async with following(hub, alice.id, job.id) as reader:
        await reader.wait_for(2)
        await jobs.complete(store, job)  # nobody is told

    assert reader.seen == [1, 2, 3, 4, 5, 6]


@WITHOUT_COMPARISON
async def test_a_reader_that_falls_behind_gets_the_log_all_the_same(
    resources: Resources, store: Database, hub: Hub, alice: Account
) -> None:
    """More events than a follower has room for."""
    job = await jobs.running(store, alice.id, rows=6000)

    async with following(hub, alice.id, job.id) as reader:
        await reader.wait_for(2)
        await until(lambda: subscriber_count(resources, alice.id))
        reader.may_read.clear()
        publish(resources, await jobs.complete(store, job))
        # This hint comes after all the others: by now they were heard, and most had no room.
        async with Redis(connection_pool=resources.redis_pool) as redis:
            await until(lambda: heard_everything(redis))
        reader.may_read.set()

    assert reader.seen == list(range(1, 604))


async def heard_everything(redis: Redis) -> bool:
    """Whether nothing waits to be read by the connections that listen."""
    listening = await redis.client_list(_type="pubsub")
    return all(client["omem"] == "0" and client["qbuf"] == "0" for client in listening)


@WITHOUT_COMPARISON
async def test_hints_that_make_no_sense_are_passed_over(
    resources: Resources, store: Database, hub: Hub, alice: Account
) -> None:
    job = await jobs.running(store, alice.id, rows=25)
    [hint, _] = await hints_of(store, job.id)

    async with following(hub, alice.id, job.id) as reader:
        await reader.wait_for(2)
        await until(lambda: subscriber_count(resources, alice.id))
        await publish_raw(
            resources, alice.id, [b"", b"\xff", b"{}", hint[:-1], hint.replace(b"created", b"boo")]
        )
        publish(resources, await jobs.complete(store, job))

    assert reader.seen == [1, 2, 3, 4, 5, 6]


@WITHOUT_COMPARISON
async def test_hints_may_come_in_any_order_any_number_of_times(resources: Resources, hub: Hub) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)

    for _ in range(15):
        seen = await follow_through_made_up_hints(resources, hub, chance)

        assert seen == list(range(seen[0], 14)), f"seed {seed}"


async def follow_through_made_up_hints(resources: Resources, hub: Hub, chance: random.Random) -> list[int]:
    """What a reader sees of a job while hints of what is committed come at random."""
    store = resources.database
    owner_id = await jobs.user(store)
    job = await jobs.running(store, owner_id, rows=100)
    after = chance.randint(0, 2)
    async with following(hub, owner_id, job.id, after=after) as reader:
        await until(lambda: subscriber_count(resources, owner_id))
        committed = 0
        while committed < 10:
            count = min(chance.randint(1, 4), 10 - committed)
            await jobs.commit(store, job, first=committed, count=count)
            committed += count
            hints = await hints_of(store, job.id)
            await publish_raw(resources, owner_id, chance.choices(hints, k=chance.randint(0, 6)))
        await end(store, job, at=10)
        hints = await hints_of(store, job.id)
        await publish_raw(resources, owner_id, chance.sample(hints, k=len(hints)))
    assert reader.seen[0] == after + 1
    return reader.seen


@WITHOUT_COMPARISON
async def test_a_job_that_was_tried_again_is_followed_past_its_first_end(
    resources: Resources, store: Database, hub: Hub, alice: Account
) -> None:
    job = await jobs.running(store, alice.id, rows=25)
    await jobs.fail(store, job, is_retryable=False)
    await jobs.retry(store, job.id)
    again = await jobs.claim(store)

    async with following(hub, alice.id, job.id) as reader:
        assert await reader.wait_for(5) == [1, 2, 3, 4, 5]
        await until(lambda: subscriber_count(resources, alice.id))
        publish(resources, await jobs.complete(store, again))

    assert reader.seen == list(range(1, 10))


async def test_a_closed_hub_ends_every_stream(hub: Hub, store: Database, alice: Account) -> None:
    job = await jobs.running(store, alice.id)
    ends = []

    async def follow() -> None:
        try:
            async for _ in hub.follow(alice.id, job.id, after=0):
                hub.close()
        except HubClosed as error:
            ends.append(error)

    await asyncio.gather(*(follow() for _ in range(3)))

    assert len(ends) == 3


@WITHOUT_COMPARISON
async def test_a_wait_ends_with_the_job(
    resources: Resources, hub: Hub, store: Database, alice: Account
) -> None:
    job = await jobs.running(store, alice.id)
    waiting = asyncio.create_task(hub.wait_for_end(alice.id, job.id, after=2, timeout_seconds=3600))
    await until(lambda: subscriber_count(resources, alice.id))

    publish(resources, await jobs.complete(store, job))

    await asyncio.wait_for(waiting, 20)


@pytest.mark.parametrize("stream_times", [StreamTimes(compare_seconds=3600, round_seconds=3600)])
async def test_a_wait_ends_with_the_job_also_if_it_begins_while_the_hub_gathers_hints(
    resources: Resources, store: Database, hub: Hub, alice: Account
) -> None:
    other = await jobs.running(store, alice.id, rows=10)
    job = await jobs.running(store, alice.id, rows=10)
    await hub.wait_for_end(alice.id, other.id, after=0, timeout_seconds=0.1)  # which subscribes
    publish(resources, await jobs.commit(store, other))
    await asyncio.sleep(0.1)  # nobody follows a job, so the hub waits for more hints

    async with following(hub, alice.id, job.id) as reader:
        await reader.wait_for(2)
        publish(resources, await jobs.commit(store, job))
        publish(resources, await end(store, job, at=1))


async def test_a_wait_ends_with_its_time(hub: Hub, store: Database, alice: Account) -> None:
    job = await jobs.running(store, alice.id)

    await hub.wait_for_end(alice.id, job.id, after=0, timeout_seconds=0.01)


async def test_a_wait_ends_when_the_process_goes_away(hub: Hub, store: Database, alice: Account) -> None:
    job = await jobs.running(store, alice.id)
    hub.close()

    await hub.wait_for_end(alice.id, job.id, after=0, timeout_seconds=3600)


async def test_without_redis_a_stream_is_fed_from_postgres(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"redis_url": "unix:///nowhere/at/all.sock"}))
    async with app.router.lifespan_context(app):
        store = state_of(app).resources.database
        owner_id = await jobs.user(store)
        job = await jobs.running(store, owner_id, rows=25)

        async with following(state_of(app).hub, owner_id, job.id) as reader:
            await reader.wait_for(2)
            for index in range(3):
                await jobs.commit(store, job, first=index)
                await reader.wait_for(index + 3)
            await end(store, job, at=3)

    assert reader.seen == [1, 2, 3, 4, 5, 6]
