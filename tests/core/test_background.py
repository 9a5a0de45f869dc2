"""Background loops: they end with their body, and a loop that died is noticed."""

import asyncio

import pytest

from app.core import background
from tests.support.waiting import TIMEOUT_SECONDS


class Loop:
    """A loop that says what became of it."""

    def __init__(self) -> None:
        self.is_running = asyncio.Event()
        self.has_ended = False

    async def run_forever(self) -> None:
        try:
            self.is_running.set()
            await asyncio.Event().wait()
        finally:
            self.has_ended = True


async def test_loops_run_beside_the_body_and_end_with_it() -> None:
    loops = [Loop(), Loop()]

    async with background.running(*(loop.run_forever() for loop in loops)):
        for loop in loops:
            await loop.is_running.wait()
            assert not loop.has_ended

    assert all(loop.has_ended for loop in loops)


async def test_a_loop_that_dies_ends_the_body_and_is_named() -> None:
    other = Loop()

    async def die() -> None:
        await other.is_running.wait()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with background.running(other.run_forever(), die()):
            await asyncio.Event().wait()

    assert other.has_ended


async def test_an_error_of_the_body_passes_as_it_is() -> None:
    loop = Loop()

    async def fail() -> None:
        async with background.running(loop.run_forever()):
            await loop.is_running.wait()
            raise KeyError

    with pytest.raises(KeyError):
        await fail()

    assert loop.has_ended


async def test_a_body_that_is_cancelled_ends_the_loops_and_stays_cancelled() -> None:
    loop = Loop()

    async def body() -> None:
        async with background.running(loop.run_forever()):
            await asyncio.Event().wait()

    task = asyncio.create_task(body())
    await loop.is_running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert loop.has_ended


async def test_a_loop_that_ends_by_itself_does_not_disturb_the_body() -> None:
    done = asyncio.Event()

    async def once() -> None:
        done.set()

    async with background.running(once()):
        await done.wait()
        await asyncio.sleep(0)


async def test_a_loop_that_loses_its_cancellation_is_cancelled_again() -> None:
    """As happens before Python 3.12 to whoever waits with `asyncio.wait_for`."""
    lost = 0

    async def deaf() -> None:
        nonlocal lost
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            lost += 1
        await asyncio.Event().wait()

    async with asyncio.timeout(TIMEOUT_SECONDS):
        async with background.running(deaf()):
            await asyncio.sleep(0)

    assert lost == 1
