"""When each fault strikes: told by the seed alone, so that a drill can be held again."""

import asyncio
from dataclasses import dataclass
from typing import Final

from tests.chaos.faults import FAULTS, Blow, ProcessFault, Strike
from tests.chaos.options import Options
from tests.chaos.world import World

FIRST_SECONDS: Final = 2.0
GAP_SECONDS: Final = (0.8, 3.0)
MEND_SECONDS: Final = 60.0
"""How long, after the last fault, it may take until all is mended."""


@dataclass(frozen=True)
class Planned:
    """One fault that is to come: when, and its share of chance."""

    after_seconds: float
    fault: str
    number: int
    share: float


def plan(options: Options) -> list[Planned]:
    """All faults of a drill: each of them in turn, in an order that is drawn anew for each round."""
    dice = options.dice("faults")
    planned: list[Planned] = []
    names: list[str] = []
    now = FIRST_SECONDS
    while now < options.seconds:
        names = names or dice.sample(sorted(FAULTS), len(FAULTS))
        planned.append(Planned(now, names.pop(), dice.randrange(1000), dice.random()))
        now += dice.uniform(*GAP_SECONDS)
    return planned


class Schedule:
    """Has the planned faults strike, and keeps the record."""

    def __init__(self, world: World, options: Options) -> None:
        self.strikes: list[Strike] = []
        self.surprises: list[str] = []
        self._world = world
        self._plan = plan(options)
        self._seconds = options.seconds
        self._tasks: set[asyncio.Task[None]] = set()

    async def strike_all(self) -> None:
        """Have every fault strike when its time comes, until the drill's time is over."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for planned in self._plan:
            await asyncio.sleep(began + planned.after_seconds - loop.time())
            self._tasks.add(asyncio.create_task(self._strike(planned)))
        await asyncio.sleep(began + self._seconds - loop.time())

    async def mended(self) -> None:
        """Wait until everything that was broken is whole again."""
        if not self._tasks:
            return
        done, pending = await asyncio.wait(self._tasks, timeout=MEND_SECONDS)
        self.surprises += [f"a fault went wrong: {task.exception()!r}" for task in done if task.exception()]
        self.surprises += [f"{len(pending)} faults were not mended in time"] if pending else []

    async def close(self) -> None:
        """Stop whatever is going on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _strike(self, planned: Planned) -> None:
        """Strike, unless the victim has its hands full with another fault."""
        fault = FAULTS[planned.fault]
        blow = Blow(self._world, planned.fault, planned.number, planned.share, self.strikes, self.surprises)
        if isinstance(fault, ProcessFault):
            part = fault.victim(self._world, planned.number)
            if not part.lock.locked():
                async with part.lock:
                    await fault.strike(part, blow)
        else:
            server = fault.victim(self._world, planned.number)
            if not server.lock.locked():
                async with server.lock:
                    await fault.strike(server, blow)
