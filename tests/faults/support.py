"""What the fault stories share: how work is asked for, waited for, and checked."""

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
    """The id of a new job, which was accepted."""
    answer = await client.post(f"/jobs/{kind.replace('_', '-')}", json=body)
    assert answer.status_code == 202, answer.text
    return UUID(answer.json()["job_id"])


async def ended(database: Database, job_id: UUID, *, seconds: float = END_SECONDS) -> asyncpg.Record:
    """The row of a job, once it has ended."""
    return await until_job(database, job_id, "status = ANY ($2)", [*FINAL], seconds=seconds)


async def all_ended(database: Database, job_ids: Iterable[UUID]) -> list[asyncpg.Record]:
    """The rows of all these jobs, once they have ended."""
    return [await ended(database, job_id) for job_id in job_ids]


async def until_started(database: Database, job_id: UUID, *, attempt: int = 1) -> asyncpg.Record:
    """The row of a job, once this attempt at it runs or has run."""
    return await until_job(database, job_id, "attempt >= $2", attempt)


async def until_batches(database: Database, job_id: UUID, batches: int) -> asyncpg.Record:
    """The row of a job, once so many of its batches are committed."""
    return await until_job(database, job_id, "next_batch >= $2", batches)


async def until_job(
    database: Database, job_id: UUID, condition: str, *arguments: Any, seconds: float = END_SECONDS
) -> asyncpg.Record:
    """The row of a job, once it is as wanted."""

    async def look() -> list[asyncpg.Record]:
        return await rows.fetch(
            database, f"SELECT * FROM jobs WHERE id = $1 AND {condition}", job_id, *arguments
        )

    try:
        return (await until(look, seconds=seconds))[0]
    except TimeoutError:
        job = dict(await rows.job(database, job_id))
        raise AssertionError(f"{condition} {arguments} did not come true: {job}") from None


async def holder_of(database: Database, job_id: UUID) -> str:
    """The name of the worker on which a job runs."""
    name: str = await rows.value(
        database, "SELECT name FROM workers w JOIN jobs j ON j.worker_id = w.id WHERE j.id = $1", job_id
    )
    return name


async def outcomes(database: Database, job_id: UUID) -> list[str]:
    """How each attempt at a job ended."""
    return [attempt["outcome"] for attempt in await rows.attempts(database, job_id)]


async def in_order(database: Database, accepted: Iterable[UUID]) -> None:
    """Every accepted job has ended, and everything that has to be true of the database is."""
    await invariants.no_loss(database, accepted)
    await invariants.all_hold(database, predict=prediction)


def computed(counter: Path) -> Counter[tuple[str, int]]:
    """How often each batch of each job was computed."""
    found: Counter[tuple[str, int]] = Counter()
    for line in counter.read_text().splitlines():
        job_id, batch, _ = line.split()
        found[job_id, int(batch)] += 1
    return found


def pids(counter: Path) -> set[int]:
    """The processes that have computed something."""
    return {int(line.split()[2]) for line in counter.read_text().splitlines()}


def is_alive(pid: int) -> bool:
    """Whether a process is there, and is more than an entry in its parent's table."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def computed_again(counter: Path) -> int:
    """How many batches were computed in vain."""
    times = computed(counter)
    return times.total() - len(times)
