"""Processor time is counted once, for the kind of the attempt that used it, and no lie is believed."""

import math
import os

import psutil
import pytest

from app.core import metrics
from tests.support.clocks import Clock
from tests.worker.children import attempts
from worker.children.cpu_meter import PROCESSORS, CpuMeter
from worker.children.pool import KillReason

KIND = "metered"
SPENT = 0.05


def counted(kind: str = KIND) -> float:
    seconds: float = metrics.CPU_SECONDS.labels(kind)._value.get()
    return seconds


def test_an_attempt_is_charged_what_was_used_since_the_last_reading() -> None:
    before, clock = counted(), Clock(100.0)
    meter = CpuMeter(clock)

    for reading in (1.0, 3.0):
        meter.start(KIND)
        clock.now += 5
        meter.read(reading)

    assert counted() - before == pytest.approx(3.0)


def test_what_is_used_between_attempts_is_not_charged() -> None:
    before, clock = counted(), Clock(100.0)
    meter = CpuMeter(clock)

    clock.now += 5
    meter.read(1.0)
    meter.start(KIND)
    clock.now += 5
    meter.read(2.0)
    meter.read(3.0)

    assert counted() - before == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("reading", "charged"), [(math.nan, 0), (math.inf, PROCESSORS), (-1.0, 0), (1e300, PROCESSORS)]
)
def test_a_child_cannot_claim_more_time_than_has_passed(reading: float, charged: float) -> None:
    before, clock = counted(), Clock(100.0)
    meter = CpuMeter(clock)

    meter.start(KIND)
    clock.now += 1
    meter.read(reading)

    assert counted() - before == pytest.approx(charged)


async def test_a_child_reports_what_its_attempt_has_used() -> None:
    before = counted("add_one")
    async with attempts.pool() as children, attempts.take(children) as child:
        for _ in range(2):
            await attempts.run(child, attempts.start("add_one", [1]))

    assert counted("add_one") > before


async def test_the_time_of_a_killed_child_is_counted_too() -> None:
    before = counted("loop_forever")
    async with attempts.pool() as children, attempts.take(children) as child:
        process = psutil.Process(child.pid)
        child.send(attempts.start("loop_forever"))
        used = sum(process.cpu_times()[:2])
        await attempts.eventually(lambda: sum(process.cpu_times()[:2]) > used + SPENT)
        child.kill(KillReason.TIME_LIMIT)
        await attempts.receive_death(child)

    tick = 1 / os.sysconf("SC_CLK_TCK")
    assert counted("loop_forever") - before > SPENT - 2 * tick
