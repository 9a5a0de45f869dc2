"""The fault drill: runs jobs while faults are injected, then checks that nothing is lost or duplicated."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import monotonic

from app.core import background
from tests.chaos import cluster as clusters
from tests.chaos.clients import LIVE, Clients
from tests.chaos.cluster import Cluster
from tests.chaos.options import Options
from tests.chaos.schedule import Schedule
from tests.chaos.verdict import Verdict, judge
from tests.support import rows
from tests.support.waiting import until


async def run(options: Options) -> Verdict:
    """Run one drill, from starting the servers to the last check."""
    began = monotonic()
    async with clusters.running(options) as cluster, _clients(cluster, options) as clients:
        await clients.upload()
        schedule = Schedule(cluster, options)
        try:
            async with background.running(clients.submit_forever()):
                await schedule.inject_all()
            await schedule.wait_until_recovered()
        finally:
            await schedule.close()
        surprises = [*schedule.surprises, *await _drain(cluster, clients, options)]
        surprises += await _stop(cluster, options)
        verdict = await judge(cluster, clients, schedule.injections, monotonic() - began)
        verdict.violations += [*surprises, *clients.surprises]
        return verdict


@asynccontextmanager
async def _clients(cluster: Cluster, options: Options) -> AsyncIterator[Clients]:
    clients = Clients(cluster, options)
    try:
        yield clients
    finally:
        await clients.close()


async def _drain(cluster: Cluster, clients: Clients, options: Options) -> list[str]:
    """Wait until all jobs have ended, now that there are no more faults or new jobs."""
    try:
        async with asyncio.timeout(options.drain_limit_seconds):
            await clients.finish()
            await until(lambda: _is_idle(cluster), seconds=options.drain_limit_seconds)
    except TimeoutError:
        left = await rows.fetch(
            cluster.database,
            "SELECT id, status, attempt, worker_id, run_at FROM jobs WHERE status IN ('pending', 'running')",
        )
        return [f"not finished after {options.drain_limit_seconds} s: {clients.waiting_for()}, {left}"]
    return []


async def _is_idle(cluster: Cluster) -> bool:
    return not await rows.value(cluster.database, LIVE)


async def _are_up(cluster: Cluster) -> bool:
    return all([await process.is_up() for process in cluster.processes])


async def _stop(cluster: Cluster, options: Options) -> list[str]:
    """Stop all processes with SIGTERM; report those that do not exit with code 0."""
    with suppress(TimeoutError):  # a process that is not up will be reported for its exit code
        await until(lambda: _are_up(cluster), seconds=options.drain_limit_seconds)
    for process in cluster.processes:
        process.send(signal.SIGTERM)
    codes = await asyncio.gather(*(process.wait() for process in cluster.processes))
    return [
        f"{process.name}: exit code {code} after SIGTERM"
        for process, code in zip(cluster.processes, codes, strict=True)
        if code != 0
    ]
