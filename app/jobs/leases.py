"""A worker's claim to be alive, and what hangs on it."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import asyncpg

_RENEW = """
WITH seen AS (
    INSERT INTO workers (id, name, host, pid, queues, kinds, slots)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (id) DO UPDATE SET seen_at = now()
)
SELECT id, attempt, cancel_requested_at IS NOT NULL AS is_cancel_requested
FROM jobs WHERE worker_id = $1 AND status = 'running'"""


@dataclass(frozen=True)
class WorkerIdentity:
    """Who a worker is, and what it can do."""

    id: UUID
    name: str
    host: str
    pid: int
    queues: tuple[str, ...]
    kinds: tuple[str, ...]
    slots: int


@dataclass(frozen=True)
class HeldJob:
    """A job that Postgres counts as running on the worker that asks."""

    id: UUID
    attempt: int
    is_cancel_requested: bool


async def renew(connection: asyncpg.Connection, worker: WorkerIdentity) -> list[HeldJob]:
    """Say that the worker is alive, and hear which jobs are its own. The first call registers it."""
    rows = await connection.fetch(
        _RENEW,
        worker.id,
        worker.name,
        worker.host,
        worker.pid,
        list(worker.queues),
        list(worker.kinds),
        worker.slots,
    )
    return [HeldJob(row["id"], row["attempt"], row["is_cancel_requested"]) for row in rows]


async def mark_stopping(connection: asyncpg.Connection, worker_id: UUID) -> None:
    """Say that the worker takes no more jobs."""
    await connection.execute("UPDATE workers SET stopping_at = now() WHERE id = $1", worker_id)


async def remove(connection: asyncpg.Connection, worker_id: UUID) -> None:
    """Forget a worker that stopped in good order. Jobs it might still hold count as abandoned at once."""
    await connection.execute("DELETE FROM workers WHERE id = $1", worker_id)


async def alive(connection: asyncpg.Connection, lease: timedelta) -> int:
    """How many workers have a lease that holds."""
    count: int = await connection.fetchval(
        "SELECT count(*) FROM workers WHERE seen_at > now() - $1::interval", lease
    )
    return count


async def prune(connection: asyncpg.Connection, lease: timedelta) -> None:
    """Forget workers that are long gone and hold nothing."""
    await connection.execute(
        """DELETE FROM workers w WHERE w.seen_at < now() - 100 * $1::interval
        AND NOT EXISTS (SELECT FROM jobs WHERE worker_id = w.id AND status = 'running')""",
        lease,
    )
