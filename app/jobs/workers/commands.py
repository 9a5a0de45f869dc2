"""Changes to workers: registration, leases, removal."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg

from app.core.sql import Statement
from app.jobs.workers.states import EngineState

# Registers a worker or renews its lease, and lists the jobs that run on it.
_RENEW: Final = Statement("""
WITH seen AS (
    INSERT INTO workers (
        id, name, host, pid, queues, kinds, slots, predict_slots, gpus, runs_shards,
        cpu_percent, rss_bytes, memory_percent, engine_state)
    VALUES (
        :id, :name, :host, :pid, :queues, :kinds, :slots, :predict_slots, :gpus, true,
        :cpu_percent, :rss_bytes, :memory_percent, :engine_state)
    ON CONFLICT (id) DO UPDATE SET seen_at = now(), cpu_percent = excluded.cpu_percent,
        rss_bytes = excluded.rss_bytes, memory_percent = excluded.memory_percent,
        engine_state = excluded.engine_state
)
SELECT id, attempt, cancel_requested_at IS NOT NULL AS is_cancel_requested
FROM jobs WHERE worker_id = :id AND status = 'running'""")

# Records that a worker claims no more jobs.
_MARK_STOPPING: Final = Statement("UPDATE workers SET stopping_at = now() WHERE id = :worker_id")

# Deletes a worker.
_REMOVE: Final = Statement("DELETE FROM workers WHERE id = :worker_id")

# Deletes the workers that were not seen for a hundred leases and have no jobs.
_PRUNE: Final = Statement("""
DELETE FROM workers w WHERE w.seen_at < now() - 100 * :lease::interval
AND NOT EXISTS (SELECT FROM jobs WHERE worker_id = w.id AND status = 'running')""")


@dataclass(frozen=True)
class WorkerIdentity:
    """A worker: its name and process, the queues and kinds it serves, and its numbers of slots.

    `predict_slots` serve `POST /predict` only, in addition to `slots`. Each slot has `gpus` GPUs.
    """

    id: UUID
    name: str
    host: str
    pid: int
    queues: tuple[str, ...]
    kinds: tuple[str, ...]
    slots: int
    predict_slots: int = 0
    gpus: int = 0


@dataclass(frozen=True)
class WorkerLoad:
    """What a worker uses with its fork server and its children; None before it is measured.

    `cpu_percent` is of one processor, `memory_percent` of the memory that the worker may use.
    """

    cpu_percent: float | None = None
    rss_bytes: int | None = None
    memory_percent: float | None = None


UNKNOWN_LOAD: Final = WorkerLoad()


@dataclass(frozen=True)
class HeldJob:
    """A job that according to Postgres runs on the worker that asks."""

    id: UUID
    attempt: int
    is_cancel_requested: bool


async def renew(
    connection: asyncpg.Connection,
    worker: WorkerIdentity,
    load: WorkerLoad = UNKNOWN_LOAD,
    engine_state: EngineState = EngineState.READY,
) -> list[HeldJob]:
    """Renew the worker's lease and return the jobs that run on it. The first call registers the worker."""
    rows = await _RENEW.fetch(
        connection,
        id=worker.id,
        name=worker.name,
        host=worker.host,
        pid=worker.pid,
        queues=list(worker.queues),
        kinds=list(worker.kinds),
        slots=worker.slots,
        predict_slots=worker.predict_slots,
        gpus=worker.gpus,
        cpu_percent=load.cpu_percent,
        rss_bytes=load.rss_bytes,
        memory_percent=load.memory_percent,
        engine_state=engine_state,
    )
    return [HeldJob(row["id"], row["attempt"], row["is_cancel_requested"]) for row in rows]


async def mark_stopping(connection: asyncpg.Connection, worker_id: UUID) -> None:
    """Record that the worker claims no more jobs."""
    await _MARK_STOPPING.execute(connection, worker_id=worker_id)


async def remove(connection: asyncpg.Connection, worker_id: UUID) -> None:
    """Delete a worker that has shut down. Jobs it might still hold count as abandoned at once."""
    await _REMOVE.execute(connection, worker_id=worker_id)


async def prune(connection: asyncpg.Connection, lease: timedelta) -> None:
    """Delete workers that have been gone for long and hold no jobs."""
    await _PRUNE.execute(connection, lease=lease)
