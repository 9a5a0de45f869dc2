"""Callers that come while an operation runs share the next run of it."""

import asyncio
from collections.abc import Sequence

import pytest

from app.core import background
from app.core.errors import DatabaseUnavailable, ShuttingDown
from app.core.grouping import Grouping

TIMEOUT_SECONDS = 30


class Doubling:
    """Doubles numbers; each run waits until the test lets it go on."""

    def __init__(self) -> None:
        self.runs: list[list[int]] = []
        self.refused: dict[int, Exception] = {}
        self.has_run_again = asyncio.Event()
        self._is_held = asyncio.Event()
        self._is_held.set()

    def hold(self) -> None:
        self._is_held.clear()

    def let_go(self) -> None:
        self._is_held.set()

    async def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.runs.append(list(numbers))
        if len(self.runs) > 1:
            self.has_run_again.set()
        await self._is_held.wait()
        for number in numbers:
            if number in self.refused:
                raise self.refused[number]
        return [2 * number for number in numbers]


@pytest.fixture
def doubling() -> Doubling:
    return Doubling()


async def start(grouping: Grouping[int, int], *numbers: int) -> list[asyncio.Task[int]]:
    """Call with each number, one after the other, and let all of them begin to wait."""
    tasks = [asyncio.create_task(grouping(number)) for number in numbers]
    await asyncio.sleep(0)
    return tasks


async def test_a_caller_alone_does_not_wait_for_others(doubling: Doubling) -> None:
    grouping = Grouping(doubling)

    assert [await grouping(1), await grouping(2)] == [2, 4]
    assert doubling.runs == [[1], [2]]


async def test_those_who_come_meanwhile_run_together_and_get_their_own_results(doubling: Doubling) -> None:
    grouping = Grouping(doubling, max_at_once=3)
    doubling.hold()

    async with asyncio.timeout(TIMEOUT_SECONDS), background.running(grouping.run_forever()):
        tasks = await start(grouping, 1, 2, 3, 4, 5)
        doubling.let_go()
        results = await asyncio.gather(*tasks)
        alone = await grouping(6)

    assert (results, alone) == ([2, 4, 6, 8, 10], 12)
    assert doubling.runs == [[1], [2, 3, 4], [5], [6]]


async def test_an_error_is_that_of_the_one_who_caused_it(doubling: Doubling) -> None:
    grouping = Grouping(doubling)
    doubling.hold()
    doubling.refused = {1: KeyError(1), 3: ValueError(3)}

    async with asyncio.timeout(TIMEOUT_SECONDS), background.running(grouping.run_forever()):
        tasks = await start(grouping, 1, 2, 3, 4)
        doubling.let_go()
        results = await asyncio.gather(*tasks, return_exceptions=True)

    assert [repr(result) for result in results] == ["KeyError(1)", "4", "ValueError(3)", "8"]
    assert doubling.runs == [[1], [2, 3, 4], [2], [3], [4]]


async def test_what_may_have_been_done_is_not_repeated(doubling: Doubling) -> None:
    grouping = Grouping(doubling)
    doubling.hold()
    doubling.refused = {3: DatabaseUnavailable()}

    async with asyncio.timeout(TIMEOUT_SECONDS), background.running(grouping.run_forever()):
        tasks = await start(grouping, 1, 2, 3)
        doubling.let_go()
        results = await asyncio.gather(*tasks, return_exceptions=True)

    assert results[0] == 2
    assert [type(result) for result in results[1:]] == [DatabaseUnavailable] * 2
    assert doubling.runs == [[1], [2, 3]]


async def test_a_caller_that_has_gone_is_left_out_and_holds_nobody_up(doubling: Doubling) -> None:
    grouping = Grouping(doubling)
    doubling.hold()

    async with asyncio.timeout(TIMEOUT_SECONDS), background.running(grouping.run_forever()):
        first, second, third = await start(grouping, 1, 2, 3)
        first.cancel()
        second.cancel()
        await asyncio.wait([first, second])
        doubling.let_go()
        result = await third

    assert (result, doubling.runs) == (6, [[1], [3]])


async def test_those_who_wait_at_the_end_are_told(doubling: Doubling) -> None:
    grouping = Grouping(doubling, max_at_once=1)
    doubling.hold()

    async with asyncio.timeout(TIMEOUT_SECONDS):
        async with background.running(grouping.run_forever()):
            first, *others = await start(grouping, 1, 2, 3)
            first.cancel()
            await doubling.has_run_again.wait()
        results = await asyncio.gather(*others, return_exceptions=True)

    assert [type(result) for result in results] == [ShuttingDown] * 2
