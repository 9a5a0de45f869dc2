"""An attempt is charged the processor time and the peak of memory that it has used, however it ends."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from app.core.sandbox.permissions import Permission
from tests.worker.children import attempts
from tests.worker.children.attempts import MEBIBYTE
from worker.children.messages import Done, Failed, Usage
from worker.children.pool import Child, ChildPool, KillReason

HANDLERS = "tests.worker.children.using_handlers:HANDLERS"
ROOT = Path(__file__).parents[3]
TICK = 1 / os.sysconf("SC_CLK_TCK")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux resets the peak of a process")


@pytest.fixture
async def children() -> AsyncIterator[ChildPool]:
    async with attempts.pool(handlers=HANDLERS) as children:
        yield children


async def usage_of(child: Child, kind: str, **params: int) -> Usage:
    end = (await attempts.run(child, attempts.start(kind, params=params))).end
    assert end.usage is not None
    return end.usage


async def test_a_handler_that_computes_is_charged_its_processor_time(children: ChildPool) -> None:
    async with attempts.take(children) as child:
        usage = await usage_of(child, "burn_a_second")

        assert usage.cpu_seconds == pytest.approx(1.0, rel=0.1)
        assert child.measurements.cpu_seconds == usage.cpu_seconds


async def test_a_handler_that_sleeps_is_charged_nothing(children: ChildPool) -> None:
    async with attempts.take(children) as child:
        assert (await usage_of(child, "sleep_a_while")).cpu_seconds < 0.1


async def test_a_program_that_the_handler_has_run_counts(children: ChildPool) -> None:
    async with attempts.take(children, Permission.PROCESSES, Permission.FILES) as child:
        assert (await usage_of(child, "burn_in_a_program")).cpu_seconds == pytest.approx(1.0, rel=0.15)


async def test_a_handler_that_raises_is_charged_too(children: ChildPool) -> None:
    async with attempts.take(children) as child:
        end = (await attempts.run(child, attempts.start("burn_and_raise"))).end

        assert isinstance(end, Failed)
        assert end.usage is not None
        assert end.usage.cpu_seconds == pytest.approx(1.0, rel=0.1)


@LINUX
async def test_each_attempt_in_a_child_has_a_peak_of_its_own(children: ChildPool) -> None:
    async with attempts.take(children) as child:
        idle = (await usage_of(child, "sleep_a_while")).memory_peak_bytes
        large = (await usage_of(child, "allocate_and_free", mebibytes=200)).memory_peak_bytes
        small = (await usage_of(child, "sleep_a_while")).memory_peak_bytes

    assert idle is not None
    assert large is not None
    assert small is not None
    assert large - idle == pytest.approx(200 * MEBIBYTE, rel=0.1)
    assert small - idle < 20 * MEBIBYTE


@LINUX
def test_a_process_without_privileges_can_reset_its_peak_and_is_undumpable_afterwards() -> None:
    script = """
import ctypes, os
from app.core import hardening
from worker.children.usage import UsageMeter
if os.getuid() == 0:
    os.setgid(10001)
    os.setuid(10001)
if os.fork():  # as a child is forked: a program keeps the peak of the process that has executed it
    os.wait()
    os._exit(0)
hardening.make_undumpable()
meter = UsageMeter()
hardening.drop_capabilities()
bytearray(100 * 2**20)
meter.start()
dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
print((meter.read().memory_peak_bytes or 2**40) < 100 * 2**20, dumpable, flush=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["True", "0"]


async def test_without_a_reset_of_the_peak_the_samples_stand_in(children: ChildPool) -> None:
    async with attempts.take(children) as child:
        await attempts.run(child, attempts.start("close_the_peak_reset"))
        usage = await usage_of(child, "burn_a_second")

        assert usage.memory_peak_bytes is None
        assert (child.measurements.memory_peak_bytes or 0) > MEBIBYTE


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, None], ids=["the kernel", "the worker"])
async def test_a_killed_attempt_has_the_time_that_it_used(
    children: ChildPool, signal_number: int | None
) -> None:
    async with attempts.take(children) as child:
        process = psutil.Process(child.pid)
        child.send(attempts.start("burn_forever"))
        await attempts.receive_batch(child)
        await attempts.eventually(lambda: sum(process.cpu_times()[:2]) > 1.0)
        used = sum(process.cpu_times()[:2])
        if signal_number is None:
            child.kill(KillReason.TIME_LIMIT)
        else:
            os.kill(child.pid, signal_number)
        await attempts.receive_death(child)

        measured = child.measurements
    assert measured.cpu_seconds is not None
    assert measured.memory_peak_bytes is not None
    assert used - 2 * TICK < measured.cpu_seconds < used + 1.0
    assert measured.memory_peak_bytes > MEBIBYTE


async def test_a_killed_attempt_has_the_time_of_a_program_that_still_ran(children: ChildPool) -> None:
    async with attempts.take(children, Permission.PROCESSES, Permission.FILES) as child:
        child.send(attempts.start("burn_forever_in_a_program"))
        [pid] = attempts.outputs_of(await attempts.receive_batch(child))
        program = psutil.Process(pid)
        await attempts.eventually(lambda: program.cpu_times().user > 0.3)
        child.kill(KillReason.TIME_LIMIT)
        await attempts.receive_death(child)

        assert (child.measurements.cpu_seconds or 0) > 0.2


async def test_an_attempt_above_the_memory_limit_has_its_peak() -> None:
    limit = 256 * MEBIBYTE
    async with (
        attempts.pool(handlers=HANDLERS, memory_limit_bytes=limit) as children,
        attempts.take(children) as child,
    ):
        child.send(attempts.start("hold_memory", params={"mebibytes": 300}))
        death = await attempts.receive_death(child)

        assert death.reason is KillReason.MEMORY_LIMIT
        assert limit < (child.measurements.memory_peak_bytes or 0) < 2 * limit


async def test_an_attempt_that_does_not_start_is_not_charged_for_the_one_before(children: ChildPool) -> None:
    async with attempts.take(children) as child:
        assert isinstance((await attempts.run(child, attempts.start("burn_a_second"))).end, Done)
    async with attempts.take(children) as again:
        assert again is child
        assert again.measurements.cpu_seconds is None
