"""How many streams may be open, and for how long each of them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import pytest
from fastapi import FastAPI

from app.core.config import Settings
from app.core.metrics import STREAMS_OPEN
from app.main import create_app
from app.streams.admission import Admission, StreamUser
from app.streams.times import StreamTimes
from tests.support import jobs, rows, sse, websockets
from tests.support.accounts import Account, sign_in
from tests.support.app_state import state_of
from tests.support.waiting import TIMEOUT_SECONDS, until


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    """An API that lets three streams be open for each user, and five in all."""
    few = {"max_streams_per_user": 3, "max_streams": 5}
    application = create_app(settings.model_copy(update=few))
    async with application.router.lifespan_context(application):
        yield application


@pytest.fixture
async def client(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with websockets.client_of(url) as client:
        yield client


@pytest.fixture
def admission(app: FastAPI) -> Admission:
    return state_of(app).admission


class Streams:
    """Streams that stay open until they are closed."""

    def __init__(self, url: str, client: httpx.AsyncClient) -> None:
        self._url = url
        self._client = client
        self.sse: list[sse.Stream] = []
        self.talks: list[websockets.WebSocketClient] = []
        self.stack = AsyncExitStack()

    async def open_sse(self, who: Account, path: str = "/jobs/stream") -> None:
        stream = await self.stack.enter_async_context(sse.opened(self._client, path, who.headers))
        self.sse.append(stream)

    async def open_sse_by_ticket(self, who: Account) -> None:
        path = f"/jobs/stream?ticket={await self._ticket(who)}"
        self.sse.append(await self.stack.enter_async_context(sse.opened(self._client, path, {})))

    async def open_socket(self, who: Account) -> None:
        await self._converse("/ws", who.headers)

    async def open_socket_by_ticket(self, who: Account) -> None:
        await self._converse(f"/ws?ticket={await self._ticket(who)}", {})

    async def _converse(self, path: str, headers: dict[str, str]) -> None:
        talk = await self.stack.enter_async_context(websockets.opened(self._url, path, headers))
        assert await talk.has_no_pending_frames()
        self.talks.append(talk)

    async def _ticket(self, who: Account) -> str:
        answer = await self._client.post("/stream-tickets", headers=who.headers)
        ticket: str = answer.json()["ticket"]
        return ticket


@pytest.fixture
async def streams(url: str, client: httpx.AsyncClient) -> AsyncIterator[Streams]:
    opened = Streams(url, client)
    async with opened.stack:
        yield opened


async def test_a_user_may_have_so_many_streams_whatever_the_transport(
    url: str, client: httpx.AsyncClient, streams: Streams, alice: Account, mallory: Account
) -> None:
    await streams.open_sse(alice)
    await streams.open_sse(alice)
    await streams.open_socket(alice)

    refused = await client.get("/jobs/stream", headers=alice.headers)
    async with websockets.opened(url, "/ws", alice.headers) as talk:
        end = await talk.wait_closed()

    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
    assert refused.json()["limit"] == 3
    assert int(refused.headers["retry-after"]) > 0
    assert refused.headers["content-type"] == "application/problem+json"
    assert end == (1013, "too_many_streams")
    await streams.open_sse(mallory)


async def test_a_process_has_so_many_streams(
    url: str, client: httpx.AsyncClient, app: FastAPI, streams: Streams, alice: Account, mallory: Account
) -> None:
    third = await sign_in(app, "third")
    for who in (alice, alice, mallory):
        await streams.open_sse(who)
    for who in (mallory, third):
        await streams.open_socket(who)

    refused = await client.get("/jobs/stream", headers=third.headers)
    async with websockets.opened(url, "/ws", third.headers) as talk:
        end = await talk.wait_closed()

    assert (refused.status_code, refused.json()["limit"]) == (429, 5)
    assert end == (1013, "too_many_streams")


async def test_a_closed_stream_makes_room(
    url: str, client: httpx.AsyncClient, admission: Admission, streams: Streams, alice: Account
) -> None:
    before = [STREAMS_OPEN.labels(transport)._value.get() for transport in ("sse", "websocket")]
    for _ in range(3):
        async with (
            sse.opened(client, "/jobs/stream", alice.headers),
            websockets.opened(url, "/ws", alice.headers) as talk,
        ):
            assert await talk.has_no_pending_frames()
            await streams.open_sse(alice)
            assert (await client.get("/jobs/stream", headers=alice.headers)).status_code == 429
        await streams.stack.aclose()

        async def is_empty() -> bool:
            return admission.is_empty

        await until(is_empty)

    after = [STREAMS_OPEN.labels(transport)._value.get() for transport in ("sse", "websocket")]
    assert after == before


async def test_a_finished_job_that_was_seen_to_its_end_takes_no_place(
    app: FastAPI, client: httpx.AsyncClient, streams: Streams, alice: Account
) -> None:
    store = state_of(app).resources.database
    job = await jobs.running(store, alice.id)
    await jobs.complete(store, job)
    for _ in range(3):
        await streams.open_sse(alice)

    answer = await client.get(f"/jobs/{job.id}/stream?after=6", headers=alice.headers)

    assert answer.status_code == 204


async def test_streams_end_when_the_account_is_closed(
    app: FastAPI, admission: Admission, streams: Streams, alice: Account, mallory: Account
) -> None:
    store = state_of(app).resources.database
    job = await jobs.running(store, alice.id)
    await streams.open_sse(alice)
    await streams.open_sse(alice, f"/jobs/{job.id}/stream?after=2")
    await streams.open_socket(alice)
    await streams.open_socket(mallory)

    await admission.recheck()
    assert await streams.talks[0].has_no_pending_frames()
    await rows.execute(store, "UPDATE users SET is_active = false WHERE id = $1", alice.id)
    await admission.recheck()

    for stream in streams.sse:
        last = (await stream.all())[-1]
        assert (last.event, last.data, last.id) == ("error", '{"code":"access_ended"}', None)
    assert await streams.talks[0].wait_closed() == (4401, "access_ended")
    assert await streams.talks[1].has_no_pending_frames()


async def test_a_stream_that_is_opened_during_a_recheck_stays_open(
    app: FastAPI, admission: Admission, streams: Streams, alice: Account, mallory: Account
) -> None:
    state = state_of(app)
    store = state.resources.database
    newcomer = StreamUser(
        await state.auth.identities.identify(mallory.headers["Authorization"].removeprefix("Bearer "))
    )
    ended: list[str] = []
    await streams.open_socket(alice)

    async def is_waiting() -> bool:
        return bool(await rows.value(store, "SELECT count(*) FROM pg_locks WHERE NOT granted"))

    async with store.transaction() as connection:
        await connection.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        recheck = asyncio.create_task(admission.recheck())
        await until(is_waiting)
        opened = admission.admit(newcomer, "sse", lambda: ended.append("newcomer"))
        opened.__enter__()
    await recheck
    opened.__exit__(None, None, None)

    assert ended == []


async def test_streams_end_when_the_token_has_expired(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch, admission: Admission, streams: Streams, mallory: Account
) -> None:
    auth = state_of(app).auth
    monkeypatch.setattr(auth.tokens, "_lifetime_seconds", 600)
    alice = await sign_in(app, "alice")
    await streams.open_sse(alice)
    await streams.open_socket(alice)
    await streams.open_socket(mallory)

    await admission.recheck()
    assert await streams.talks[0].has_no_pending_frames()
    later = time.time() + 900  # the token of mallory is good for longer
    monkeypatch.setattr(admission, "_wall", lambda: later)
    await admission.recheck()

    assert (await streams.sse[0].all())[-1].event == "error"
    assert await streams.talks[0].wait_closed() == (4401, "access_ended")
    assert await streams.talks[1].has_no_pending_frames()


async def test_streams_opened_by_a_ticket_end_when_the_token_behind_it_has_expired(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch, admission: Admission, streams: Streams, mallory: Account
) -> None:
    auth = state_of(app).auth
    monkeypatch.setattr(auth.tokens, "_lifetime_seconds", 600)
    alice = await sign_in(app, "alice")
    await streams.open_sse_by_ticket(alice)
    await streams.open_socket_by_ticket(alice)
    await streams.open_socket_by_ticket(mallory)

    await admission.recheck()
    assert await streams.talks[0].has_no_pending_frames()
    later = time.time() + 900  # the token of mallory is good for longer
    monkeypatch.setattr(admission, "_wall", lambda: later)
    await admission.recheck()

    last = (await streams.sse[0].all())[-1]
    assert (last.event, last.data) == ("error", '{"code":"access_ended"}')
    assert await streams.talks[0].wait_closed() == (4401, "access_ended")
    assert await streams.talks[1].has_no_pending_frames()


async def test_the_recheck_goes_on_by_itself(settings: Settings) -> None:
    application = create_app(settings, StreamTimes(recheck_seconds=0.05))
    async with (
        application.router.lifespan_context(application),
        websockets.serving(application) as url,
    ):
        alice = await sign_in(application, "alice")
        async with websockets.opened(url, "/ws", alice.headers) as talk:
            assert await talk.has_no_pending_frames()
            store = state_of(application).resources.database
            await rows.execute(store, "UPDATE users SET is_active = false WHERE id = $1", alice.id)
            async with asyncio.timeout(TIMEOUT_SECONDS):
                assert await talk.wait_closed() == (4401, "access_ended")
