"""The engine with a real cluster: what the handlers of a job see on a node, and how many hosts there are."""

import asyncio
import time
from collections.abc import Callable

import psutil
import pytest

from app.jobs.workers.states import EngineState
from tests.ray import engines
from tests.ray.cluster import Cluster, gone
from worker.engines.ray.engine import RemoteEngine


async def test_a_handler_runs_on_a_node_without_the_token(
    cluster: Cluster, record_property: Callable[[str, object], None]
) -> None:
    async with engines.opened(cluster) as engine:
        begun = time.monotonic()
        attempt = await engines.run(engine, "report_environment")
        record_property("seconds until a job has run on a new host", round(time.monotonic() - begun, 2))
        hosts = [host.pid for host in cluster.hosts()]
        environment = attempt.result["environment"]

        assert not [name for name in environment if name.startswith("RAY_")]
        assert cluster.token not in str(environment)
        assert psutil.Process(attempt.result["parent"]).ppid() in hosts
    await cluster.until_hosts(0)


async def test_each_slot_sees_its_own_gpu(cluster: Cluster) -> None:
    async with engines.opened(cluster, gpus=1) as engine:
        together = asyncio.Barrier(2)
        seen = await asyncio.gather(*(_visible_devices(engine, together) for _ in range(2)))

    assert sorted(seen) == ["0", "1"]


async def test_a_slot_without_gpus_sees_none(cluster: Cluster) -> None:
    async with engines.opened(cluster) as engine:
        assert await _visible_devices(engine) == ""


async def _visible_devices(engine: RemoteEngine, together: asyncio.Barrier | None = None) -> str:
    attempt = await engines.run(engine, "report_environment", together)
    return str(attempt.result["environment"]["CUDA_VISIBLE_DEVICES"])


async def test_idle_hosts_end_and_come_again(cluster: Cluster) -> None:
    async with engines.opened(cluster, idle_seconds=1) as engine:
        assert cluster.hosts() == []

        await engines.run(engine, "report_environment")
        await cluster.until_hosts(0)

        await engines.run(engine, "report_environment")


async def test_a_job_waits_for_a_node_that_others_use(cluster: Cluster) -> None:
    async with (
        engines.opened(cluster, slots=1, cpus=2, idle_seconds=1) as first,
        engines.opened(cluster, slots=1, cpus=2) as second,
    ):
        await engines.run(first, "report_environment")
        waiting = asyncio.create_task(engines.run(second, "report_environment"))
        await asyncio.sleep(0)  # it reserves a host

        states = [second.state]
        await waiting  # until the host of the first is idle, and gives its node back

        assert [*states, second.state] == [EngineState.WAITING, EngineState.READY]


async def test_a_host_that_answers_nothing_is_killed_with_its_children(cluster: Cluster) -> None:
    async with engines.opened(cluster, slots=1) as engine:
        attempt = await engines.run(engine, "report_environment")
        [host] = cluster.hosts()
        host.suspend()

    await cluster.until_hosts(0)
    await gone(attempt.result["parent"])


@pytest.mark.parametrize("victim", ["host", "fork server"])
async def test_a_lost_host_is_replaced(cluster: Cluster, victim: str) -> None:
    async with engines.opened(cluster, slots=1) as engine:
        attempt = await engines.run(engine, "report_environment")
        [host] = cluster.hosts()
        lost = host if victim == "host" else psutil.Process(attempt.result["parent"])

        lost.kill()
        await cluster.until_hosts(0)
        await gone(attempt.result["parent"])  # its child would still run a job
        again = await engines.run_again(engine, "report_environment")

        assert again.result["parent"] != attempt.result["parent"]
