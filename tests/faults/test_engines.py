"""Jobs survive the loss of hosts and workers on every engine, and have the same results on all of them."""

import asyncio
import hashlib
import signal
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psutil
import pytest

from app.core.database import Database
from tests.e2e.support import wait_for_end
from tests.e2e.test_datasets import upload
from tests.faults.conftest import System
from tests.faults.support import (
    assert_consistent,
    is_alive,
    outcomes,
    pids,
    recomputed_batches,
    submit,
    until_batches,
    until_job,
    until_started,
    wait_until_ended,
)
from tests.support.processes import Process

HOST = "worker.engines.ray"

ROWS = [{"text": f"{number} good and bad things", "stars": number % 5} for number in range(3000)]
FLOWERS = [{"width": number % 7 / 2, "kind": "ab"[number % 2]} for number in range(60)]
STEPS = [{"step": "deduplicate", "columns": ["stars"]}, {"step": "sample", "rows": 3}]


def engine(name: str, folder: Path) -> dict[str, str]:
    """The settings of a worker with this engine."""
    return {"ENGINE": name, "ENGINE_PORT": "0", "WORKER_DIR": str(folder / name), "WORKER_PREDICT_SLOTS": "0"}


def hosts(worker: Process) -> list[psutil.Process]:
    """The hosts that a worker has started on this machine, and that have not ended."""
    return [child for child in psutil.Process(worker.pid).children() if _is_host(child)]


def _is_host(process: psutil.Process) -> bool:
    try:
        return any(HOST in argument for argument in process.cmdline())
    except psutil.NoSuchProcess:  # or it has ended, and the worker has not heard of that yet
        return False


async def results(client: httpx.AsyncClient, name: str, datasets: dict[str, str]) -> dict[str, Any]:
    """What users get of jobs of three kinds, byte for byte."""
    bodies: dict[str, dict[str, Any]] = {
        "batch-predict": {"dataset_id": datasets["rows"], "column": "text", "batch_size": 500},
        "train-model": {
            "rows": FLOWERS,
            "target": "kind",
            "algorithm": "logistic_regression",
            "epochs": 3,
            "seed": 5,
            "model": name,
        },
        "preprocess-dataset": {"dataset_id": datasets["rows"], "name": name, "steps": STEPS},
    }
    found: dict[str, Any] = {}
    for kind, body in bodies.items():
        answer = await client.post(f"/jobs/{kind}", json=body)
        assert answer.status_code == 202, answer.text
        job = await wait_for_end(client, answer.json()["job_id"])
        assert (job["status"], job["attempt"]) == ("completed", 1), job
        found[kind] = job["result"].get("metrics", job["done"])
        if kind == "batch-predict":
            rows = await client.get(
                f"/jobs/{job['job_id']}/results", headers={"Accept": "application/x-ndjson"}
            )
            found["rows"] = rows.content
    version = (await client.get(f"/models/{name}/versions/1")).json()
    found["model"] = version["sha256"]
    [made] = [one for one in (await client.get("/datasets")).json()["items"] if one["name"].startswith(name)]
    content = await client.get(f"/datasets/{made['dataset_id']}/content")
    found["dataset"] = hashlib.sha256(content.content).hexdigest()
    return found


async def test_users_get_the_same_bytes_from_every_engine(
    system: System, ada: httpx.AsyncClient, database: Database, tmp_path: Path
) -> None:
    datasets = {"rows": await upload(ada, ROWS)}
    found = {}
    for name in ("pool", "loopback"):
        async with system.worker(f"{name}-worker", **engine(name, tmp_path)):
            found[name] = await results(ada, name, datasets)

    assert found["loopback"] == found["pool"]
    assert len(found["pool"]["rows"].splitlines()) == len(ROWS)


async def test_a_worker_that_is_killed_takes_its_hosts_with_it_and_loses_one_batch_at_most(
    system: System, ada: httpx.AsyncClient, database: Database, tmp_path: Path
) -> None:
    async with system.worker("first", **engine("loopback", tmp_path)) as first:
        job_id = await submit(ada, batches=16, work_ms=100, counter_path=str(system.counter))
        await until_batches(database, job_id, 3)
        [child] = pids(system.counter)
        started = [process.pid for process in hosts(first)]
        assert started
        await first.kill()
        async with system.worker("second", **engine("loopback", tmp_path)):
            job = await wait_until_ended(database, job_id)

    assert job["status"] == "completed"
    assert await outcomes(database, job_id) == ["rescued", "completed"]
    assert recomputed_batches(system.counter) <= 1
    assert not any(map(is_alive, [child, *started]))
    await assert_consistent(database, [job_id])


async def test_a_host_that_is_killed_fails_its_attempt_and_the_next_goes_on(
    system: System, ada: httpx.AsyncClient, database: Database, tmp_path: Path
) -> None:
    async with system.worker("worker", **engine("loopback", tmp_path)) as worker:
        job_id = await submit(ada, batches=16, work_ms=100, counter_path=str(system.counter))
        await until_batches(database, job_id, 3)
        [host] = hosts(worker)
        host.kill()
        job = await wait_until_ended(database, job_id)

    assert (job["status"], job["failures"]) == ("completed", 1)
    assert await outcomes(database, job_id) == ["failed", "completed"]
    assert recomputed_batches(system.counter) <= 1
    await assert_consistent(database, [job_id])


@pytest.mark.parametrize("name", ["pool", "loopback"])
async def test_an_endless_loop_is_cancelled(
    system: System, ada: httpx.AsyncClient, database: Database, tmp_path: Path, name: str
) -> None:
    async with system.worker("worker", **engine(name, tmp_path)):
        job_id = await submit(ada, "loop", batches=2)
        await until_started(database, job_id)
        async with asyncio.timeout(60):
            assert (await ada.post(f"/jobs/{job_id}/cancel")).status_code in (200, 202)
            job = await wait_until_ended(database, job_id)
        after = await submit(ada, batches=1)
        assert (await wait_until_ended(database, after))["status"] == "completed"

    assert job["status"] == "cancelled"
    await assert_consistent(database, [job_id, after])


async def test_a_worker_that_stops_releases_its_jobs_and_ends_its_hosts(
    system: System, ada: httpx.AsyncClient, database: Database, tmp_path: Path
) -> None:
    async with system.worker("worker", **engine("loopback", tmp_path)) as worker:
        job_id = await submit(ada, batches=400, work_ms=100)
        await until_batches(database, job_id, 2)
        started = [process.pid for process in hosts(worker)]
        worker.send(signal.SIGTERM)
        assert await worker.wait() == 0
    job = await until_job(database, job_id, "status = 'pending'")

    assert job["failures"] == 0
    assert await outcomes(database, job_id) == ["released"]
    assert started
    assert not any(map(is_alive, started))


async def test_hosts_start_for_jobs_and_end_when_there_are_none(
    system: System, ada: httpx.AsyncClient, database: Database, tmp_path: Path
) -> None:
    settings = {**engine("loopback", tmp_path), "ENGINE_IDLE_SECONDS": "1"}
    async with system.worker("worker", **settings) as worker:
        assert hosts(worker) == []
        for _ in range(2):
            job_id: UUID = await submit(ada, batches=2)
            assert (await wait_until_ended(database, job_id))["status"] == "completed"
            async with asyncio.timeout(60):
                while hosts(worker):  # noqa: ASYNC110  # nothing says that it has ended
                    await asyncio.sleep(0.05)
