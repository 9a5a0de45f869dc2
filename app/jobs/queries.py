"""What can be asked about jobs. Nothing here changes anything."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy import RowMapping, Text, cast, func, literal, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.core import paging
from app.jobs.events import Event
from app.jobs.states import EventType, Status
from app.jobs.tables import Job

EVENTS_AT_ONCE: Final = 500

MAX_INLINE_BYTES: Final = 1024 * 1024
"""A job carries its outputs with it if they have at most this many bytes together."""

MAX_BATCH_BYTES: Final = 1024 * 1024
"""A larger output is read in pieces."""

# The lengths are known without reading the outputs, and a CASE reads only what it gives.
_JOB: Final = """
SELECT *, CASE WHEN status = 'completed' AND total <= $2 AND (
        SELECT sum(octet_length(output)) FROM job_batches WHERE job_id = jobs.id) <= $3
    THEN (SELECT array_agg(output ORDER BY index) FROM job_batches WHERE job_id = jobs.id)
    END AS outputs
FROM jobs WHERE id = $1"""

_EVENTS: Final = paging.bounded(
    """SELECT job_id, seq, type, at, data::text AS data FROM job_events
    WHERE job_id = $1 AND seq > $2 ORDER BY seq LIMIT $3""",
    size="octet_length(data)",
    order="seq",
)

_BATCHES: Final = paging.bounded(
    f"""SELECT index, first_row, part_key, bytes, octet_length(output) AS output_bytes,
        CASE WHEN octet_length(output) <= {MAX_BATCH_BYTES} THEN output END AS output
    FROM job_batches WHERE job_id = $1 AND index >= $2 ORDER BY index LIMIT $3""",
    size="coalesce(octet_length(output), 0)",
    order="index",
)


_LARGE: Final = ("params", "metadata", "result", "error")


@dataclass(frozen=True)
class JobFilter:
    """Which of an owner's jobs are asked for; None means any."""

    status: Status | None = None
    kind: str | None = None
    queue: str | None = None
    model: str | None = None
    metadata: dict[str, str] | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True)
class EventPage:
    """A part of a job's log, and whether the log ends with it."""

    events: list[Event]
    is_last: bool


@dataclass(frozen=True)
class AttemptState:
    """Where an attempt stands, as far as its worker needs to know."""

    status: Status
    attempt: int
    next_batch: int


async def job(
    connection: asyncpg.Connection,
    job_id: UUID,
    *,
    inline_rows: int = 0,
    inline_bytes: int = MAX_INLINE_BYTES,
) -> asyncpg.Record | None:
    """One job, with the outputs of its batches if it is completed and they are no more than this."""
    return await connection.fetchrow(_JOB, job_id, inline_rows, inline_bytes)


async def job_of_key(connection: asyncpg.Connection, owner_id: UUID, key: str) -> asyncpg.Record | None:
    """The job that an owner's idempotency key stands for."""
    return await connection.fetchrow(
        "SELECT * FROM jobs WHERE owner_id = $1 AND idempotency_key = $2", owner_id, key
    )


async def jobs(
    session: AsyncSession, owner_id: UUID, wanted: JobFilter, *, before: UUID | None, limit: int
) -> Sequence[RowMapping]:
    """An owner's jobs, newest first, from the one before `before` on."""
    table = Job.__table__.c  # type: ignore[attr-defined]  # SQLModel gives every table class its table
    conditions = [table.owner_id == owner_id]
    if before is not None:
        conditions.append(table.id < before)
    if wanted.status is not None:
        conditions.append(table.status == wanted.status)
    if wanted.kind is not None:
        conditions.append(table.kind == wanted.kind)
    if wanted.queue is not None:
        conditions.append(table.queue == wanted.queue)
    if wanted.model is not None:
        conditions.append(table.params["model"]["name"].astext == wanted.model)
    if wanted.metadata:
        conditions.append(table.metadata.contains(wanted.metadata))
    if wanted.created_after is not None:
        conditions.append(table.created_at > wanted.created_after)
    if wanted.created_before is not None:
        conditions.append(table.created_at < wanted.created_before)
    page = select(*table).where(*conditions).order_by(table.id.desc()).limit(limit).subquery("page")
    # As `paging.bounded` does it for a text.
    order = page.c.id.desc()
    size = sum((func.coalesce(func.octet_length(cast(page.c[name], Text)), 0) for name in _LARGE), literal(0))
    sized = select(
        *page.c,
        func.count().over().label("found"),
        func.sum(size).over(order_by=order).label("bytes_through"),
        func.row_number().over(order_by=order).label("place"),
    ).subquery("sized")
    fits = or_(sized.c.place == 1, sized.c.bytes_through <= paging.PAGE_BYTES)
    statement = select(sized).where(fits).order_by(sized.c.place)
    connection = await session.connection()
    return (await connection.execute(statement)).mappings().all()


async def attempts(connection: asyncpg.Connection, job_id: UUID) -> list[asyncpg.Record]:
    """The attempts at a job that are over, in order, each with the name of its worker if that is known."""
    return await connection.fetch(
        """SELECT a.*, w.name AS worker FROM job_attempts a LEFT JOIN workers w ON w.id = a.worker_id
        WHERE a.job_id = $1 ORDER BY a.attempt""",
        job_id,
    )


async def events(
    connection: asyncpg.Connection, job_id: UUID, *, after: int, limit: int = EVENTS_AT_ONCE
) -> EventPage:
    """A job's events from the one after `after` on, at most `limit`, and bounded in bytes."""
    rows = await connection.fetch(_EVENTS, job_id, after, limit)
    found = [
        Event(row["job_id"], row["seq"], EventType(row["type"]), row["at"], msgspec.Raw(row["data"].encode()))
        for row in rows
    ]
    return EventPage(found, is_last=not rows or len(rows) == rows[0]["found"] < limit)


async def last_seqs(connection: asyncpg.Connection, job_ids: Sequence[UUID]) -> dict[UUID, int]:
    """The number of the last event of each of the jobs."""
    rows = await connection.fetch("SELECT id, last_seq FROM jobs WHERE id = ANY ($1)", list(job_ids))
    return {row["id"]: row["last_seq"] for row in rows}


async def batches(
    connection: asyncpg.Connection, job_id: UUID, *, from_index: int, limit: int
) -> list[asyncpg.Record]:
    """Stored batches of a job, from the given one on, in order, at most `limit`, and bounded in bytes.

    An output of more than MAX_BATCH_BYTES is left out; `output_piece` reads it.
    """
    return await connection.fetch(_BATCHES, job_id, from_index, limit)


async def output_piece(connection: asyncpg.Connection, job_id: UUID, index: int, start: int) -> bytes:
    """At most MAX_BATCH_BYTES of the output of a batch, from byte `start` on; empty if the batch is gone."""
    piece: bytes | None = await connection.fetchval(
        "SELECT substring(output FROM $3 FOR $4) FROM job_batches WHERE job_id = $1 AND index = $2",
        *(job_id, index, start + 1, MAX_BATCH_BYTES),
    )
    return piece or b""


async def has_its_inputs(connection: asyncpg.Connection, job_id: UUID) -> bool:
    """Whether the dataset and the version of a model that a job works with are still there."""
    found: bool = await connection.fetchval(
        """SELECT (dataset_id IS NULL OR EXISTS (SELECT FROM datasets d WHERE d.id = j.dataset_id))
            AND (model_version_id IS NULL
                OR EXISTS (SELECT FROM model_versions v WHERE v.id = j.model_version_id))
        FROM jobs j WHERE j.id = $1""",
        job_id,
    )
    return found


async def attempt_states(connection: asyncpg.Connection, job_ids: Sequence[UUID]) -> dict[UUID, AttemptState]:
    """Where each of the jobs stands. What is asked after a reply was lost."""
    rows = await connection.fetch(
        "SELECT id, status, attempt, next_batch FROM jobs WHERE id = ANY ($1)", list(job_ids)
    )
    return {row["id"]: AttemptState(Status(row["status"]), row["attempt"], row["next_batch"]) for row in rows}


async def backlog(connection: asyncpg.Connection) -> list[asyncpg.Record]:
    """Per queue: how many jobs are due and wait, and for how long the oldest has (for the metrics)."""
    return await connection.fetch(
        """SELECT queue, count(*) AS waiting,
            extract(epoch FROM now() - min(run_at))::float8 AS oldest_seconds
        FROM jobs WHERE status = 'pending' AND run_at <= now() GROUP BY queue"""
    )


async def active(connection: asyncpg.Connection) -> list[asyncpg.Record]:
    """How many jobs are pending and running, by kind (for the metrics)."""
    return await connection.fetch(
        """SELECT kind, status, count(*) AS jobs FROM jobs WHERE status = 'pending' GROUP BY kind, status
        UNION ALL
        SELECT kind, status, count(*) AS jobs FROM jobs WHERE status = 'running' GROUP BY kind, status"""
    )


def estimated_completion(row: Any, now: datetime) -> datetime | None:
    """When a running job will be done at the rate of its present attempt; None while there is no rate."""
    if row["status"] != Status.RUNNING or row["total"] is None or row["attempt_started_at"] is None:
        return None
    rows_done: int = row["done"] - row["attempt_first_row"]
    if rows_done <= 0:
        return None
    elapsed: timedelta = now - row["attempt_started_at"]
    rows_left: int = row["total"] - row["done"]
    return now + elapsed * (rows_left / rows_done)
