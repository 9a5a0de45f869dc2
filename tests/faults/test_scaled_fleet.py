"""A fleet of workers that an autoscaler resizes and that loses a worker every ten seconds."""

import asyncio
import logging
import os
import random
import signal
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from uuid import UUID

import httpx
import pytest

from app.core.database import Database
from tests.chaos.workload import REAL_WORK_MS
from tests.faults.autoscaler import Autoscaler, composed
from tests.faults.conftest import System
from tests.faults.support import assert_consistent, computed, submit, wait_until_all_ended
from tests.k8s.rendering import named, rendered
from tests.support import rows
from tests.support.processes import Process

pytestmark = [pytest.mark.drill, pytest.mark.timeout(900)]

SECONDS = 120.0
VICTIM_SECONDS = 10.0
RECONCILE_SECONDS = 1.0
MAX_WORKERS = 4
"""In place of the 20 of the manifest: two processors have to do."""

FASTER = 20
"""The autoscaler's periods are divided by it, so that it also removes workers within the two minutes."""

DRAIN_SECONDS = 2.0
GRACE_SECONDS = 30.0
"""Far above `DRAIN_SECONDS` and the 4 s for the release. A worker that is killed fails the test."""

MAX_UNFINISHED = 24

log = logging.getLogger(__name__)


@dataclass
class Fleet:
    """The worker processes of a Deployment: as many as `scale` was told, and one for each that has gone."""

    system: System
    stopped: int = 0
    killed: list[str] = field(default_factory=list)
    _workers: dict[str, tuple[Process, AsyncExitStack]] = field(default_factory=dict)
    _endings: set[asyncio.Task[None]] = field(default_factory=set)
    _started: int = 0

    @property
    def size(self) -> int:
        """How many workers run and are not stopping."""
        return len(self._workers)

    async def scale(self, replicas: int) -> None:
        """Start or stop workers until there are this many."""
        while self.size < replicas:
            await self._start()
        while self.size > replicas:
            self.stop(next(iter(self._workers)))

    def ready(self) -> list[str]:
        """Return the names of the workers that take jobs."""
        return [name for name, (process, _) in self._workers.items() if "worker_started" in process.log]

    def stop(self, name: str) -> None:
        """Send SIGTERM to a worker, and SIGKILL after the grace."""
        process, stack = self._workers.pop(name)
        self.stopped += 1
        self._endings.add(asyncio.create_task(self._end(name, process, stack)))

    async def close(self) -> None:
        """Stop all workers."""
        await self.scale(0)
        await asyncio.gather(*self._endings)

    async def _start(self) -> None:
        self._started += 1
        name = f"worker-{self._started}"
        stack = AsyncExitStack()
        process = await stack.enter_async_context(
            self.system.starting_worker(name, DRAIN_SECONDS=str(DRAIN_SECONDS))
        )
        self._workers[name] = process, stack

    async def _end(self, name: str, process: Process, stack: AsyncExitStack) -> None:
        async with stack:
            if "worker_started" not in process.log:
                await process.wait_for_log("worker_started")  # before, it has no handler and no job
            process.send(signal.SIGTERM)
            try:
                code = await process.wait(GRACE_SECONDS)
            except TimeoutError:
                self.killed.append(name)
                await process.kill()
            else:
                assert code == 0, process.log


async def test_a_fleet_that_shrinks_grows_and_loses_workers_finishes_every_job(
    system: System, ada: httpx.AsyncClient, database: Database
) -> None:
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1_000_000))
    log.warning("SEED=%d", seed)  # pytest shows it if the test fails
    scaled = named(rendered("production"), "ScaledObject", "headrace-worker")["spec"]
    autoscaler = Autoscaler.from_manifest(scaled, maximum=MAX_WORKERS, faster=FASTER)
    queries = {trigger["name"]: trigger["metadata"]["query"] for trigger in scaled["triggers"]}
    fleet = Fleet(system)
    job_ids: list[UUID] = []
    sizes: list[int] = []

    async def submit_forever() -> None:
        """Submit in waves, so that the fleet both grows and shrinks."""
        rng = random.Random(f"{seed}:jobs")
        while True:
            for _ in range(rng.randint(4, MAX_UNFINISHED)):
                job_id = await submit(
                    ada,
                    batches=rng.choice([2, 10, 40]),
                    work_ms=rng.randint(REAL_WORK_MS, 80),
                    heeds_stop=rng.random() < 0.7,
                    counter_path=str(system.counter),
                )
                job_ids.append(job_id)  # at once: the two minutes may end here
            await wait_until_all_ended(database, job_ids)
            await asyncio.sleep(rng.uniform(0, 8))

    async def autoscale_forever() -> None:
        loop = asyncio.get_running_loop()
        while True:
            need = await rows.value(database, queries["need"])
            waited = await rows.value(database, queries["waited"])
            await fleet.scale(autoscaler.replicas(fleet.size, composed(need, waited), loop.time()))
            sizes.append(fleet.size)
            await asyncio.sleep(RECONCILE_SECONDS)

    async def stop_victims_forever() -> None:
        rng = random.Random(f"{seed}:victims")
        while True:
            await asyncio.sleep(VICTIM_SECONDS)
            if ready := fleet.ready():
                fleet.stop(rng.choice(ready))

    try:
        async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as group:
            for task in (submit_forever(), autoscale_forever(), stop_victims_forever()):
                group.create_task(task)
    except TimeoutError:
        await fleet.scale(MAX_WORKERS)
    await wait_until_all_ended(database, job_ids)
    await fleet.close()

    assert fleet.killed == [], f"SEED={seed}"
    assert fleet.stopped >= SECONDS / VICTIM_SECONDS / 2, f"SEED={seed}"
    assert len(set(sizes)) > 1, f"SEED={seed}: the autoscaler changed nothing"
    await assert_consistent(database, job_ids)
    await assert_at_most_one_batch_was_lost_with_each_attempt(system, database, job_ids, seed)


async def assert_at_most_one_batch_was_lost_with_each_attempt(
    system: System, database: Database, job_ids: list[UUID], seed: int
) -> None:
    times = computed(system.counter)
    again = Counter(dict.fromkeys(map(str, job_ids), 0))
    for (name, _), count in times.items():
        again[name] += count - 1
    for job_id in job_ids:
        job = await rows.job(database, job_id)
        assert (job["status"], job["failures"]) == ("completed", 0), f"SEED={seed}: {dict(job)}"
        assert again[str(job_id)] <= job["attempt"] - 1, f"SEED={seed}: {dict(job)}"
