"""Procrastinate with default settings, as in its documentation.

Like Headrace, it keeps its jobs in Postgres, which confirms no commit before it is on disk.
`python -m bench.references.bare_procrastinate install` creates its tables, `… work` runs its worker, and
`… measure JOBS GAP_SECONDS` enqueues jobs one at a time and prints how long each waited.
"""

import asyncio
import json
import os
import random
import sys
import time
from typing import Any

import procrastinate
from redis.asyncio import Redis

from app.core.database import asyncpg_dsn

PICKED_UP = "bare_procrastinate:picked_up"
TIMEOUT_SECONDS = 30

app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(conninfo=asyncpg_dsn(os.environ["DATABASE_URL"]))
)
redis = Redis(unix_socket_path=os.environ["REDIS_SOCKET"])


async def _pick_up(enqueued_at: float) -> None:
    """Record the time since the caller enqueued the job."""
    waited = time.time() - enqueued_at
    await redis.execute_command("RPUSH", PICKED_UP, waited)  # type: ignore[no-untyped-call]  # redis-py


pick_up = app.task(name="pick_up")(_pick_up)


async def install() -> None:
    """Create the tables."""
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


async def work() -> None:
    """Run jobs until a signal comes."""
    async with app.open_async():
        await app.run_worker_async()


async def measure(jobs: int, gap_seconds: float) -> list[float]:
    """Enqueue jobs one at a time, with random pauses; return how long each waited."""
    found = []
    async with app.open_async():
        for _ in range(jobs):
            await pick_up.defer_async(enqueued_at=time.time())
            # redis-py's types describe the synchronous client.
            answer: Any = redis.blpop([PICKED_UP], timeout=TIMEOUT_SECONDS)
            picked_up = await answer
            assert picked_up is not None
            found.append(float(picked_up[1]))
            await asyncio.sleep(random.uniform(0, gap_seconds))
    return found


async def main(arguments: list[str]) -> None:
    try:
        match arguments:
            case ["install"]:
                await install()
            case ["work"]:
                await work()
            case ["measure", jobs, gap_seconds]:
                print(json.dumps(await measure(int(jobs), float(gap_seconds))))
    finally:
        await redis.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
