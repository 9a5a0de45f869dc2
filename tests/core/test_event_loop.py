"""The lag of the event loop is what a callback waits beyond its time."""

import asyncio

import pytest
from prometheus_client import REGISTRY

from app.core import event_loop
from tests.support.clocks import Clock


def measured() -> tuple[float, float]:
    """How often, and how much in all."""
    count = REGISTRY.get_sample_value("headrace_event_loop_lag_seconds_count") or 0
    return count, REGISTRY.get_sample_value("headrace_event_loop_lag_seconds_sum") or 0


@pytest.mark.parametrize("uptime_seconds", [0.0, 1e6])
async def test_a_tick_is_as_late_as_the_loop_was_blocked(uptime_seconds: float) -> None:
    clock = Clock(uptime_seconds)
    delays = [0.0, 0.3, 2.0, -0.001]  # a timer may also fire a little early

    async def sleep(seconds: float) -> None:
        if not delays:
            raise asyncio.CancelledError
        clock.now += seconds + delays.pop(0)

    count, total = measured()
    with pytest.raises(asyncio.CancelledError):
        await event_loop.measure_lag_forever(clock=clock, sleep=sleep)

    assert measured()[0] == count + 4
    assert measured()[1] == pytest.approx(total + 2.3)
