"""The engine with Ray, as the worker has it, with handlers for tests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from tests.conformance.engines import OPTIONS
from tests.ray.cluster import Cluster
from tests.worker.children import attempts
from tests.worker.children.attempts import Attempt
from worker.children.errors import ChildDied, ChildStartFailed
from worker.children.tenancy import Tenancy
from worker.engines.ray.engine import RemoteEngine
from worker.engines.ray.starting import RayStarter

ADDRESS = "127.0.0.1"


@asynccontextmanager
async def opened(
    cluster: Cluster, *, slots: int = 2, cpus: float = 1, gpus: int = 0, idle_seconds: float = 600
) -> AsyncIterator[RemoteEngine]:
    """An engine that connects to the cluster, with the options of the conformance suite."""
    starter = RayStarter(cluster.address, lambda: cluster.token, cpus=cpus, gpus=gpus)
    engine = RemoteEngine(
        replace(OPTIONS, slot_gpus=gpus),
        slots,
        starter,
        listen_on=ADDRESS,
        address=ADDRESS,
        port=0,
        idle_seconds=idle_seconds,
        cache_bytes=2**30,
    )
    async with engine:
        yield engine


async def run(engine: RemoteEngine, kind: str, together: asyncio.Barrier | None = None) -> Attempt:
    """Run an attempt at a job of this kind, once a host is ready, and others have one too."""
    async with engine.slot(_as_many_as_asked) as is_due, engine.take(Tenancy()) as child:
        assert is_due
        if not child.is_confined:
            child.confine({}, Path("/nonexistent"))
        if together is not None:
            await together.wait()
        return await attempts.run(child, attempts.start(kind))


async def run_again(engine: RemoteEngine, kind: str) -> Attempt:
    """Run attempts until one does not die with a host that is already lost."""
    while True:
        try:
            return await run(engine, kind)
        except (ChildDied, ChildStartFailed):
            continue


async def _as_many_as_asked(at_most: int) -> int:
    return at_most
