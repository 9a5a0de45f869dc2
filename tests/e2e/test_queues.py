"""A queue is paused and resumed before a real worker."""

from pathlib import Path
from uuid import UUID

import httpx
from redis.asyncio import Redis

from app.core import keys
from app.core.config import Settings
from app.core.resources import Resources
from tests.conftest import SignUp
from tests.e2e.support import compounds, short_texts, slow_texts, submit, until_done, wait_for_end
from tests.support import jobs, processes, rows

LONG = 100


async def test_a_worker_starts_no_job_of_a_paused_queue_and_all_of_them_when_it_is_resumed(
    ada: httpx.AsyncClient, sign_up: SignUp, settings: Settings, tmp_path: Path, resources: Resources
) -> None:
    operator = await sign_up("olga")
    await rows.execute(resources.database, "UPDATE users SET role = 'operator' WHERE username = 'olga'")
    async with processes.worker(settings, tmp_path / "worker.log", WORKER_SLOTS="2"):
        running = await submit(ada, slow_texts(LONG), batch_size=1)
        await until_done(ada, running, 1)

        paused = await ada.post("/queues/default/pause", json={"reason": "Maintenance."}, headers=operator)
        assert (paused.status_code, paused.json()["running"]) == (200, 1)
        waiting = [await submit(ada, short_texts(3)) for _ in range(5)]

        assert (await wait_for_end(ada, running))["status"] == "completed"
        # The worker takes the jobs of its other queue, whatever tokens the paused one has.
        assert (await wait_for_end(ada, await submit(ada, ["fine"], queue="emails")))["status"] == "completed"
        async with Redis(connection_pool=resources.redis_pool) as redis:
            await redis.flushall()
        assert (await wait_for_end(ada, await submit(ada, ["fine"], queue="emails")))["status"] == "completed"
        for job_id in waiting:
            job = await jobs.read(resources.database, UUID(job_id))
            assert (job.status, job.attempt) == ("pending", 0)
        async with Redis(connection_pool=resources.redis_pool) as redis:
            assert await redis.zcard(keys.queue("default")) == 0

        await ada.post("/queues/default/resume", headers=operator)

        for job_id in waiting:
            assert (await wait_for_end(ada, job_id))["status"] == "completed"
            page = (await ada.get(f"/jobs/{job_id}/results")).json()["items"]
            assert [item["prediction"]["scores"]["compound"] for item in page] == compounds(short_texts(3))
