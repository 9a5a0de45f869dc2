"""All of one's jobs, over SSE and WebSocket: one log, in one order, to be resumed anywhere."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from app.core import ids, keys
from app.core.database import Database
from app.core.resources import Resources
from app.jobs.kinds import batch_predict
from app.streams import owner_log
from app.streams.hub import Hub
from app.streams.owner_log import BEGINNING, EVERYTHING, EventFilter, OwnerPosition
from app.streams.times import StreamTimes
from tests.support import jobs, rows, sse, websockets
from tests.support.accounts import Account
from tests.support.app_state import state_of
from tests.support.following import publish, subscriber_count, until_final
from tests.support.waiting import TIMEOUT_SECONDS, until

PATH = "/jobs/stream"

Numbered = tuple[UUID, int]


async def log_of(store: Database, owner_id: UUID) -> list[Numbered]:
    """Everything that happened to an owner's jobs, in the order of the transactions."""
    found = await rows.fetch(
        store,
        "SELECT job_id, seq FROM job_events WHERE owner_id = $1 ORDER BY xact_id, job_id, seq",
        owner_id,
    )
    return [(event["job_id"], event["seq"]) for event in found]


def numbered(event: sse.ServerSentEvent) -> Numbered:
    return UUID(event.json()["job_id"]), event.json()["seq"]


async def some(events: AsyncIterator[sse.ServerSentEvent], count: int) -> list[sse.ServerSentEvent]:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        return [await anext(events) for _ in range(count)]


@contextlib.asynccontextmanager
async def open_transaction(store: Database, owner_id: UUID) -> AsyncIterator[Numbered]:
    """An event that is written, but not committed before the body's end."""
    job_id = await jobs.create(store, owner_id)
    async with store.transaction() as connection:
        await connection.execute(
            """WITH moved AS (UPDATE jobs SET last_seq = 2 WHERE id = $1)
            INSERT INTO job_events (job_id, owner_id, seq, type, data)
            VALUES ($1, $2, 2, 'progress', '{}')""",
            job_id,
            owner_id,
        )
        yield job_id, 2


async def test_a_stream_begins_now_and_with_a_place_to_come_back_to(
    served: httpx.AsyncClient, alice: Account, store: Database, opened_resources: Resources
) -> None:
    job = await jobs.running(store, alice.id, rows=25)
    await until_final(store)

    async with sse.opened(served, PATH, alice.headers) as stream:
        events = stream.events()
        ready = await anext(events)
        await until(lambda: subscriber_count(opened_resources, alice.id))
        publish(opened_resources, await jobs.complete(store, job))
        live = await some(events, 4)
    async with sse.opened(served, PATH, {**alice.headers, "Last-Event-ID": ready.id or ""}) as stream:
        events = stream.events()
        assert (await anext(events)).id == ready.id
        resumed = await some(events, 4)

    assert (ready.event, ready.data) == ("ready", "{}")
    assert [event.event for event in live] == ["update", "update", "update", "complete"]
    assert live == resumed
    assert [numbered(event) for event in live] == (await log_of(store, alice.id))[2:]


async def test_a_stream_is_resumed_after_any_event_and_from_the_beginning(
    served: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    for owner in (alice, mallory, alice):
        await jobs.complete(store, await jobs.running(store, owner.id, rows=25))
    log = await log_of(store, alice.id)

    async with sse.opened(served, f"{PATH}?after=0", alice.headers) as stream:
        events = stream.events()
        await anext(events)
        everything = await some(events, len(log))
    for seen in (0, 3, 5, 10):
        async with sse.opened(served, f"{PATH}?after={everything[seen].id}", alice.headers) as stream:
            events = stream.events()
            await anext(events)
            assert await some(events, len(log) - seen - 1) == everything[seen + 1 :]

    assert [numbered(event) for event in everything] == log


@pytest.mark.parametrize("transport", ["sse", "websocket"])
async def test_a_place_that_is_none_is_refused(
    client: httpx.AsyncClient, app: FastAPI, alice: Account, transport: str
) -> None:
    job_id = ids.new_id().hex
    places = [
        *("7", "abc", "-1", "1-2", "1-2-3", f"1-{job_id}", f"1-{job_id}-", f"1-{job_id}-{2**31}"),
        *(f"{10**18}-{job_id}-1", f"-1-{job_id}-1", f"01-{job_id}-1", f"1-{{{job_id}}}-1", f"1-{job_id}-²"),
        *(f"٣-{job_id}-1", f"1-{job_id}-1\n", f"1_0-{job_id}-1", " 0"),
    ]

    if transport == "sse":
        for place in places:
            answer = await client.get(PATH, params={"after": place}, headers=alice.headers)
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid_event_id"), place
    else:
        async with (
            websockets.serving(app) as url,
            websockets.opened(url, "/ws", alice.headers) as talk,
        ):
            for place in places:
                await talk.send("subscribe", after=place)
                assert (await talk.receive())["data"]["code"] == "invalid_event_id", place


async def test_only_what_is_asked_for_is_shown(
    served: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    here = await jobs.create(store, alice.id)
    elsewhere = await jobs.create(store, alice.id, queue="gpu")
    grouped = await jobs.create(store, alice.id)
    group_id = ids.new_id()
    await rows.execute(store, "INSERT INTO job_groups (id, owner_id) VALUES ($1, $2)", group_id, alice.id)
    await rows.execute(store, "UPDATE jobs SET group_id = $2 WHERE id = $1", grouped, group_id)
    kind = batch_predict.KIND.name

    for wanted, expected in {
        "queue=gpu": [elsewhere],
        "queue=default": [here, grouped],
        f"group_id={group_id}": [grouped],
        f"kind={kind}": [here, elsewhere, grouped],
        f"kind={kind}&queue=default&group_id={group_id}": [grouped],
    }.items():
        async with sse.opened(served, f"{PATH}?after=0&{wanted}", alice.headers) as stream:
            events = stream.events()
            await anext(events)
            shown = await some(events, len(expected))
        assert {numbered(event) for event in shown} == {(job_id, 1) for job_id in expected}, wanted
    for nothing in ("kind=none", "queue=none", f"group_id={ids.new_id()}"):
        async with sse.opened(served, f"{PATH}?after=0&{nothing}", alice.headers) as stream:
            events = stream.events()
            await anext(events)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(events), 0.05)


async def test_a_filter_that_no_job_can_match_is_refused(client: httpx.AsyncClient, alice: Account) -> None:
    for wanted in ("kind=%00", "queue=a%00", "group_id=1"):
        answer = await client.get(f"{PATH}?{wanted}", headers=alice.headers)
        assert answer.status_code == 422, wanted


async def test_all_jobs_are_followed_over_a_websocket_with_the_same_places(
    app: FastAPI, alice: Account, store: Database, opened_resources: Resources
) -> None:
    job = await jobs.running(store, alice.id, rows=25)

    async with (
        websockets.serving(app) as url,
        websockets.opened(url, "/ws", alice.headers) as talk,
        websockets.client_of(url) as client,
    ):
        await talk.send("subscribe", after="0")
        subscribed = await talk.receive()
        heard = await talk.receive_many(2)
        await until(lambda: subscriber_count(opened_resources, alice.id))
        publish(opened_resources, await jobs.commit(store, job, first=0))
        heard.append(await talk.receive())
        async with sse.opened(client, f"{PATH}?after={heard[1]['id']}", alice.headers) as stream:
            events = stream.events()
            await anext(events)
            [streamed] = await some(events, 1)

    assert (subscribed["event"], subscribed["data"]["id"]) == ("subscribed", str(BEGINNING))
    assert (heard[2]["id"], heard[2]["data"]) == (streamed.id, json.loads(streamed.data))


async def test_an_event_of_a_transaction_that_is_open_for_long_is_not_skipped(
    served: httpx.AsyncClient, alice: Account, store: Database, opened_resources: Resources
) -> None:
    """Its place is before those of events that are committed earlier."""
    async with sse.opened(served, PATH, alice.headers) as stream:
        events = stream.events()
        await anext(events)
        await until(lambda: subscriber_count(opened_resources, alice.id))
        async with open_transaction(store, alice.id) as late:
            for _ in range(3):
                job = await jobs.create(store, alice.id)
                async with store.connection() as connection:
                    await jobs.cancel(store, job)
                    horizon = await owner_log.head(connection)
                assert horizon.xact_id >= 0
        shown = [numbered(event) for event in await some(events, 8)]

    assert shown == await log_of(store, alice.id)
    assert late in shown


@pytest.mark.parametrize("stream_times", [StreamTimes(compare_seconds=3600)])
async def test_what_is_committed_is_shown_as_soon_as_no_older_transaction_is_open(
    served: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, alice: Account, store: Database, hub: Hub
) -> None:
    """Nobody tells of the end of a transaction, least of all of one that wrote none of the owner's events."""
    reads = 0
    read_owner = hub.read_owner

    async def counted(owner_id: UUID, after: OwnerPosition, wanted: EventFilter) -> owner_log.Page:
        nonlocal reads
        reads += 1
        return await read_owner(owner_id, after, wanted)

    monkeypatch.setattr(hub, "read_owner", counted)
    async with rows.transaction(store) as stranger:
        await stranger.execute("SELECT pg_current_xact_id()")
        job_id = await jobs.create(store, alice.id)
        async with sse.opened(served, f"{PATH}?after=0", alice.headers) as stream:
            events = stream.events()
            await anext(events)

            async def has_looked_often() -> bool:
                return reads >= 4

            await until(has_looked_often)
            await stranger.execute("COMMIT")
            [shown] = await some(events, 1)
            await stranger.execute("BEGIN")

    assert numbered(shown) == (job_id, 1)


@pytest.mark.parametrize("stream_times", [StreamTimes(compare_seconds=3600)])
@pytest.mark.parametrize("wanted", ["", "?queue=gpu"])
async def test_hints_that_lead_to_nothing_are_followed_once(
    served: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    alice: Account,
    store: Database,
    hub: Hub,
    opened_resources: Resources,
    wanted: str,
) -> None:
    """Doubled ones, and those of jobs that are filtered out: a stream is pushed, not polled."""
    reads: list[OwnerPosition] = []
    read_owner = hub.read_owner

    async def counted(owner_id: UUID, after: OwnerPosition, wanted: EventFilter) -> owner_log.Page:
        reads.append(after)
        return await read_owner(owner_id, after, wanted)

    monkeypatch.setattr(hub, "read_owner", counted)
    job = await jobs.running(store, alice.id, rows=25)
    transition = await jobs.commit(store, job)

    async with sse.opened(served, PATH + wanted, alice.headers) as stream:
        await anext(stream.events())
        await until(lambda: subscriber_count(opened_resources, alice.id))
        for _ in range(3):
            publish(opened_resources, transition)
            await opened_resources.hints.flush()
        await asyncio.sleep(0.5)  # a hundred looks, if it looked each five milliseconds

    assert 1 <= len(reads) <= 10


async def test_a_stream_of_all_users_reads_at_its_interval_also_while_events_are_held_back(
    monkeypatch: pytest.MonkeyPatch, alice: Account, store: Database, hub: Hub
) -> None:
    reads = 0
    read_owner = hub.read_owner

    async def counted(owner_id: UUID | None, after: OwnerPosition, wanted: EventFilter) -> owner_log.Page:
        nonlocal reads
        reads += 1
        page = await read_owner(owner_id, after, wanted)
        assert page.has_held_back
        return page

    monkeypatch.setattr(hub, "read_owner", counted)
    async with rows.transaction(store) as stranger:
        await stranger.execute("SELECT pg_current_xact_id()")
        await jobs.create(store, alice.id)
        async with hub.everyone_follower(after=BEGINNING, wanted=EVERYTHING, poll_seconds=3600) as follower:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await anext(follower.events())

    assert 1 <= reads <= 3  # the hub may wake it when it connects to Redis


async def test_coalescing_keeps_every_end_of_a_job_and_its_newest_event(
    alice: Account, mallory: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id)
    await jobs.fail(store, job, is_retryable=False)
    await jobs.retry(store, job.id)
    again = await jobs.claim(store)
    await jobs.advance(store, jobs.report(again))
    other = await jobs.create(store, mallory.id)
    await until_final(store)

    async with store.connection() as connection:
        page = await owner_log.read(connection, None, BEGINNING, EVERYTHING)
    kept = owner_log.coalesce(page.events)

    assert len(page.events) == 7
    assert [(entry.event.job_id, entry.event.type) for entry in kept] == [
        (job.id, "failed"),
        (job.id, "progress"),
        (other, "created"),
    ]
    assert kept[-1].position == page.events[-1].position


@pytest.mark.parametrize("stream_times", [StreamTimes(compare_seconds=0.05)])
async def test_hints_may_be_lost_without_a_trace(
    served: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    async with sse.opened(served, PATH, alice.headers) as stream:
        events = stream.events()
        await anext(events)
        await jobs.create(store, alice.id)  # nobody is told
        shown = await some(events, 1)

    assert [numbered(event) for event in shown] == await log_of(store, alice.id)


async def test_a_stream_lives_through_a_redis_that_forgets_everything(
    served: httpx.AsyncClient, alice: Account, store: Database, opened_resources: Resources
) -> None:
    job = await jobs.running(store, alice.id, rows=25)
    await until_final(store)

    async with sse.opened(served, PATH, alice.headers) as stream:
        events = stream.events()
        await anext(events)
        await until(lambda: subscriber_count(opened_resources, alice.id))
        async with Redis(connection_pool=opened_resources.redis_pool) as redis:
            await redis.flushall()
            await redis.client_kill_filter(_type="pubsub")
            await jobs.complete(store, job)
            await redis.publish(keys.events(alice.id), b"not an event")
        shown = await some(events, 4)

    assert [numbered(event) for event in shown] == (await log_of(store, alice.id))[2:]


async def test_nobody_else_is_heard_of(
    served: httpx.AsyncClient,
    alice: Account,
    mallory: Account,
    store: Database,
    opened_resources: Resources,
) -> None:
    async with sse.opened(served, f"{PATH}?after=0", mallory.headers) as stream:
        events = stream.events()
        await anext(events)
        await until(lambda: subscriber_count(opened_resources, mallory.id))
        for owner in (alice, mallory):
            publish(opened_resources, await jobs.cancel(store, await jobs.create(store, owner.id)))
        shown = [numbered(event) for event in await some(events, 2)]

    assert shown == await log_of(store, mallory.id)


async def test_nobody_follows_without_saying_who_it_is(client: httpx.AsyncClient) -> None:
    answer = await client.get(PATH)

    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")


# What every stream has


async def test_a_stream_says_what_proxies_and_browsers_have_to_know(
    served: httpx.AsyncClient, alice: Account
) -> None:
    async with sse.opened(served, PATH, alice.headers) as stream:
        await anext(stream.events())
        headers = stream.response.headers
        assert stream.fields == []

    assert headers["content-type"].split(";")[0] == "text/event-stream"
    assert headers["cache-control"] == "no-cache"
    assert headers["x-accel-buffering"] == "no"
    assert "content-encoding" not in headers


@pytest.mark.parametrize("stream_times", [StreamTimes(keep_alive_seconds=0.05)])
@pytest.mark.parametrize("path", [PATH, "/jobs/{job_id}/stream"])
async def test_a_quiet_stream_says_that_it_is_there(
    served: httpx.AsyncClient, alice: Account, store: Database, path: str
) -> None:
    job = await jobs.running(store, alice.id)
    text = b""

    async with (
        asyncio.timeout(TIMEOUT_SECONDS),
        sse.opened(served, path.format(job_id=job.id), alice.headers) as stream,
    ):
        async for chunk in stream.response.aiter_bytes():
            text += chunk
            if text.count(b"\n\n: ping\n\n") == 2:
                break

    assert text.startswith(b"retry: 2000\n")


@pytest.mark.parametrize("stream_times", [StreamTimes(stalled_seconds=0.3)])
@pytest.mark.parametrize("path", [PATH, "/jobs/{job_id}/stream"])
async def test_a_reader_that_does_not_read_is_given_up(
    app: FastAPI, alice: Account, store: Database, path: str
) -> None:
    job = await jobs.running(store, alice.id, rows=600)
    await websockets.write_large_log(store, job)

    async def somebody_is_there() -> bool:
        return not state_of(app).admission.is_empty

    async def nobody_is_left() -> bool:
        return bool(state_of(app).admission.is_empty)

    async with websockets.serving(app) as url:
        with websockets.stalled_client(url, f"{path.format(job_id=job.id)}?after=0", alice.headers):
            await until(somebody_is_there)
            await until(nobody_is_left)
