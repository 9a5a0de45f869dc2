"""Minimal FastAPI route that stores something: inserts one row with asyncpg."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
from fastapi import FastAPI, Request
from pydantic import BaseModel

from app.core.database import asyncpg_dsn

TABLE = (
    "CREATE TABLE IF NOT EXISTS bare_jobs (id uuid PRIMARY KEY, status text NOT NULL, texts text[] NOT NULL)"
)


class Texts(BaseModel):
    texts: list[str]


@asynccontextmanager
async def lifespan(application: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(asyncpg_dsn(os.environ["DATABASE_URL"]), min_size=1, max_size=10) as pool:
        await pool.execute(TABLE)
        application.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/jobs", status_code=202)
async def create_job(body: Texts, request: Request) -> dict[str, str]:
    job_id = uuid4()
    await request.app.state.pool.execute(
        "INSERT INTO bare_jobs (id, status, texts) VALUES ($1, 'pending', $2)", job_id, body.texts
    )
    return {"job_id": str(job_id), "status": "pending"}
