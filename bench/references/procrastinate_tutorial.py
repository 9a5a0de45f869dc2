"""FastAPI + Procrastinate + Postgres: the same tutorial on a queue that loses no job.

API: `uvicorn bench.references.procrastinate_tutorial:app`. Tables and a worker:
`procrastinate --app bench.references.procrastinate_tutorial.queue schema --apply`, and `… worker`.
Procrastinate keeps no results, so the task stores them in a table of its own.
"""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg
import procrastinate
from fastapi import FastAPI
from pydantic import BaseModel

from app.core.database import asyncpg_dsn
from bench.references import sentiment

DSN = asyncpg_dsn(os.environ["DATABASE_URL"])

queue = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=DSN))
pools: list[asyncpg.Pool] = []


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    async with queue.open_async(), asyncpg.create_pool(DSN) as pool:
        await pool.execute("CREATE TABLE IF NOT EXISTS predictions (task_id uuid PRIMARY KEY, result jsonb)")
        pools.append(pool)
        yield


app = FastAPI(lifespan=lifespan)


class Texts(BaseModel):
    texts: list[str]


async def _predict(task_id: str, texts: list[str]) -> None:
    result = json.dumps(sentiment.predictions(texts))
    if not pools:
        pools.append(await asyncpg.create_pool(DSN, min_size=1))
    await pools[0].execute("INSERT INTO predictions VALUES ($1, $2)", task_id, result)


predict = queue.task(name="predict")(_predict)


@app.post("/predict", status_code=202)
async def create_prediction(body: Texts) -> dict[str, str]:
    task_id = str(uuid4())
    await predict.defer_async(task_id=task_id, texts=body.texts)
    return {"task_id": task_id}


@app.get("/predict/{task_id}")
async def get_prediction(task_id: str) -> dict[str, Any]:
    result = await pools[0].fetchval("SELECT result FROM predictions WHERE task_id = $1", task_id)
    status = "PENDING" if result is None else "SUCCESS"
    return {"task_id": task_id, "status": status, "result": None if result is None else json.loads(result)}
