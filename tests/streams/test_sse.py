"""A job's log as server-sent events: over a real connection, it is exactly the log."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from app.core import ids
from app.core.config import Settings
from app.core.database import Database
from app.core.metrics import STREAMS_OPEN
from app.core.resources import Resources
from app.jobs.events import Event
from app.jobs.states import EventType
from app.jobs.transition_types import Batch, Report
from app.main import create_app
from app.streams.hub import Hub
from tests.support import jobs, rows, sse
from tests.support.accounts import Account, sign_in
from tests.support.app_state import state_of
from tests.support.event_source import EventSource
from tests.support.following import publish, subscriber_count
from tests.support.serving import client_of, serving
from tests.support.waiting import TIMEOUT_SECONDS, until


async def log_of(store: Database, job_id: UUID) -> list[tuple[str, int]]:
    """What a stream of the job has to show: the name and the number of each event."""
    return [
        ("complete" if event["type"] in ("completed", "failed", "cancelled") else "update", event["seq"])
        for event in await rows.events(store, job_id)
    ]


def shown(events: list[sse.ServerSentEvent]) -> list[tuple[str, int]]:
    """What a stream has shown, if each event says the same in its id and in its data."""
    for event in events:
        assert event.id == str(event.json()["seq"])
    return [(event.event, event.json()["seq"]) for event in events]


async def finished_job(store: Database, owner_id: UUID) -> UUID:
    """A job with six events."""
    job = await jobs.running(store, owner_id, rows=25)
    await jobs.complete(store, job)
    return job.id


async def test_a_finished_job_streams_its_history_and_closes(
    served: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await finished_job(store, alice.id)

    async with sse.opened(served, f"/jobs/{job_id}/stream", alice.headers) as stream:
        events = await stream.all()

    assert shown(events) == await log_of(store, job_id)
    assert [event.json()["progress"] for event in events] == [0, 0, 40, 80, 100, 100]
    last = events[-1]
    assert last.event == "complete"
    assert (last.json()["status"], last.json()["result"], last.json()["error"]) == (
        "completed",
        jobs.RESULT,
        None,
    )
    assert {event.json()["job_id"] for event in events} == {str(job_id)}


async def test_a_stream_says_how_soon_to_come_back(
    served: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await finished_job(store, alice.id)

    answer = await served.get(f"/jobs/{job_id}/stream", headers=alice.headers)

    assert b"retry: 2000\n" in answer.content
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("seen", range(6))
async def test_a_stream_is_resumed_after_the_last_event_seen(
    served: httpx.AsyncClient, alice: Account, store: Database, seen: int
) -> None:
    job_id = await finished_job(store, alice.id)
    path = f"/jobs/{job_id}/stream"

    async with sse.opened(served, path, {**alice.headers, "Last-Event-ID": str(seen)}) as stream:
        by_header = shown(await stream.all())
    async with sse.opened(served, f"{path}?after={seen}", alice.headers) as stream:
        by_query = shown(await stream.all())

    assert by_header == by_query == (await log_of(store, job_id))[seen:]


async def test_what_the_browser_remembers_wins_over_the_query(
    served: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await finished_job(store, alice.id)
    headers = {**alice.headers, "Last-Event-ID": "5"}

    async with sse.opened(served, f"/jobs/{job_id}/stream?after=1", headers) as stream:
        assert shown(await stream.all()) == [("complete", 6)]


@pytest.mark.parametrize("seen", ["6", "7", "9" * 18])
async def test_a_finished_job_that_was_seen_to_its_end_is_answered_with_no_content(
    served: httpx.AsyncClient, alice: Account, store: Database, seen: str
) -> None:
    job_id = await finished_job(store, alice.id)
    path = f"/jobs/{job_id}/stream"

    by_query = await served.get(f"{path}?after={seen}", headers=alice.headers)
    by_header = await served.get(path, headers={**alice.headers, "Last-Event-ID": seen})

    for answer in (by_query, by_header):
        assert (answer.status_code, answer.content) == (204, b"")
        assert "content-type" not in answer.headers


async def test_an_event_source_stops_when_the_job_has_ended(
    served: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await finished_job(store, alice.id)
    served.headers.update(alice.headers)
    source = EventSource(served, f"/jobs/{job_id}/stream")

    async with asyncio.timeout(20):
        events = [event async for event in source.events()]

    assert shown(events) == await log_of(store, job_id)
    assert source.statuses == [200, 204]


async def test_a_job_that_is_tried_again_is_followed_again(
    served: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    """What was its last event is not the last one any more."""
    job_id = await jobs.create(store, alice.id)
    path = f"/jobs/{job_id}/stream"
    await served.post(f"/jobs/{job_id}/cancel", headers=alice.headers)
    seen = len(await rows.events(store, job_id))
    headers = {**alice.headers, "Last-Event-ID": str(seen)}
    ended = await served.get(path, headers=headers)

    await served.post(f"/jobs/{job_id}/retry", headers=alice.headers)
    async with sse.opened(served, path, headers) as stream:
        event = await anext(stream.events())

    assert ended.status_code == 204
    assert (event.event, event.id) == ("update", str(seen + 1))


@pytest.mark.parametrize("seen", ["abc", "-1", "1" + "0" * 30, "1.5", "0x1", "²"])
async def test_an_event_id_that_is_none_is_refused(
    client: httpx.AsyncClient, alice: Account, store: Database, seen: str
) -> None:
    job_id = await jobs.create(store, alice.id)
    by_query = await client.get(f"/jobs/{job_id}/stream", params={"after": seen}, headers=alice.headers)
    headers = httpx.Headers({**alice.headers, "Last-Event-ID": seen}, encoding="latin-1")
    by_header = await client.get(f"/jobs/{job_id}/stream", headers=headers)

    for answer in (by_query, by_header):
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_event_id")


async def test_whose_job_it_is_is_settled_before_the_stream_starts(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    job_id = await jobs.create(store, alice.id)

    foreign = await client.get(f"/jobs/{job_id}/stream", headers=mallory.headers)
    unknown = await client.get(f"/jobs/{ids.new_id()}/stream", headers=alice.headers)
    nobody = await client.get(f"/jobs/{job_id}/stream")

    assert (foreign.status_code, foreign.json()["code"]) == (403, "not_your_job")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "job_not_found")
    assert (nobody.status_code, nobody.json()["code"]) == (401, "invalid_token")
    for answer in (foreign, unknown, nobody):
        assert answer.headers["content-type"] == "application/problem+json"


async def test_events_arrive_as_they_happen(
    served: httpx.AsyncClient, alice: Account, store: Database, opened_resources: Resources
) -> None:
    job = await jobs.running(store, alice.id, rows=25)

    async with sse.opened(served, f"/jobs/{job.id}/stream", alice.headers) as stream:
        events = stream.events()
        started = [await anext(events) for _ in range(2)]
        await until(lambda: subscriber_count(opened_resources, alice.id))
        live = []
        for index in range(3):
            publish(opened_resources, await jobs.commit(store, job, first=index))
            live.append(await anext(events))
        done = await jobs.advance(store, jobs.report(job, first=3, count=0, is_final=True))
        publish(opened_resources, done[job.id])
        rest = [event async for event in events]

    assert shown([*started, *live, *rest]) == await log_of(store, job.id)


async def test_a_client_that_is_cut_again_and_again_sees_the_log(
    served: httpx.AsyncClient, alice: Account, store: Database, opened_resources: Resources
) -> None:
    job = await jobs.running(store, alice.id, rows=100)
    seen: list[sse.ServerSentEvent] = []

    async def work() -> None:
        for index in range(10):
            publish(opened_resources, await jobs.commit(store, job, first=index))
        done = await jobs.advance(store, jobs.report(job, first=10, count=0, is_final=True))
        publish(opened_resources, done[job.id])

    async def follow() -> None:
        while not seen or seen[-1].event != "complete":
            headers = {**alice.headers, **({"Last-Event-ID": seen[-1].id or ""} if seen else {})}
            async with sse.opened(served, f"/jobs/{job.id}/stream", headers) as stream:
                seen.append(await anext(stream.events()))

    async with asyncio.timeout(TIMEOUT_SECONDS), asyncio.TaskGroup() as group:
        group.create_task(work())
        group.create_task(follow())

    assert shown(seen) == await log_of(store, job.id)


@pytest.mark.parametrize(
    "step",
    [
        "\n\nevent: complete\ndata: {}\nid: 99\n\n",
        "\r\rid: 7\r\r",
        "\r\n\r\nretry: 1\r\n",
        "\u2028\u2029\x85\x0b\x0c",
        '"}\n',
    ],
    ids=ascii,
)
async def test_a_text_cannot_smuggle_an_event_into_the_stream(
    served: httpx.AsyncClient, alice: Account, store: Database, step: str
) -> None:
    job = await jobs.running(store, alice.id, rows=10)
    batch = Batch(0, 10, jobs.output(0, 10), step)
    await jobs.advance(store, Report(job.id, job.attempt, 0, (batch,), result=b"{}"))

    async with sse.opened(served, f"/jobs/{job.id}/stream", alice.headers) as stream:
        events = await stream.all()

    assert shown(events) == await log_of(store, job.id)
    assert events[2].json()["step"] == step
    assert all("\n" not in event.data for event in events)


async def test_a_stream_ends_with_a_farewell_that_keeps_the_place(
    served: httpx.AsyncClient, alice: Account, store: Database, hub: Hub
) -> None:
    job = await jobs.running(store, alice.id)

    async with sse.opened(served, f"/jobs/{job.id}/stream", alice.headers) as stream:
        events = stream.events()
        assert [(await anext(events)).id for _ in range(2)] == ["1", "2"]
        hub.close()
        [farewell] = [event async for event in events]

    assert (farewell.event, farewell.data, farewell.id) == ("shutdown", "bye", None)


async def test_a_stream_that_is_opened_too_late_is_refused_for_now(
    client: httpx.AsyncClient, alice: Account, store: Database, hub: Hub
) -> None:
    job = await jobs.running(store, alice.id)
    hub.close()

    answer = await client.get(f"/jobs/{job.id}/stream", headers=alice.headers)

    assert (answer.status_code, answer.json()["code"]) == (503, "shutting_down")
    assert int(answer.headers["retry-after"]) > 0


@pytest.fixture
async def app_with_five_connections(settings: Settings) -> AsyncIterator[FastAPI]:
    more = {"database_pool_size": 5, "max_streams_per_user": 100}
    application = create_app(settings.model_copy(update=more))
    async with application.router.lifespan_context(application):
        yield application


async def test_a_hundred_open_streams_leave_the_connections_to_the_others(
    app_with_five_connections: FastAPI,
) -> None:
    app = app_with_five_connections
    resources = state_of(app).resources
    who = await sign_in(app, "alice")
    job = await jobs.running(resources.database, who.id)

    async with serving(app) as url, client_of(url) as client, contextlib.AsyncExitStack() as streams:
        for _ in range(100):
            await streams.enter_async_context(sse.opened(client, f"/jobs/{job.id}/stream", who.headers))
        page = await client.get("/jobs", headers=who.headers)

    assert page.status_code == 200
    assert len(page.json()["items"]) == 1


async def test_a_client_that_goes_away_leaves_nothing_behind(
    served: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job = await jobs.running(store, alice.id)

    async def open_streams() -> float:
        return float(STREAMS_OPEN.labels("sse")._value.get())

    async def nobody_follows() -> bool:
        return await open_streams() == before

    before = await open_streams()
    async with sse.opened(served, f"/jobs/{job.id}/stream", alice.headers) as stream:
        await anext(stream.events())
        assert await open_streams() == before + 1

    await until(nobody_follows)


async def test_a_stream_lives_through_a_redis_that_forgets_everything(
    served: httpx.AsyncClient,
    alice: Account,
    store: Database,
    opened_resources: Resources,
) -> None:
    job = await jobs.running(store, alice.id, rows=25)

    async with sse.opened(served, f"/jobs/{job.id}/stream", alice.headers) as stream:
        reading = asyncio.create_task(stream.all())
        await until(lambda: subscriber_count(opened_resources, alice.id))
        publish(opened_resources, await jobs.commit(store, job, first=0))
        async with Redis(connection_pool=opened_resources.redis_pool) as redis:
            await redis.flushall()
            await redis.client_kill_filter(_type="pubsub")
        await jobs.commit(store, job, first=1)  # and of this nobody ever hears
        await jobs.commit(store, job, first=2)
        await jobs.advance(store, jobs.report(job, first=3, count=0, is_final=True))
        events = await reading

    assert shown(events) == await log_of(store, job.id)


def test_the_data_of_an_event_is_one_line_of_json() -> None:
    """What `flat` joins by hand is JSON, whatever is in it."""
    samples: list[dict[str, Any]] = [{}, {"a": None}, {"a": '}{",\n'}, {"a": {"b": [1.5, "\u2028"]}}]
    for data in samples:
        event = Event(
            ids.new_id(), 7, EventType.PROGRESS, datetime.now(UTC), msgspec.Raw(json.dumps(data).encode())
        )
        flat = event.flat()
        assert b"\n" not in flat
        envelope = {"job_id": str(event.job_id), "seq": 7, "type": "progress"}
        assert {**json.loads(flat), "at": None} == {**envelope, "at": None, **data}
