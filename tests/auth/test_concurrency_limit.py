"""Turns are shared between networks, and none is lost."""

import asyncio

import pytest

from app.auth.concurrency_limit import ConcurrencyLimiter
from app.auth.errors import TooManySignIns


class Served:
    """Who was served, in order."""

    def __init__(self, *, at_once: int = 1, waiting: int = 6, wait_seconds: float = 30.0) -> None:
        self.turns = ConcurrencyLimiter(
            at_once=at_once, waiting=waiting, too_many=TooManySignIns, wait_seconds=wait_seconds
        )
        self.names: list[str] = []
        self.go_on = asyncio.Semaphore(0)

    async def ask(self, network: str) -> None:
        async with self.turns.turn(network):
            self.names.append(network)
            await self.go_on.acquire()

    async def begin(self, *networks: str) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self.ask(network)) for network in networks]
        await asyncio.sleep(0)
        return tasks

    async def finish(self, tasks: list[asyncio.Task[None]]) -> list[BaseException | None]:
        for _ in tasks:
            self.go_on.release()
        return await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_flood_from_one_network_does_not_delay_another() -> None:
    served = Served()
    tasks = await served.begin("flood", "flood", "flood", "flood", "quiet")

    await served.finish(tasks)

    assert served.names == ["flood", "flood", "quiet", "flood", "flood"]


async def test_when_all_places_are_taken_the_network_with_the_most_loses_one() -> None:
    served = Served(waiting=3)
    tasks = await served.begin("flood", "flood", "flood", "flood")
    tasks += await served.begin("quiet")

    ends = await served.finish(tasks)

    assert served.names == ["flood", "flood", "quiet", "flood"]
    assert [type(end) for end in ends] == [type(None), type(None), type(None), TooManySignIns, type(None)]


async def test_one_network_alone_may_have_all_places_and_no_more() -> None:
    served = Served(waiting=3)
    tasks = await served.begin(*["flood"] * 6)

    ends = await served.finish(tasks)

    assert len(served.names) == 4
    assert sum(isinstance(end, TooManySignIns) for end in ends) == 2


@pytest.mark.parametrize("moment", ["while it waits", "as it is let in"])
async def test_a_turn_whose_request_is_cancelled_goes_to_the_next(moment: str) -> None:
    served = Served()
    first, second, third = await served.begin("a", "b", "c")

    if moment == "as it is let in":
        served.go_on.release()
        await first
    second.cancel()
    ends = await served.finish([first, second, third])

    assert isinstance(ends[1], asyncio.CancelledError)
    assert ends[2] is None
    assert "c" in served.names
    async with asyncio.timeout(5), served.turns.turn("d"):
        pass


async def test_whoever_waits_too_long_is_refused() -> None:
    served = Served(wait_seconds=0.01)
    first, second = await served.begin("a", "b")

    with pytest.raises(TooManySignIns):
        await second

    await served.finish([first])
    async with served.turns.turn("c"):
        pass
