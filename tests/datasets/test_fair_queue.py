"""Conversions take turns between users."""

import asyncio
from contextlib import AsyncExitStack
from uuid import UUID, uuid4

import pytest

from app.datasets.fair_queue import FairQueue

ALICE, BOB, CAROL = uuid4(), uuid4(), uuid4()


class Visits:
    """Who is inside, and how each is let out."""

    def __init__(self, turns: FairQueue) -> None:
        self.inside: list[str] = []
        self._queue = turns
        self._ends: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def begin(self, owner_id: UUID, name: str) -> None:
        self._ends[name] = asyncio.Event()
        self._tasks[name] = asyncio.create_task(self._visit(owner_id, name))
        await self.settle()

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await self._tasks[name]
        await self.settle()

    async def cancel(self, name: str) -> None:
        self._tasks[name].cancel()
        await asyncio.gather(self._tasks[name], return_exceptions=True)
        await self.settle()

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def _visit(self, owner_id: UUID, name: str) -> None:
        async with self._queue.turn(owner_id):
            self.inside.append(name)
            try:
                await self._ends[name].wait()
            finally:
                self.inside.remove(name)


@pytest.fixture
def visits() -> Visits:
    return Visits(FairQueue(2))


async def test_one_owner_never_holds_every_place(visits: Visits) -> None:
    for number in range(5):
        await visits.begin(ALICE, f"a{number}")
    assert visits.inside == ["a0"]

    await visits.begin(BOB, "b0")

    assert visits.inside == ["a0", "b0"]


async def test_an_owner_who_waits_goes_before_the_next_of_one_who_has_had_a_turn(visits: Visits) -> None:
    for number in range(5):
        await visits.begin(ALICE, f"a{number}")
        await visits.begin(BOB, f"b{number}")
    await visits.begin(CAROL, "c0")

    await visits.end("a0")
    await visits.end("b0")
    assert sorted(visits.inside) == ["a1", "c0"]
    await visits.end("c0")
    assert sorted(visits.inside) == ["a1", "b1"]


async def test_one_who_goes_away_leaves_the_place_to_the_next(visits: Visits) -> None:
    for owner_id, name in ((ALICE, "a0"), (BOB, "b0"), (CAROL, "c0"), (CAROL, "c1")):
        await visits.begin(owner_id, name)

    await visits.cancel("c0")
    await visits.cancel("a0")
    assert sorted(visits.inside) == ["b0", "c1"]
    await visits.end("b0")
    await visits.end("c1")
    async with AsyncExitStack() as stack:
        for owner_id in (ALICE, BOB):
            await stack.enter_async_context(visits._queue.turn(owner_id))


async def test_one_who_goes_away_at_the_moment_of_the_turn_keeps_no_place(visits: Visits) -> None:
    await visits.begin(ALICE, "a0")
    await visits.begin(ALICE, "a1")
    visits._ends["a0"].set()
    visits._tasks["a1"].cancel()
    await visits.settle()

    await visits.begin(ALICE, "a2")
    assert visits.inside == ["a2"]
    await visits.begin(BOB, "b0")
    assert visits.inside == ["a2", "b0"]
