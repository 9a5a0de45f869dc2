"""FastAPI + Celery + Redis, built as in tutorials.

API: `uvicorn bench.references.celery_tutorial:app`. Worker with two processes:
`celery -A bench.references.celery_tutorial worker --concurrency 2`.
"""

import os
import threading
from typing import Any

import redis.client
from celery import Celery
from celery.result import AsyncResult
from fastapi import FastAPI
from pydantic import BaseModel

from bench.references import sentiment
from bench.references.marks import BUSY_SECONDS, mark, note, work

REDIS = f"redis+socket://{os.environ.get('REDIS_SOCKET', '/tmp/redis.sock')}"  # noqa: S108


class PubSub(redis.client.PubSub):
    """redis-py's PubSub with a reentrant lock; the only change to the tutorials' code.

    Without it, Celery and redis-py deadlock after some seconds of load: while one AsyncResult unsubscribes,
    Python collects an older one, whose `__del__` unsubscribes too.
    """

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._lock = threading.RLock()  # type: ignore[assignment]


redis.client.PubSub = PubSub  # type: ignore[misc]

celery = Celery("tutorial", broker=REDIS, backend=REDIS)
app = FastAPI()


class Texts(BaseModel):
    texts: list[str]


@celery.task(name="predict")  # type: ignore[untyped-decorator]  # celery has no types
def predict(texts: list[str]) -> list[dict[str, Any]]:
    return sentiment.predictions(texts)


@celery.task(name="note_start")  # type: ignore[untyped-decorator]
def note_start(owner: str) -> None:
    note("celery", owner)


@celery.task(name="long_job")  # type: ignore[untyped-decorator]
def long_job(job: str) -> None:
    mark("celery", job)
    work(BUSY_SECONDS)


@app.post("/predict", status_code=202)
def create_prediction(body: Texts) -> dict[str, str]:
    task = predict.delay(body.texts)
    return {"task_id": task.id}


@app.get("/predict/{task_id}")
def get_prediction(task_id: str) -> dict[str, Any]:
    task = AsyncResult(task_id, app=celery)
    return {"task_id": task_id, "status": task.status, "result": task.result if task.ready() else None}
