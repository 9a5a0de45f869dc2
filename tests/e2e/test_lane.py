"""The lane of `POST /predict` beside jobs that take all slots of a real worker."""

import asyncio
import signal
from pathlib import Path

import httpx

from app.core.config import Settings
from app.core.resources import Resources
from tests.e2e.support import compounds, slow_texts, submit, until_done
from tests.support import processes, rows, waiting

LONG = 400
"""Texts that keep a slot busy for seconds."""


async def predict(client: httpx.AsyncClient, texts: list[str]) -> list[float]:
    answer = await client.post("/predict", json={"texts": texts})
    assert answer.status_code == 200, answer.text
    return [said["scores"]["compound"] for said in answer.json()["predictions"]]


async def status_of(client: httpx.AsyncClient, job_id: str) -> str:
    status: str = (await client.get(f"/jobs/{job_id}")).json()["status"]
    return status


async def test_a_prediction_is_answered_while_another_job_takes_the_only_slot(
    ada: httpx.AsyncClient, settings: Settings, tmp_path: Path
) -> None:
    async with processes.worker(settings, tmp_path / "worker.log", WORKER_SLOTS="1"):
        running = await submit(ada, slow_texts(LONG), batch_size=1)
        next_in_line = await submit(ada, slow_texts(LONG), batch_size=1)
        await until_done(ada, running, 1)

        said = await predict(ada, ["What a lovely day"])

        assert said == compounds(["What a lovely day"])
        assert await status_of(ada, running) == "running"
        assert await status_of(ada, next_in_line) == "pending"


async def test_a_worker_that_stops_leaves_nothing_running_in_its_lane(
    ada: httpx.AsyncClient, settings: Settings, tmp_path: Path, resources: Resources
) -> None:
    async with processes.worker(settings, tmp_path / "worker.log", WORKER_SLOTS="1") as worker:
        running = await submit(ada, slow_texts(LONG), batch_size=1)
        await until_done(ada, running, 1)
        asking = asyncio.create_task(ada.post("/predict", json={"texts": slow_texts(100)}))
        await waiting.until(lambda: _predicts(resources))
        worker.send(signal.SIGTERM)

        assert await worker.wait() == 0

    asking.cancel()
    assert not await _predicts(resources)
    assert await status_of(ada, running) == "pending"


async def _predicts(resources: Resources) -> bool:
    question = "SELECT count(*) FROM jobs WHERE status = 'running' AND queue = '/predict'"
    return bool(await rows.value(resources.database, question))
