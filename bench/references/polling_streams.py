"""Progress over server-sent events as in tutorials: reads the row every second, once per client.

No authentication and a minimal query. The `id:` of each event identifies it.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from app.core.database import asyncpg_dsn

POLL_SECONDS = 1.0


@asynccontextmanager
async def lifespan(application: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(asyncpg_dsn(os.environ["DATABASE_URL"]), min_size=1, max_size=10) as pool:
        application.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/jobs/{job_id}/stream")
async def follow(job_id: UUID, request: Request) -> StreamingResponse:
    return StreamingResponse(_poll(request, job_id), media_type="text/event-stream")


async def _poll(request: Request, job_id: UUID) -> AsyncIterator[str]:
    seen = None
    while not await request.is_disconnected():
        row = await request.app.state.pool.fetchrow(
            "SELECT status, progress, done, total, step, last_seq FROM jobs WHERE id = $1", job_id
        )
        if row["last_seq"] != seen:
            seen = row["last_seq"]
            yield f"id: {seen}\nevent: update\ndata: {json.dumps(dict(row))}\n\n"
        if row["status"] in ("completed", "failed", "cancelled"):
            return
        await asyncio.sleep(POLL_SECONDS)
