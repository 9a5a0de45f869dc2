"""Schedule of faults. It depends only on the seed, so that a drill can be repeated."""

import asyncio
from dataclasses import dataclass
from typing import Final

from tests.chaos.cluster import Cluster
from tests.chaos.faults import FAULTS, FaultContext, Injection, ProcessFault
from tests.chaos.options import Options

FIRST_SECONDS: Final = 2.0
GAP_SECONDS: Final = (0.8, 3.0)
RECOVERY_SECONDS: Final = 60.0
"""Timeout for the last faults to be repaired."""


@dataclass(frozen=True)
class Planned:
    """One planned fault: when it is injected, and its random numbers."""

    after_seconds: float
    fault: str
    number: int
    share: float


def plan(options: Options) -> list[Planned]:
    """Plan the faults of a drill: rounds of all faults, each round in a random order."""
    rng = options.rng("faults")
    planned: list[Planned] = []
    names: list[str] = []
    now = FIRST_SECONDS
    while now < options.seconds:
        names = names or rng.sample(sorted(FAULTS), len(FAULTS))
        planned.append(Planned(now, names.pop(), rng.randrange(1000), rng.random()))
        now += rng.uniform(*GAP_SECONDS)
    return planned


class Schedule:
    """Injects the planned faults and records them."""

    def __init__(self, cluster: Cluster, options: Options) -> None:
        self.injections: list[Injection] = []
        self.surprises: list[str] = []
        self._cluster = cluster
        self._plan = plan(options)
        self._seconds = options.seconds
        self._tasks: set[asyncio.Task[None]] = set()

    async def inject_all(self) -> None:
        """Inject every fault at its time, until the drill's duration has passed."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for planned in self._plan:
            await asyncio.sleep(began + planned.after_seconds - loop.time())
            self._tasks.add(asyncio.create_task(self._inject(planned)))
        await asyncio.sleep(began + self._seconds - loop.time())

    async def wait_until_recovered(self) -> None:
        """Wait until all faults have been repaired."""
        if not self._tasks:
            return
        done, pending = await asyncio.wait(self._tasks, timeout=RECOVERY_SECONDS)
        self.surprises += [f"a fault failed: {task.exception()!r}" for task in done if task.exception()]
        self.surprises += [f"{len(pending)} faults were not repaired in time"] if pending else []

    async def close(self) -> None:
        """Cancel the faults in progress."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _inject(self, planned: Planned) -> None:
        """Inject a fault unless another one is active on the same victim."""
        fault = FAULTS[planned.fault]
        context = FaultContext(
            self._cluster, planned.fault, planned.number, planned.share, self.injections, self.surprises
        )
        if isinstance(fault, ProcessFault):
            process = fault.victim(self._cluster, planned.number)
            if not process.lock.locked():
                async with process.lock:
                    await fault.inject(process, context)
        else:
            server = fault.victim(self._cluster, planned.number)
            if not server.lock.locked():
                async with server.lock:
                    await fault.inject(server, context)
