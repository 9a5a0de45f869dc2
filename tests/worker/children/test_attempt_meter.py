"""What an attempt uses is counted once, for the kind of its job, and no lie is believed."""

import math
import os

import psutil
import pytest

from app.core import metrics
from app.jobs.transition_types import NOT_MEASURED, Measurements
from tests.support.clocks import Clock
from tests.worker.children import attempts
from worker.children.attempt_meter import MACHINE_BYTES, PROCESSORS, AttemptMeter
from worker.children.messages import Usage
from worker.children.pool import KillReason

KIND = "metered"
SPENT = 0.05
PEAK = 50 * attempts.MEBIBYTE


def counted(kind: str = KIND) -> float:
    seconds: float = metrics.CPU_SECONDS.labels(kind)._value.get()
    return seconds


def started(clock: Clock) -> AttemptMeter:
    """A meter whose attempt has run for five seconds."""
    meter = AttemptMeter(clock)
    meter.start(KIND)
    clock.now += 5
    return meter


def test_each_attempt_has_what_its_child_reports() -> None:
    before, clock = counted(), Clock(100.0)
    meter = started(clock)

    meter.end(Usage(1.0, PEAK, 1.5))
    assert meter.measurements == Measurements(1.0, PEAK)
    meter.start(KIND)
    clock.now += 5
    meter.end(Usage(2.0, PEAK // 2, 3.7))

    assert meter.measurements == Measurements(2.0, PEAK // 2)
    assert counted() - before == pytest.approx(3.0)


def test_a_killed_attempt_is_charged_what_its_process_has_used_since_the_attempt_before() -> None:
    before, clock = counted(), Clock(100.0)
    meter = started(clock)
    meter.end(Usage(1.0, PEAK, 1.5))

    meter.start(KIND)
    clock.now += 5
    meter.sample(rss_bytes=PEAK, process_seconds=2.0)
    meter.sample(rss_bytes=PEAK // 2)
    meter.exited(process_seconds=4.0, memory_peak_bytes=2 * PEAK)

    assert meter.measurements == Measurements(2.5, PEAK)
    assert counted() - before == pytest.approx(3.5)


def test_a_process_that_was_not_reaped_is_in_the_samples_only() -> None:
    meter = started(Clock(100.0))

    meter.sample(rss_bytes=PEAK, process_seconds=3.0)
    meter.exited(process_seconds=0.5, memory_peak_bytes=0)

    assert meter.measurements == Measurements(3.0, PEAK)


def test_the_kernel_knows_the_peak_of_a_process_that_died_before_the_first_sample() -> None:
    meter = started(Clock(100.0))

    meter.sample(rss_bytes=0)  # it has just exited
    meter.exited(process_seconds=0.5, memory_peak_bytes=PEAK)

    assert meter.measurements == Measurements(0.5, PEAK)


def test_samples_stand_in_for_a_peak_that_the_child_cannot_measure() -> None:
    meter = started(Clock(100.0))

    meter.sample(rss_bytes=PEAK)
    meter.end(Usage(1.0, None, 1.0))

    assert meter.measurements == Measurements(1.0, PEAK)


def test_between_attempts_nothing_is_charged() -> None:
    before, clock = counted(), Clock(100.0)
    meter = started(clock)
    meter.end(Usage(1.0, PEAK, 1.0))
    clock.now += 5

    meter.sample(rss_bytes=9 * PEAK, process_seconds=9.0)
    meter.exited(process_seconds=9.0, memory_peak_bytes=9 * PEAK)

    assert counted() - before == pytest.approx(1.0)
    assert meter.measurements == Measurements(1.0, PEAK)


def test_an_attempt_that_never_starts_has_no_measurements() -> None:
    meter = started(Clock(100.0))
    meter.end(Usage(1.0, PEAK, 1.0))

    meter.reset()

    assert meter.measurements == NOT_MEASURED


@pytest.mark.parametrize(
    ("reported", "charged"), [(math.nan, 0), (math.inf, PROCESSORS), (-1.0, 0), (1e300, PROCESSORS)]
)
def test_a_child_cannot_claim_more_time_than_has_passed(reported: float, charged: float) -> None:
    before, clock = counted(), Clock(100.0)
    meter = AttemptMeter(clock)

    meter.start(KIND)
    clock.now += 1
    meter.end(Usage(reported, PEAK, reported))

    assert counted() - before == pytest.approx(charged)
    assert meter.measurements.cpu_seconds == pytest.approx(charged)


@pytest.mark.parametrize("reported", [math.nan, math.inf, -math.inf])
def test_a_lie_about_the_process_charges_the_next_attempt_no_more_than_has_passed(reported: float) -> None:
    clock = Clock(100.0)
    meter = started(clock)
    meter.end(Usage(1.0, PEAK, reported))

    meter.start(KIND)
    clock.now += 1
    meter.exited(process_seconds=1000.0, memory_peak_bytes=PEAK)

    assert meter.measurements.cpu_seconds is not None
    assert 0 <= meter.measurements.cpu_seconds <= PROCESSORS


@pytest.mark.parametrize(("reported", "believed"), [(-5, 0), (2**63, MACHINE_BYTES), (PEAK, PEAK)])
def test_a_child_cannot_claim_more_memory_than_the_machine_has(reported: int, believed: int) -> None:
    meter = started(Clock(100.0))

    meter.end(Usage(1.0, reported, 1.0))

    assert meter.measurements.memory_peak_bytes == believed


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
