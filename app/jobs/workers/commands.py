"""Changes to workers: registration, leases, removal."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg

from app.core.sql import Statement

# Registers a worker or renews its lease, and lists the jobs that run on it.
_RENEW: Final = Statement("""
WITH seen AS (
    INSERT INTO workers (id, name, host, pid, queues, kinds, slots)
    VALUES (:id, :name, :host, :pid, :queues, :kinds, :slots)
    ON CONFLICT (id) DO UPDATE SET seen_at = now()
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
    """A worker: its name and process, the queues and kinds it serves, and its number of slots."""

    id: UUID
    name: str
    host: str
    pid: int
    queues: tuple[str, ...]
    kinds: tuple[str, ...]
    slots: int


@dataclass(frozen=True)
class HeldJob:
    """A job that according to Postgres runs on the worker that asks."""

    id: UUID
    attempt: int
    is_cancel_requested: bool


async def renew(connection: asyncpg.Connection, worker: WorkerIdentity) -> list[HeldJob]:
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
