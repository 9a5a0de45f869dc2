"""A worker with `ENGINE=ray`: its jobs run on nodes, with the same results and about the same rate."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import httpx

from app.core.config import Settings
from tests.e2e.support import compounds, short_texts, slow_texts, stored_compounds, submit, wait_for_end
from tests.ray.cluster import CPUS, Cluster
from tests.support import processes
from tests.support.processes import Process

SLOW_ROWS = 300
"""Of 15 ms each: some seconds, of which starting and committing are little."""

ROUNDS = 5


def environment(cluster: Cluster, **more: str) -> dict[str, str]:
    """The settings of a worker whose hosts are in this cluster."""
    return {
        "ENGINE": "ray",
        "ENGINE_HOST": "127.0.0.1",
        "ENGINE_PORT": "0",
        "RAY_ADDRESS": f"ray://{cluster.address}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": cluster.token,
        **more,
    }


async def test_a_job_runs_on_a_node(
    ada: httpx.AsyncClient, settings: Settings, cluster: Cluster, tmp_path: Path
) -> None:
    texts = short_texts(1000)
    async with processes.worker(settings, tmp_path / "worker.log", **environment(cluster)) as worker:
        job_id = await submit(ada, texts)
        job = await wait_for_end(ada, job_id)

        assert job["status"] == "completed", worker.log
        assert await stored_compounds(ada, job_id) == compounds(texts)
        assert len(cluster.hosts()) == 1
        assert cluster.token not in worker.log
    await cluster.until_hosts(0)


async def test_the_rate_is_that_of_the_pool(
    ada: httpx.AsyncClient,
    settings: Settings,
    cluster: Cluster,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """Both engines are measured in turns, because the machine has other work at times."""
    rates: dict[str, list[float]] = {"pool": [], "ray": []}
    ours = environment(cluster, WORKER_QUEUES="ray")
    async with (
        processes.worker(settings, tmp_path / "pool.log", WORKER_QUEUES="pool") as pool,
        processes.worker(settings, tmp_path / "ray.log", **ours) as ray,
    ):
        for engine, worker in (("pool", pool), ("ray", ray)):
            await _run(ada, short_texts(10), engine, worker)  # so that hosts and models are there
        for _ in range(ROUNDS):
            for engine, worker in (("pool", pool), ("ray", ray)):
                begun = time.monotonic()
                await _run(ada, slow_texts(SLOW_ROWS), engine, worker)
                rates[engine].append(CPUS * SLOW_ROWS / (time.monotonic() - begun))

    for engine, measured in rates.items():
        record_property(f"rows a second with the engine {engine}", round(median(measured)))
    ratios = [ray / pool for pool, ray in zip(rates["pool"], rates["ray"], strict=True)]
    record_property("rate with ray / rate with the pool", round(median(ratios), 2))


async def _run(client: httpx.AsyncClient, texts: list[str], queue: str, worker: Process) -> None:
    """Run a job for each processor at the same time."""
    ids = [await submit(client, texts, queue=queue) for _ in range(CPUS)]
    for job_id in ids:
        job = {"status": "pending"}
        async with asyncio.timeout(240):
            while job["status"] in ("pending", "running"):
                answer = await client.get(f"/jobs/{job_id}", params={"wait": 30}, timeout=60)
                job = answer.json()
        assert job["status"] == "completed", worker.log


async def test_a_wrong_token_stops_the_worker_with_one_line(
    settings: Settings, cluster: Cluster, tmp_path: Path
) -> None:
    own = environment(cluster, RAY_AUTH_TOKEN="a token of another cluster")
    async with processes.python(
        *("-m", "worker"),
        env=processes.environment(settings, **own),
        log_path=tmp_path / "worker.log",
    ) as worker:
        assert await worker.wait() == 1, worker.log

    [line] = [line for line in worker.log.splitlines() if "cannot start" in line]
    assert line == (
        f"The worker cannot start: RAY_ADDRESS: the Ray cluster at {cluster.address} "
        "refuses the token in RAY_AUTH_TOKEN"
    )
    assert "Traceback" not in worker.log
