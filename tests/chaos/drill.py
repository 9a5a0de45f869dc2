"""The drill: work goes on, everything breaks, and in the end nothing may be missing."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import monotonic

from app.core import background
from tests.chaos import world as worlds
from tests.chaos.clients import LIVE, Clients
from tests.chaos.options import Options
from tests.chaos.schedule import Schedule
from tests.chaos.verdict import Verdict, judge
from tests.chaos.world import World
from tests.support import rows
from tests.support.waiting import until


async def hold(options: Options) -> Verdict:
    """Hold one drill, from the start of the servers to the last check."""
    began = monotonic()
    async with worlds.running(options) as world, _clients(world, options) as clients:
        schedule = Schedule(world, options)
        try:
            async with background.running(clients.submit_forever()):
                await schedule.strike_all()
            await schedule.mended()
        finally:
            await schedule.close()
        surprises = [*schedule.surprises, *await _drain(world, clients, options)]
        surprises += await _stop(world, options)
        verdict = await judge(world, clients, schedule.strikes, monotonic() - began)
        verdict.broken += [*surprises, *clients.surprises]
        return verdict


@asynccontextmanager
async def _clients(world: World, options: Options) -> AsyncIterator[Clients]:
    clients = Clients(world, options)
    try:
        yield clients
    finally:
        await clients.close()


async def _drain(world: World, clients: Clients, options: Options) -> list[str]:
    """No more faults, no more work: what is there has to come to its end."""
    try:
        async with asyncio.timeout(options.drain_limit_seconds):
            await clients.finish()
            await until(lambda: _is_quiet(world), seconds=options.drain_limit_seconds)
    except TimeoutError:
        left = await rows.fetch(
            world.database,
            "SELECT id, status, attempt, worker_id, run_at FROM jobs WHERE status IN ('pending', 'running')",
        )
        return [f"not over after {options.drain_limit_seconds} s: {clients.waiting_for()}, {left}"]
    return []


async def _is_quiet(world: World) -> bool:
    return not await rows.value(world.database, LIVE)


async def _are_up(world: World) -> bool:
    return all([await part.is_up() for part in world.parts])


async def _stop(world: World, options: Options) -> list[str]:
    """Ask everybody to stop, which they have to do in good order."""
    with suppress(TimeoutError):  # whoever is not up by now gives no good exit code either
        await until(lambda: _are_up(world), seconds=options.drain_limit_seconds)
    for part in world.parts:
        part.send(signal.SIGTERM)
    codes = await asyncio.gather(*(part.wait() for part in world.parts))
    return [
        f"{part.name}: exit code {code} when asked to stop"
        for part, code in zip(world.parts, codes, strict=True)
        if code != 0
    ]
