"""Reads of jobs, their events and their batches. Nothing here changes anything."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg
from sqlalchemy import ColumnElement, Text, cast, func, literal, literal_column, or_, select, union_all
from sqlmodel.ext.asyncio.session import AsyncSession

from app.core import paging
from app.core.paging import Page, to_page
from app.core.sql import Statement
from app.jobs import tables
from app.jobs.events import Event
from app.jobs.filters import JobFilter
from app.jobs.inputs import HAS_ITS_INPUTS
from app.jobs.job import Attempt, Job, StoredBatch
from app.jobs.names import dataset_name, names, owner_name, worker_name
from app.jobs.selecting import conditions, newest
from app.jobs.states import Status

EVENTS_AT_ONCE: Final = 500

COUNT_LIMIT: Final = 10_001
"""A count of jobs stops here: one more than the largest number that is shown exactly."""

MAX_INLINE_BYTES: Final = 1024 * 1024
"""A job carries its outputs with it if they have at most this many bytes together."""

MAX_BATCH_BYTES: Final = 1024 * 1024
"""A larger output is read in pieces."""

# The lengths are known without reading the outputs, and a CASE evaluates only the branch it returns.
_WITH_OUTPUTS: Final = f"""
SELECT *, {names("jobs")}, CASE WHEN status = 'completed' AND total <= :inline_rows AND (
        SELECT sum(octet_length(output)) FROM job_batches WHERE job_id = jobs.id) <= :inline_bytes
    THEN (SELECT array_agg(output ORDER BY index) FROM job_batches WHERE job_id = jobs.id)
    END AS outputs
FROM jobs"""

# Which job has this id, and, if it has completed with few results, which?
_JOB: Final = Statement(f"{_WITH_OUTPUTS} WHERE id = :job_id")

# The same for several jobs.
_JOBS: Final = Statement(f"{_WITH_OUTPUTS} WHERE id = ANY (:job_ids)")

# Which job did this owner create with this idempotency key?
_JOB_OF_KEY: Final = Statement(f"""
SELECT *, {names("jobs")} FROM jobs WHERE owner_id = :owner_id AND idempotency_key = :key""")

# Which attempts at this job have ended, and on which workers did they run?
# Attempts that a worker of an earlier version has recorded lack its name.
_ATTEMPTS: Final = Statement("""
SELECT a.*, coalesce(a.worker_name, w.name) AS worker, NULL AS shard_no
FROM job_attempts a LEFT JOIN workers w ON w.id = a.worker_id
WHERE a.job_id = :job_id ORDER BY a.attempt""")

# Which events of this job follow the one with the number `after`?
_EVENTS: Final = Statement(
    paging.bounded(
        """SELECT job_id, seq, type, at, data::text AS data FROM job_events
        WHERE job_id = :job_id AND seq > :after ORDER BY seq LIMIT :limit""",
        size="octet_length(data)",
        order="seq",
    )
)

# What is the number of the last event of each of these jobs?
_LAST_SEQS: Final = Statement("SELECT id, last_seq FROM jobs WHERE id = ANY (:job_ids)")

# How many jobs does each of these owners have in each status, counted up to a limit?
_COUNTS_OF_OWNERS: Final = Statement("""
SELECT o.id AS owner_id, s.status, (
    SELECT count(*) FROM (
        SELECT FROM jobs j WHERE j.owner_id = o.id AND j.status = s.status AND j.parent_id IS NULL
        LIMIT :limit) counted) AS jobs
FROM unnest(:owner_ids::uuid[]) o (id), unnest(:statuses::text[]) s (status)""")

# Which batches of this job are stored, from this index on?
_BATCHES: Final = Statement(
    paging.bounded(
        f"""SELECT index, first_row, part_key, coalesce(octet_length(output), bytes) AS output_bytes,
            CASE WHEN octet_length(output) <= {MAX_BATCH_BYTES} THEN output END AS output
        FROM job_batches WHERE job_id = :job_id AND index >= :from_index ORDER BY index LIMIT :limit""",
        size="coalesce(octet_length(output), 0)",
        order="index",
    )
)

# Which rows are in this batch of this job?
_ROWS_OF_BATCH: Final = Statement("""
SELECT index, first_row, row_count FROM job_batches WHERE job_id = :job_id AND index = :index""")

# Which bytes has the output of this batch from this position on, counted from 1?
_OUTPUT_PIECE: Final = Statement("""
SELECT substring(output FROM :position FOR :max_bytes) FROM job_batches
WHERE job_id = :job_id AND index = :index""")

# Which rows were submitted with this job?
_PAYLOAD: Final = Statement("SELECT rows FROM job_payloads WHERE job_id = :job_id")

# Do the dataset and the model version that this job refers to still exist?
_HAS_ITS_INPUTS: Final = Statement(f"SELECT {HAS_ITS_INPUTS} FROM jobs j WHERE j.id = :job_id")

# In which state are these jobs and their current attempts?
_ATTEMPT_STATES: Final = Statement(
    "SELECT id, status, attempt, next_batch FROM jobs WHERE id = ANY (:job_ids)"
)

_LARGE: Final = ("params", "metadata", "result", "error")


@dataclass(frozen=True)
class EventPage:
    """A part of a job's log, and whether the log ends with it."""

    events: list[Event]
    is_last: bool


@dataclass(frozen=True)
class BatchRows:
    """The number of a batch, that of its first row, and how many rows it has."""

    index: int
    first_row: int
    row_count: int


@dataclass(frozen=True)
class AttemptState:
    """The state of a job and its current attempt, as far as its worker needs it."""

    status: Status
    attempt: int
    next_batch: int


async def job(
    connection: asyncpg.Connection,
    job_id: UUID,
    *,
    inline_rows: int = 0,
    inline_bytes: int = MAX_INLINE_BYTES,
) -> Job | None:
    """Return a job, with the outputs of its batches if it has completed and they are within these bounds."""
    row = await _JOB.fetchrow(connection, job_id=job_id, inline_rows=inline_rows, inline_bytes=inline_bytes)
    return None if row is None else Job.from_row_with_outputs(row)


async def jobs_by_id(
    connection: asyncpg.Connection,
    job_ids: Sequence[UUID],
    *,
    inline_rows: int = 0,
    inline_bytes: int = MAX_INLINE_BYTES,
) -> dict[UUID, Job]:
    """Return those of these jobs that exist, each like `job`."""
    rows = await _JOBS.fetch(connection, job_ids=job_ids, inline_rows=inline_rows, inline_bytes=inline_bytes)
    return {row["id"]: Job.from_row_with_outputs(row) for row in rows}


async def job_by_key(connection: asyncpg.Connection, owner_id: UUID, key: str) -> Job | None:
    """Return the job that an owner created with an idempotency key."""
    row = await _JOB_OF_KEY.fetchrow(connection, owner_id=owner_id, key=key)
    return None if row is None else Job.from_row(row)


async def jobs(
    session: AsyncSession, owner_id: UUID | None, wanted: JobFilter, *, before: UUID | None, limit: int
) -> Page[Job]:
    """Return a page of an owner's jobs, None: of all, newest first, starting after the job `before`."""
    columns = list(tables.Job.__table__.c)  # type: ignore[attr-defined]  # SQLModel gives every table class its table
    page = newest(columns, owner_id, wanted, before=before, limit=limit + 1).subquery("page")
    # The same as `paging.bounded`, which takes its query as text.
    order = page.c.id.desc()
    size = sum((func.coalesce(func.octet_length(cast(page.c[name], Text)), 0) for name in _LARGE), literal(0))
    sized = select(
        *page.c,
        func.count().over().label("found"),
        func.sum(size).over(order_by=order).label("bytes_through"),
        func.row_number().over(order_by=order).label("page_row"),
    ).subquery("sized")
    fits = or_(sized.c.page_row == 1, sized.c.bytes_through <= paging.PAGE_BYTES)
    named: tuple[ColumnElement[str], ...] = (
        literal_column(owner_name("sized")).label("owner"),
        literal_column(worker_name("sized")).label("worker"),
        literal_column(dataset_name("sized")).label("dataset_name"),
    )
    statement = select(sized, *named).where(fits).order_by(sized.c.page_row)
    connection = await session.connection()
    rows = (await connection.execute(statement)).mappings().all()
    return to_page(rows, limit, Job.from_row)


async def counts(
    session: AsyncSession, owner_id: UUID | None, wanted: JobFilter, *, limit: int = COUNT_LIMIT
) -> dict[Status, int]:
    """Return how many of an owner's jobs, None: of all, are in each status, counted up to `limit`."""
    parts = []
    for part in wanted.by_status():
        found = select(literal(1)).select_from(tables.Job).where(*conditions(part, owner_id))
        parts.append(
            select(
                literal(str(part.statuses[0])).label("status"),
                select(func.count()).select_from(found.limit(limit).subquery()).scalar_subquery(),
            )
        )
    connection = await session.connection()
    return {Status(status): count for status, count in await connection.execute(union_all(*parts))}


async def counts_of_owners(
    connection: asyncpg.Connection, owner_ids: Sequence[UUID], *, limit: int = COUNT_LIMIT
) -> dict[UUID, dict[Status, int]]:
    """Return how many jobs each of these owners has in each status, counted up to `limit`."""
    rows = await _COUNTS_OF_OWNERS.fetch(
        connection, owner_ids=list(owner_ids), statuses=list(Status), limit=limit
    )
    found: dict[UUID, dict[Status, int]] = {owner_id: {} for owner_id in owner_ids}
    for row in rows:
        found[row["owner_id"]][Status(row["status"])] = row["jobs"]
    return found


async def attempts(connection: asyncpg.Connection, job_id: UUID) -> list[Attempt]:
    """Return the ended attempts at a job, in order."""
    return [Attempt.from_row(row) for row in await _ATTEMPTS.fetch(connection, job_id=job_id)]


async def events(
    connection: asyncpg.Connection, job_id: UUID, *, after: int, limit: int = EVENTS_AT_ONCE
) -> EventPage:
    """Return the events of a job that follow number `after`, at most `limit`, and bounded in bytes."""
    rows = await _EVENTS.fetch(connection, job_id=job_id, after=after, limit=limit)
    found = [Event.from_row(row) for row in rows]
    return EventPage(found, is_last=not rows or len(rows) == rows[0]["found"] < limit)


async def last_seqs(connection: asyncpg.Connection, job_ids: Sequence[UUID]) -> dict[UUID, int]:
    """Return the number of the last event of each of the jobs."""
    rows = await _LAST_SEQS.fetch(connection, job_ids=list(job_ids))
    return {row["id"]: row["last_seq"] for row in rows}


async def batches(
    connection: asyncpg.Connection, job_id: UUID, *, from_index: int, limit: int
) -> list[StoredBatch]:
    """Return stored batches of a job in order, at most `limit`, and bounded in bytes.

    An output of more than MAX_BATCH_BYTES is left out; `output_piece` reads it.
    """
    rows = await _BATCHES.fetch(connection, job_id=job_id, from_index=from_index, limit=limit)
    return [StoredBatch.from_row(row) for row in rows]


async def batch_of_row(
    connection: asyncpg.Connection, job_id: UUID, row: int, *, batches: int
) -> BatchRows | None:
    """Return the batch of a job that has this row; None if it is not stored.

    It looks among the first `batches`, and reads few of them: the rows of a later batch come later.
    """
    low, high = 0, batches
    while low < high:
        middle = (low + high) // 2
        found = await _ROWS_OF_BATCH.fetchrow(connection, job_id=job_id, index=middle)
        if found is None or row < found["first_row"]:
            high = middle
        elif row < found["first_row"] + found["row_count"]:
            return BatchRows(found["index"], found["first_row"], found["row_count"])
        else:
            low = middle + 1
    return None


async def output_piece(connection: asyncpg.Connection, job_id: UUID, index: int, start: int) -> bytes:
    """Return at most MAX_BATCH_BYTES of an output from byte `start` on; nothing if the batch is gone."""
    piece: bytes | None = await _OUTPUT_PIECE.fetchval(
        connection, job_id=job_id, index=index, position=start + 1, max_bytes=MAX_BATCH_BYTES
    )
    return piece or b""


async def payload(connection: asyncpg.Connection, job_id: UUID) -> bytes | None:
    """Return the rows that were submitted with a job, as a JSON array; None without any."""
    rows: bytes | None = await _PAYLOAD.fetchval(connection, job_id=job_id)
    return rows


async def has_its_inputs(connection: asyncpg.Connection, job_id: UUID) -> bool:
    """Whether the datasets and the model version that a job refers to still exist."""
    found: bool = await _HAS_ITS_INPUTS.fetchval(connection, job_id=job_id)
    return found


async def attempt_states(connection: asyncpg.Connection, job_ids: Sequence[UUID]) -> dict[UUID, AttemptState]:
    """Return the state of each of the jobs. A worker asks after a lost reply."""
    rows = await _ATTEMPT_STATES.fetch(connection, job_ids=list(job_ids))
    return {row["id"]: AttemptState(Status(row["status"]), row["attempt"], row["next_batch"]) for row in rows}
