"""Thousands of streams that open or read at once wait for each other, and nobody else waits for them."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.core.config import Settings
from app.core.database import Database, open_database
from app.core.errors import DatabaseUnavailable
from app.streams.followers import HubClosed
from app.streams.stream_database import WAIT_SECONDS, StreamDatabase
from tests.support import jobs, rows, sse, websockets
from tests.support.accounts import Account
from tests.support.app_state import state_of
from tests.support.waiting import TIMEOUT_SECONDS

STREAMS = 100
READ_SECONDS = 0.02
CONNECT_SECONDS = 0.5
POOL_SIZE = 2


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    """A pool of open connections, for which one waits shorter than all the streams read."""
    async with open_database(
        settings.database_url, pool_size=POOL_SIZE, connect_seconds=CONNECT_SECONDS
    ) as database:
        while database.kept < POOL_SIZE:  # a busy machine may take longer to connect
            await database.warm()
        yield database


@pytest.fixture
def limited(database: Database) -> StreamDatabase:
    return StreamDatabase(database, at_once=1)


async def test_all_streams_read_and_a_request_finds_a_connection(
    database: Database, limited: StreamDatabase
) -> None:
    assert STREAMS * READ_SECONDS > POOL_SIZE * CONNECT_SECONDS

    async def read() -> None:
        async with limited.connection() as connection:
            await connection.execute("SELECT pg_sleep($1)", READ_SECONDS)

    async with asyncio.TaskGroup() as group:
        for _ in range(STREAMS):
            group.create_task(read())
        await asyncio.sleep(0)
        async with database.connection() as connection:
            assert await connection.fetchval("SELECT 1") == 1


async def test_streams_come_in_their_order(limited: StreamDatabase) -> None:
    came: list[int] = []

    async def use(number: int) -> None:
        async with limited.use():
            came.append(number)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for number in range(10):
            group.create_task(use(number))

    assert came == list(range(10))


async def test_a_stream_gives_up_after_a_while(limited: StreamDatabase) -> None:
    async with limited.use():
        with pytest.raises(DatabaseUnavailable):
            async with limited.connection(wait_seconds=0.01):
                pytest.fail("two at once")

    async with limited.use(wait_seconds=0.01):
        pass


async def test_one_that_fails_or_leaves_makes_room(limited: StreamDatabase) -> None:
    with pytest.raises(ZeroDivisionError):
        async with limited.use():
            raise ZeroDivisionError

    async def use() -> None:
        async with limited.use():
            pytest.fail("it was cancelled while it waited")

    async with limited.use():
        task = asyncio.create_task(use())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    async with limited.use(wait_seconds=0.01):
        pass


# Every way to open a stream


@pytest.fixture
async def served(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with websockets.client_of(url) as client:
        yield client


@asynccontextmanager
async def others_in_front(database: StreamDatabase) -> AsyncIterator[None]:
    """As many streams as may use Postgres, for as long as the body."""
    async with AsyncExitStack() as stack:
        for _ in range(database.at_once):
            await stack.enter_async_context(database.use(wait_seconds=0.01))
        yield


async def stream(client: httpx.AsyncClient, path: str, headers: dict[str, str]) -> str:
    """Open a stream; return the name of its first event."""
    async with sse.opened(client, path, headers) as opened:
        return (await anext(opened.events())).event


async def talk(client: httpx.AsyncClient, path: str, headers: dict[str, str], *commands: object) -> str:
    """Open a WebSocket and send frames; return the name of the first event."""
    async with websockets.opened(str(client.base_url).rstrip("/"), path, headers) as opened:
        for command in commands:
            await opened.connection.send(json.dumps(command))
        event: str = (await opened.receive())["event"]
        return event


async def _with_ticket(client: httpx.AsyncClient, who: Account, path: str) -> str:
    answer = await client.post("/stream-tickets", headers=who.headers)
    return f"{path}?ticket={answer.json()['ticket']}"


Opening = Callable[[httpx.AsyncClient, Account, UUID], Awaitable[str]]


async def stream_of_a_job(client: httpx.AsyncClient, who: Account, job_id: UUID) -> str:
    return await stream(client, f"/jobs/{job_id}/stream", who.headers)


async def stream_of_all_jobs(client: httpx.AsyncClient, who: Account, _job_id: UUID) -> str:
    return await stream(client, "/jobs/stream", who.headers)


async def stream_with_ticket(client: httpx.AsyncClient, who: Account, _job_id: UUID) -> str:
    return await stream(client, await _with_ticket(client, who, "/jobs/stream"), {})


async def socket_of_a_job(client: httpx.AsyncClient, who: Account, job_id: UUID) -> str:
    return await talk(client, f"/ws/jobs/{job_id}", who.headers)


async def socket_of_all_jobs(client: httpx.AsyncClient, who: Account, _job_id: UUID) -> str:
    return await talk(client, "/ws", who.headers, {"action": "subscribe"})


async def socket_with_ticket(client: httpx.AsyncClient, who: Account, job_id: UUID) -> str:
    return await talk(client, await _with_ticket(client, who, f"/ws/jobs/{job_id}"), {})


async def socket_with_a_token_in_a_frame(client: httpx.AsyncClient, who: Account, job_id: UUID) -> str:
    token = who.headers["Authorization"].removeprefix("Bearer ")
    return await talk(client, f"/ws/jobs/{job_id}", {}, {"token": token})


@pytest.mark.parametrize(
    ("open_stream", "first_event"),
    [
        (stream_of_a_job, "update"),
        (stream_of_all_jobs, "ready"),
        (stream_with_ticket, "ready"),
        (socket_of_a_job, "update"),
        (socket_of_all_jobs, "subscribed"),
        (socket_with_ticket, "update"),
        (socket_with_a_token_in_a_frame, "update"),
    ],
)
async def test_a_stream_that_opens_waits_for_others_and_requests_do_not(
    app: FastAPI,
    served: httpx.AsyncClient,
    store: Database,
    alice: Account,
    open_stream: Opening,
    first_event: str,
) -> None:
    job = await jobs.running(store, alice.id)
    async with others_in_front(state_of(app).stream_database):
        opening = asyncio.ensure_future(open_stream(served, alice, job.id))
        for _ in range(5):
            assert (await served.get(f"/jobs/{job.id}", headers=alice.headers)).status_code == 200
        assert not opening.done()

    async with asyncio.timeout(TIMEOUT_SECONDS):
        assert await opening == first_event


async def test_a_follower_waits_for_others(app: FastAPI, store: Database, alice: Account) -> None:
    job = await jobs.running(store, alice.id)
    hub = state_of(app).hub
    async with hub.job_follower(alice.id, job.id, after=0) as follower:
        async with others_in_front(hub.stream_database):
            first = asyncio.ensure_future(anext(follower.events()))
            async with store.connection() as connection:
                await connection.execute("SELECT pg_sleep(0.05)")
            assert not first.done()

        async with asyncio.timeout(TIMEOUT_SECONDS):
            assert (await first).seq == 1


async def test_a_stream_that_has_been_opened_does_not_wait_for_those_that_open(
    app: FastAPI, store: Database, alice: Account
) -> None:
    job = await jobs.running(store, alice.id)
    hub = state_of(app).hub
    async with (
        others_in_front(state_of(app).stream_database),
        hub.job_follower(alice.id, job.id, after=0) as follower,
    ):
        async with asyncio.timeout(WAIT_SECONDS / 2):
            first = await anext(follower.events())

    assert first.seq == 1


async def test_a_follower_that_waits_for_others_ends_with_the_process(
    app: FastAPI, store: Database, alice: Account
) -> None:
    job = await jobs.running(store, alice.id)
    hub = state_of(app).hub
    async with (
        others_in_front(hub.stream_database),
        hub.job_follower(alice.id, job.id, after=2) as follower,
    ):
        first = asyncio.ensure_future(anext(follower.events()))
        await asyncio.sleep(0)
        state_of(app).close_streams()

        with pytest.raises(HubClosed):
            async with asyncio.timeout(WAIT_SECONDS / 2):
                await first


async def test_a_socket_that_waits_for_others_is_closed_when_the_server_stops(
    app: FastAPI, served: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    job = await jobs.running(store, alice.id)
    url = str(served.base_url).rstrip("/")
    async with (
        others_in_front(state_of(app).stream_database),
        websockets.opened(url, f"/ws/jobs/{job.id}", alice.headers) as one,
    ):
        state_of(app).close_streams()

        assert await one.wait_closed() == (1001, "bye")


async def test_a_socket_that_waits_for_its_job_is_closed_when_the_server_stops(
    app: FastAPI, served: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    job = await jobs.running(store, alice.id)
    url = str(served.base_url).rstrip("/")
    async with rows.transaction(store) as connection:
        await connection.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        async with websockets.opened(url, f"/ws/jobs/{job.id}", alice.headers) as one:
            await rows.wait_until_blocked(store)
            state_of(app).close_streams()

            assert await one.wait_closed() == (1001, "bye")
