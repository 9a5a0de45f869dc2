"""Reads of workers."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self
from uuid import UUID

import asyncpg

from app.core.rows import Row
from app.core.sql import Statement
from app.jobs.workers.states import EngineState, WorkerState

# How many workers were seen within a lease?
_ALIVE: Final = Statement("SELECT count(*) FROM workers WHERE seen_at > now() - :lease::interval")

# Which workers are there, and which jobs run on them?
_LISTED: Final = Statement("""
SELECT w.*, CASE WHEN w.seen_at <= now() - :lease::interval THEN 'lost'
        WHEN w.stopping_at IS NOT NULL THEN 'draining' ELSE 'live' END AS state,
    (SELECT coalesce(jsonb_agg(jsonb_build_object(
            'id', coalesce(j.parent_id, j.id), 'shard', j.shard_no, 'owner_id', j.owner_id,
            'progress', j.progress) ORDER BY coalesce(j.parent_id, j.id), j.shard_no), '[]')
        FROM jobs j WHERE j.worker_id = w.id AND j.status = 'running') AS jobs
FROM workers w ORDER BY w.name, w.id""")


@dataclass(frozen=True)
class WorkerJob:
    """A job that runs on a worker, or the `shard` of it with this number."""

    id: UUID
    shard: int | None
    owner_id: UUID
    progress: float


@dataclass(frozen=True)
class ListedWorker:
    """A worker, what it used when it last measured it, and the jobs that run on it.

    `predict_slots` serve `POST /predict` only, in addition to `slots`. Each slot has `gpus` GPUs.
    """

    id: UUID
    name: str
    host: str
    pid: int
    queues: tuple[str, ...]
    kinds: tuple[str, ...]
    slots: int
    predict_slots: int
    gpus: int
    state: WorkerState
    engine_state: EngineState
    started_at: datetime
    seen_at: datetime
    cpu_percent: float | None
    memory_bytes: int | None
    memory_percent: float | None
    jobs: tuple[WorkerJob, ...]

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of `workers` with its state and its jobs."""
        return cls(
            id=row["id"],
            name=row["name"],
            host=row["host"],
            pid=row["pid"],
            queues=tuple(row["queues"]),
            kinds=tuple(row["kinds"]),
            slots=row["slots"],
            predict_slots=row["predict_slots"],
            gpus=row["gpus"],
            state=WorkerState(row["state"]),
            engine_state=EngineState(row["engine_state"]),
            started_at=row["started_at"],
            seen_at=row["seen_at"],
            cpu_percent=row["cpu_percent"],
            memory_bytes=row["rss_bytes"],
            memory_percent=row["memory_percent"],
            jobs=tuple(
                WorkerJob(UUID(job["id"]), job["shard"], UUID(job["owner_id"]), job["progress"])
                for job in row["jobs"]
            ),
        )


# Does a worker that takes jobs serve this queue?
_IS_SERVED: Final = Statement("""
SELECT EXISTS (
    SELECT FROM workers
    WHERE seen_at > now() - :lease::interval AND stopping_at IS NULL AND :queue = ANY (queues))""")


async def alive(connection: asyncpg.Connection, lease: timedelta) -> int:
    """Return how many workers hold a valid lease."""
    count: int = await _ALIVE.fetchval(connection, lease=lease)
    return count


async def listed(connection: asyncpg.Connection, lease: timedelta) -> list[ListedWorker]:
    """Return all workers, by name. One that was not seen within the lease is lost."""
    return [ListedWorker.from_row(row) for row in await _LISTED.fetch(connection, lease=lease)]


async def is_served(connection: asyncpg.Connection, queue: str, lease: timedelta) -> bool:
    """Whether a worker that holds a valid lease takes jobs from a queue."""
    found: bool = await _IS_SERVED.fetchval(connection, queue=queue, lease=lease)
    return found
