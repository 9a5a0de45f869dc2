"""A job that needs a GPU waits for a worker whose slots have one."""

from pathlib import Path
from uuid import UUID

import httpx

from app.core.config import Settings
from app.core.resources import Resources
from tests.e2e.support import submit, wait_for_end
from tests.support import invariants, jobs, processes


async def test_a_job_with_gpus_runs_on_the_worker_that_has_them(
    ada: httpx.AsyncClient, settings: Settings, tmp_path: Path, resources: Resources
) -> None:
    """The model runs on the CPU: what is tested is that the job is where it could use the GPU."""
    on_both = {"WORKER_SLOTS": "1", "WORKER_QUEUES": "gpu"}
    async with processes.worker(settings, tmp_path / "cpu.log", WORKER_NAME="cpu", **on_both):
        job_id = await submit(ada, ["fine"], resources={"gpus": 1})
        other = await wait_for_end(ada, await submit(ada, ["fine"], queue="gpu"))
        waiting = await jobs.read(resources.database, UUID(job_id))
        explained = (await ada.get(f"/jobs/{job_id}/explain")).json()
        async with processes.worker(
            settings, tmp_path / "gpu.log", WORKER_NAME="gpu", SLOT_GPUS="1", WORKER_GPUS="3", **on_both
        ):
            job = await wait_for_end(ada, job_id)
            workers = (await ada.get("/workers")).json()["items"]
        attempts = (await ada.get(f"/jobs/{job_id}?include=attempts")).json()["attempts"]

    assert (other["status"], waiting.status, waiting.attempt) == ("completed", "pending", 0)
    assert explained["code"] == "no_worker_has_gpus"
    assert (job["status"], job["queue"], job["gpus"]) == ("completed", "gpu", 1)
    assert [attempt["worker"] for attempt in attempts] == ["gpu"]
    assert {worker["name"]: worker["gpus"] for worker in workers} == {"cpu": 0, "gpu": 1}
    await invariants.all_hold(resources.database)
