"""What a stream carries beside its events: the server's time, and counts of jobs."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import httpx
import msgspec
import pytest
from fastapi import FastAPI

from app.core import background, ids
from app.core.database import Database
from app.core.resources import Resources
from app.jobs import queries
from app.jobs.events import Event
from app.jobs.states import EventType, Status
from app.streams.pulse import COUNT_SECONDS, Extra, Pulse
from tests.support import jobs, sse
from tests.support.accounts import Account
from tests.support.app_state import state_of
from tests.support.following import publish
from tests.support.waiting import TIMEOUT_SECONDS

PATH = "/jobs/stream"

Counts = dict[UUID, dict[Status, int]]


def event_of(type_: str) -> Event:
    return Event(ids.new_id(), 1, type_, datetime.now(UTC), msgspec.Raw(b"{}"))


async def next_of(events: AsyncIterator[sse.ServerSentEvent], name: str) -> sse.ServerSentEvent:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while (event := await anext(events)).event != name:
            pass
        return event


async def test_the_clock_ticks_on_every_full_second_and_has_no_id(
    served: httpx.AsyncClient, alice: Account
) -> None:
    async with sse.opened(served, f"{PATH}?with=clock", alice.headers) as stream:
        events = stream.events()
        ticks = [await next_of(events, "time_update") for _ in range(3)]

    dates = [datetime.fromisoformat(tick.json()["date"]) for tick in ticks]
    assert all(tick.id is None for tick in ticks)
    gaps = [later - earlier for earlier, later in itertools.pairwise(dates)]
    assert all(gap >= timedelta(seconds=1) and gap.microseconds == 0 for gap in gaps)
    assert dates[0].microsecond == 0
    assert abs(dates[-1] - datetime.now(UTC)) < timedelta(seconds=TIMEOUT_SECONDS)


async def test_counts_come_when_a_stream_opens_and_after_an_event(
    served: httpx.AsyncClient, alice: Account, mallory: Account, store: Database, opened_resources: Resources
) -> None:
    await jobs.create(store, mallory.id)
    job = await jobs.running(store, alice.id, queue="mine")
    async with sse.opened(served, f"{PATH}?with=clock,stats", alice.headers) as stream:
        events = stream.events()
        first = (await next_of(events, "stats")).json()
        publish(opened_resources, await jobs.fail(store, job, is_retryable=False))
        complete = await next_of(events, "complete")
        second = (await next_of(events, "stats")).json()

    assert complete.id is not None
    none = dict.fromkeys(("pending", "running", "completed", "failed", "cancelled"), 0)
    assert first == {"counts": {**none, "running": 1}, "dead_letters": 0}
    assert second == {"counts": {**none, "failed": 1}, "dead_letters": 1}


async def test_a_stream_carries_only_what_was_asked_for(
    app: FastAPI,
    served: httpx.AsyncClient,
    alice: Account,
    store: Database,
    opened_resources: Resources,
) -> None:
    async with sse.opened(served, PATH, alice.headers) as stream:
        events = stream.events()
        ready = await anext(events)
        job = await jobs.running(store, alice.id)
        await state_of(app).pulse.tick(datetime.now(UTC))
        publish(opened_resources, await jobs.complete(store, job))
        names: list[str] = []
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not names or names[-1] != "complete":
                names.append((await anext(events)).event)

    assert ready.event == "ready"
    assert set(names) <= {"update", "complete"}
    for wanted in ("with=weather", "with=clock,", "with="):
        answer = await served.get(f"{PATH}?{wanted}", headers=alice.headers)
        assert answer.status_code == 422


async def test_a_listener_that_does_not_keep_up_gets_the_latest_of_each() -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        pulse = Pulse(None)  # type: ignore[arg-type]  # the clock needs no database
        with pulse.listening(ids.new_id(), frozenset({Extra.CLOCK})) as listener:
            for second in (1, 2, 3):
                await pulse.tick(datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC))
            frames = listener.frames()
            frame = await anext(frames)

    assert frame == b'event: time_update\ndata: {"date":"2026-01-01T00:00:03Z"}\n\n'


async def test_the_counts_of_one_owner_are_computed_once_for_all_streams_and_not_too_often(
    app: FastAPI, alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulse: Pulse = state_of(app).pulse
    computed: list[float] = []
    count = queries.counts_of_owners

    async def counting(
        connection: asyncpg.Connection, owner_ids: list[UUID]
    ) -> dict[UUID, dict[Status, int]]:
        computed.append(asyncio.get_running_loop().time())
        return await count(connection, owner_ids)

    monkeypatch.setattr(queries, "counts_of_owners", counting)
    extras = frozenset({Extra.STATS})
    with pulse.listening(alice.id, extras) as one, pulse.listening(alice.id, extras) as other:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            both = [await anext(listener.frames()) for listener in (one, other)]
            for _ in range(50):
                pulse.changed(alice.id, event_of(EventType.COMPLETED))
                await asyncio.sleep(0.01)
            later = await anext(one.frames())

    assert both[0] == both[1] == later
    gaps = [after - before for before, after in itertools.pairwise(computed)]
    assert gaps
    assert min(gaps) >= COUNT_SECONDS / 2


async def test_an_event_that_leaves_a_job_in_its_status_counts_nothing(app: FastAPI, alice: Account) -> None:
    pulse: Pulse = state_of(app).pulse
    with pulse.listening(alice.id, frozenset({Extra.STATS})) as listener:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await anext(listener.frames())
            counts = pulse._counts[alice.id]

            for type_ in (EventType.PROGRESS, EventType.CANCEL_REQUESTED):
                pulse.changed(alice.id, event_of(type_))
                assert not counts.is_stale, type_
            pulse.changed(alice.id, event_of("of_a_newer_version"))
            assert counts.is_stale


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[set[UUID]]:
    """The owners of each statement that counts."""
    asked: list[set[UUID]] = []
    count = queries.counts_of_owners

    async def counting(
        connection: asyncpg.Connection, owner_ids: list[UUID]
    ) -> dict[UUID, dict[Status, int]]:
        asked.append(set(owner_ids))
        return await count(connection, owner_ids)

    monkeypatch.setattr(queries, "counts_of_owners", counting)
    return asked


async def test_a_statement_counts_a_bounded_number_of_owners(
    alice: Account, mallory: Account, store: Database, asked: list[set[UUID]]
) -> None:
    pulse = Pulse(store, owners_at_once=1)
    extras = frozenset({Extra.STATS})
    with pulse.listening(alice.id, extras) as one, pulse.listening(mallory.id, extras) as other:
        async with background.running(pulse.run_forever()), asyncio.timeout(TIMEOUT_SECONDS):
            for each in (one, other):
                assert b"counts" in await anext(each.frames())

    assert asked == [{alice.id}, {mallory.id}]


async def test_owners_that_are_due_are_counted_together_and_each_gets_their_own(
    app: FastAPI, alice: Account, mallory: Account, store: Database, asked: list[set[UUID]]
) -> None:
    pulse: Pulse = state_of(app).pulse
    await jobs.create(store, mallory.id)
    await jobs.fail(store, await jobs.running(store, alice.id, queue="mine"), is_retryable=False)
    extras = frozenset({Extra.STATS})
    with pulse.listening(alice.id, extras) as one, pulse.listening(mallory.id, extras) as other:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            frames = [json.loads((await anext(each.frames())).split(b"data: ")[1]) for each in (one, other)]

    none = dict.fromkeys(("pending", "running", "completed", "failed", "cancelled"), 0)
    assert asked == [{alice.id, mallory.id}]
    assert frames == [
        {"counts": {**none, "failed": 1}, "dead_letters": 1},
        {"counts": {**none, "pending": 1}, "dead_letters": 0},
    ]
