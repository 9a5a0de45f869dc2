"""Helpers of the fault tests: submit jobs, wait for them and check the database."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import psutil

from app.core.database import Database
from app.jobs.states import FINAL
from tests.kinds_for_tests.kinds import prediction
from tests.support import invariants, rows
from tests.support.waiting import until

END_SECONDS = 90.0
EXIT_SECONDS = 60.0


async def submit(client: httpx.AsyncClient, kind: str = "count", **body: Any) -> UUID:
    """Submit a job and return its id."""
    answer = await client.post(f"/jobs/{kind.replace('_', '-')}", json=body)
    assert answer.status_code == 202, answer.text
    return UUID(answer.json()["job_id"])


async def wait_until_ended(
    database: Database, job_id: UUID, *, seconds: float = END_SECONDS
) -> asyncpg.Record:
    """Wait until a job has ended; return its row."""
    return await until_job(database, job_id, "status = ANY ($2)", [*FINAL], seconds=seconds)


async def wait_until_all_ended(database: Database, job_ids: Iterable[UUID]) -> list[asyncpg.Record]:
    """Wait until all jobs have ended; return their rows."""
    return [await wait_until_ended(database, job_id) for job_id in job_ids]


async def until_started(database: Database, job_id: UUID, *, attempt: int = 1) -> asyncpg.Record:
    """Wait until the given attempt at a job has started; return the job's row."""
    return await until_job(database, job_id, "attempt >= $2", attempt)


async def until_batches(database: Database, job_id: UUID, batches: int) -> asyncpg.Record:
    """Wait until a job has committed `batches` batches; return its row."""
    return await until_job(database, job_id, "next_batch >= $2", batches)


async def until_job(
    database: Database, job_id: UUID, condition: str, *arguments: Any, seconds: float = END_SECONDS
) -> asyncpg.Record:
    """Wait until a job satisfies an SQL condition; return its row."""

    async def find() -> list[asyncpg.Record]:
        return await rows.fetch(
            database, f"SELECT * FROM jobs WHERE id = $1 AND {condition}", job_id, *arguments
        )

    try:
        return (await until(find, seconds=seconds))[0]
    except TimeoutError:
        job = dict(await rows.job(database, job_id))
        raise AssertionError(f"timeout while waiting for {condition} {arguments}: {job}") from None


async def worker_of(database: Database, job_id: UUID) -> str:
    """Return the name of the worker that is running a job."""
    name: str = await rows.value(
        database, "SELECT name FROM workers w JOIN jobs j ON j.worker_id = w.id WHERE j.id = $1", job_id
    )
    return name


async def outcomes(database: Database, job_id: UUID) -> list[str]:
    """Return the outcome of each attempt at a job."""
    return [attempt["outcome"] for attempt in await rows.attempts(database, job_id)]


async def assert_consistent(database: Database, accepted: Iterable[UUID]) -> None:
    """Assert that every accepted job has ended and that all invariants hold."""
    await invariants.no_loss(database, accepted)
    await invariants.all_hold(database, predict=prediction)


def computed(counter: Path) -> Counter[tuple[str, int]]:
    """Count how often each batch of each job was computed."""
    found: Counter[tuple[str, int]] = Counter()
    for line in counter.read_text().splitlines():
        job_id, batch, _ = line.split()
        found[job_id, int(batch)] += 1
    return found


def pids(counter: Path) -> set[int]:
    """Return the ids of the processes that have computed batches."""
    return {int(line.split()[2]) for line in counter.read_text().splitlines()}


def is_alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def recomputed_batches(counter: Path) -> int:
    """Count the batches that were computed again."""
    times = computed(counter)
    return times.total() - len(times)
