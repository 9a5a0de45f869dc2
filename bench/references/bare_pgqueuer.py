"""PgQueuer with default settings, as in its documentation: `pgq run bench.references.bare_pgqueuer:main`.

Like Headrace, it keeps its jobs in Postgres, which confirms no commit before it is on disk. Before the worker
starts, `python -m bench.references.bare_pgqueuer install` creates its tables. `… measure JOBS GAP_SECONDS`
enqueues jobs one at a time and prints how long each waited.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries
from redis.asyncio import Redis

from app.core.database import asyncpg_dsn

PICKED_UP = "bare_pgqueuer:picked_up"
TIMEOUT_SECONDS = 30


@asynccontextmanager
async def main() -> AsyncIterator[PgQueuer]:
    """Yield a worker on a connection of its own."""
    worker = PgQueuer(await _driver())
    redis = _redis()

    async def pick_up(job: Job) -> None:
        """Record the time since the caller enqueued the job."""
        waited = time.time() - float(job.payload or b"nan")
        await redis.execute_command("RPUSH", PICKED_UP, waited)  # type: ignore[no-untyped-call]  # redis-py

    worker.entrypoint("pick_up")(pick_up)
    yield worker


async def install() -> None:
    """Create the tables."""
    await Queries(await _driver()).install()


async def measure(jobs: int, gap_seconds: float) -> list[float]:
    """Enqueue jobs one at a time, with random pauses; return how long each waited."""
    queries = Queries(await _driver())
    redis = _redis()
    found = []
    for _ in range(jobs):
        await queries.enqueue("pick_up", str(time.time()).encode())
        # redis-py's types describe the synchronous client.
        answer: Any = redis.blpop([PICKED_UP], timeout=TIMEOUT_SECONDS)
        picked_up = await answer
        assert picked_up is not None
        found.append(float(picked_up[1]))
        await asyncio.sleep(random.uniform(0, gap_seconds))
    await redis.aclose()
    return found


async def _driver() -> AsyncpgDriver:
    return AsyncpgDriver(await asyncpg.connect(asyncpg_dsn(os.environ["DATABASE_URL"])))


def _redis() -> Redis:
    return Redis(unix_socket_path=os.environ["REDIS_SOCKET"])


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["install"]:
            asyncio.run(install())
        case ["measure", jobs, gap_seconds]:
            print(json.dumps(asyncio.run(measure(int(jobs), float(gap_seconds)))))
