"""Streams count what they write, and measure how late it is: no history, and nothing below zero."""

from datetime import UTC, datetime

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY

from app.core.database import Database
from app.core.resources import Resources
from app.streams.meter import Meter
from tests.support import jobs, sse, websockets
from tests.support.accounts import Account
from tests.support.clocks import Clock
from tests.support.following import publish, subscriber_count
from tests.support.waiting import until


class Counted:
    """What the metrics of a transport have counted since this was made."""

    def __init__(self, transport: str) -> None:
        self._labels = {"transport": transport}
        self._before = self._read()

    @property
    def events(self) -> float:
        return self._read()[0] - self._before[0]

    @property
    def lags(self) -> float:
        return self._read()[1] - self._before[1]

    @property
    def lag_seconds(self) -> float:
        return self._read()[2] - self._before[2]

    def _read(self) -> tuple[float, float, float]:
        names = ("stream_events_total", "stream_lag_seconds_count", "stream_lag_seconds_sum")
        events, lags, seconds = (
            REGISTRY.get_sample_value(f"headrace_{name}", self._labels) or 0 for name in names
        )
        return events, lags, seconds


@pytest.mark.parametrize(
    ("happened_at", "lags", "seconds"),
    [
        (1000.5, 1, 3.5),  # after the stream was opened
        (1000.0, 1, 4.0),
        (999.9, 0, 0.0),  # history
        (1004.25, 1, 0.0),  # the clock of Postgres is ahead
    ],
)
def test_the_lag_of_an_event_is_its_age_unless_the_client_asked_for_history(
    happened_at: float, lags: int, seconds: float
) -> None:
    clock, counted = Clock(1000.0), Counted("sse")
    meter = Meter("sse", wall=clock)

    clock.now = 1004.0
    meter.written(datetime.fromtimestamp(happened_at, UTC))

    assert (counted.events, counted.lags) == (1, lags)
    assert counted.lag_seconds == pytest.approx(seconds)


async def test_events_over_sse_are_counted_and_only_the_new_ones_measured(
    served: httpx.AsyncClient, alice: Account, store: Database, opened_resources: Resources
) -> None:
    counted = Counted("sse")
    job = await jobs.running(store, alice.id, rows=10)

    async with sse.opened(served, f"/jobs/{job.id}/stream", alice.headers) as stream:
        events = stream.events()
        history = [await anext(events) for _ in range(2)]
        await until(lambda: subscriber_count(opened_resources, alice.id))
        done = await jobs.advance(store, jobs.report(job, first=0, count=1, is_final=True))
        publish(opened_resources, done[job.id])
        news = [event async for event in events]

    assert len(history) == 2
    assert counted.events == 2 + len(news)
    assert counted.lags == len(news) > 0


async def test_events_over_websocket_are_counted_and_only_the_new_ones_measured(
    app: FastAPI, alice: Account, store: Database, opened_resources: Resources
) -> None:
    counted = Counted("websocket")
    job = await jobs.running(store, alice.id, rows=10)

    async with (
        websockets.serving(app) as url,
        websockets.opened(url, f"/ws/jobs/{job.id}", alice.headers) as talk,
    ):
        await talk.receive_many(2)
        await until(lambda: subscriber_count(opened_resources, alice.id))
        done = await jobs.advance(store, jobs.report(job, first=0, count=1, is_final=True))
        publish(opened_resources, done[job.id])
        news = [await talk.receive()]
        while news[-1]["event"] != "complete":
            news.append(await talk.receive())
        await until(lambda: _has_counted(counted, 2 + len(news)))

    assert counted.lags == len(news)


async def _has_counted(counted: Counted, events: int) -> bool:
    return counted.events == events
