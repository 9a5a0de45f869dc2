"""The clock: the same second to everybody, once a second, whatever becomes of one of them."""

import asyncio
from contextlib import AsyncExitStack, ExitStack
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import psutil
import pytest
from fastapi import FastAPI
from starlette.websockets import WebSocket
from websockets.exceptions import ConnectionClosed

from app.core.config import Settings
from app.core.database import Database
from app.main import create_app
from app.streams import socket, socket_routes
from app.streams.clock import Clock
from app.streams.times import StreamTimes
from tests.support import jobs, websockets
from tests.support.accounts import Account
from tests.support.app_state import state_of
from tests.support.waiting import until

MIB = 1024 * 1024


class RecordingBroadcaster:
    """Write down what they are told."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.errors: list[Exception] = []

    async def tick(self, date: datetime) -> None:
        if self.errors:
            raise self.errors.pop()
        self.seconds.append(date.timestamp())


async def test_everybody_is_told_the_same_seconds_whatever_becomes_of_one_of_them(
    url: str, alice: Account
) -> None:
    async with AsyncExitStack() as stack:
        talks = [
            await stack.enter_async_context(websockets.opened(url, "/ws", alice.headers)) for _ in range(49)
        ]
        stack.enter_context(websockets.stalled_client(url, "/ws", alice.headers, upgrade=True))

        async def receive(talk: websockets.WebSocketClient) -> list[str]:
            frames = [await talk.receive_any() for _ in range(3)]
            assert {frame["event"] for frame in frames} == {"time_update"}
            return [frame["data"]["date"] for frame in frames]

        killed, *others = talks
        await killed.receive_any()
        killed.connection.transport.abort()
        heard = await asyncio.gather(*(receive(talk) for talk in others))

    everything = sorted({date for dates in heard for date in dates})
    for dates in heard:  # each from when it came on, and none left out
        start = everything.index(dates[0])
        assert dates == everything[start : start + 3]
    told = [datetime.fromisoformat(date) for date in everything]
    assert all(date.microsecond == 0 and date.tzinfo is not None for date in told)
    assert abs(told[-1] - datetime.now(UTC)) < timedelta(seconds=20)


async def test_who_has_not_said_who_it_is_is_not_told_the_time(url: str, app: FastAPI) -> None:
    async with websockets.opened(url, "/ws") as talk:

        async def is_there() -> bool:
            return not state_of(app).sockets.is_empty

        await until(is_there)
        await state_of(app).sockets.tick(datetime.now(UTC))
        await talk.connection.send("nonsense")
        with pytest.raises(ConnectionClosed):
            await talk.receive_any()


@pytest.mark.parametrize(
    ("late_seconds", "expected"),
    [
        (0.0, [11, 12, 13, 14]),
        (-0.0004, [11, 12, 13, 14]),  # uvloop counts in milliseconds
        (0.3, [11, 12, 13, 14]),
        (1.7, [11, 13, 15, 17]),  # a second that is over is not told any more
    ],
)
async def test_no_second_is_told_twice_however_late_or_early_its_timer_is(
    late_seconds: float, expected: list[float]
) -> None:
    wall = SimpleNamespace(now=10.5)
    broadcaster = RecordingBroadcaster()

    async def sleep(seconds: float) -> None:
        assert 0 < seconds < 1.1
        wall.now += seconds + late_seconds
        if len(broadcaster.seconds) == len(expected):
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await Clock(broadcaster, wall=lambda: wall.now, sleep=sleep).run_forever()

    assert broadcaster.seconds == expected


async def test_the_clock_follows_the_wall_clock_when_that_is_set_back() -> None:
    wall = SimpleNamespace(now=7210.5)
    broadcaster = RecordingBroadcaster()

    async def sleep(seconds: float) -> None:
        assert 0 < seconds < 1.1
        wall.now += seconds
        if len(broadcaster.seconds) == 1:
            wall.now -= 3600
        if len(broadcaster.seconds) == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await Clock(broadcaster, wall=lambda: wall.now, sleep=sleep).run_forever()

    assert broadcaster.seconds == [7211, 7212, 3613]


async def test_the_clock_survives_an_error() -> None:
    broadcaster = RecordingBroadcaster()
    broadcaster.errors.append(LookupError("boom"))
    running = asyncio.create_task(Clock(broadcaster, retry_seconds=0.01).run_forever())

    async def has_ticked() -> bool:
        return bool(broadcaster.seconds)

    await until(has_ticked)
    running.cancel()
    await asyncio.wait([running])

    assert running.cancelled()
    assert broadcaster.errors == []


@pytest.mark.parametrize("stream_times", [StreamTimes(clock_retry_seconds=0.01)])
async def test_the_clock_of_a_process_survives_an_error_of_one_client(
    monkeypatch: pytest.MonkeyPatch, url: str, app: FastAPI, alice: Account
) -> None:
    raised: list[datetime] = []
    tick = state_of(app).sockets.tick

    async def raise_once(date: datetime) -> None:
        if not raised:
            raised.append(date)
            raise LookupError("boom")
        await tick(date)

    monkeypatch.setattr(state_of(app).sockets, "tick", raise_once)
    async with websockets.opened(url, "/ws", alice.headers) as talk:
        frame = await talk.receive_any()

    assert frame["event"] == "time_update"
    assert raised


async def test_the_clock_is_stopped_and_awaited_with_the_process(settings: Settings) -> None:
    def clocks() -> list[asyncio.Task[None]]:
        return [task for task in asyncio.all_tasks() if "Clock.run_forever" in repr(task.get_coro())]

    application = create_app(settings)
    async with application.router.lifespan_context(application):
        [running] = clocks()

    assert running.cancelled()
    assert clocks() == []


@pytest.mark.parametrize("stream_times", [StreamTimes(stalled_seconds=0.5)])
async def test_a_client_that_does_not_read_is_sent_away_and_costs_little_until_then(
    monkeypatch: pytest.MonkeyPatch, url: str, app: FastAPI, alice: Account, store: Database
) -> None:
    """Ten of them, each with a log of six megabytes to read, and one that reads."""
    job = await jobs.running(store, alice.id, rows=600)
    await websockets.write_large_log(store, job)
    codes: list[int] = []
    close = socket_routes._close

    async def noted(connection: WebSocket, code: int, reason: str) -> None:
        codes.append(code)
        await close(connection, code, reason)

    async def all_were_sent_away() -> bool:
        return codes == [socket.TRY_AGAIN_LATER] * 10

    async def nobody_is_left() -> bool:
        return bool(state_of(app).admission.is_empty and state_of(app).sockets.is_empty)

    monkeypatch.setattr(socket_routes, "_close", noted)
    path = f"/ws/jobs/{job.id}"
    rss_bytes = psutil.Process().memory_info().rss
    with ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(websockets.stalled_client(url, path, alice.headers, upgrade=True))
        async with websockets.opened(url, path, alice.headers) as talk:
            await talk.receive_many(602)
            await until(all_were_sent_away)
            assert await talk.has_no_pending_frames()
        await until(nobody_is_left)

    assert psutil.Process().memory_info().rss - rss_bytes < 60 * MIB
