"""Creates jobs and drives them through the same transitions as production code."""

import dataclasses
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from app.core import ids
from app.core.config import ClaimOrder
from app.core.database import Database
from app.jobs import lane, queries, transitions
from app.jobs.explanations import ClaimConditions
from app.jobs.job import Job
from app.jobs.kinds import batch_predict
from app.jobs.shards import transitions as shard_transitions
from app.jobs.shards.plan import ShardPlan
from app.jobs.states import HEAD_START, Priority
from app.jobs.transition_types import (
    NOT_MEASURED,
    Batch,
    ClaimedJob,
    Measurements,
    NewJob,
    Report,
    TransitionResult,
)
from app.jobs.unit_of_work import UnitOfWork
from app.jobs.workers import commands as workers
from app.jobs.workers.commands import WorkerIdentity
from tests.support.rows import fill

KIND = batch_predict.KIND.name
BATCH_SIZE = 10
LEASE = timedelta(seconds=0.05)
"""A lease for `rescue`: workers of these tests have either just been seen or were last seen an hour ago."""

CONDITIONS = ClaimConditions(lease=timedelta(seconds=6), is_redis_up=True)

PARAMS = {"model": {"name": "sentiment", "version": 1, "runtime": "vader"}, "batch_size": BATCH_SIZE}
RESULT = {"rows": "all"}
ERROR = {"code": "boom", "message": "It went wrong.", "retryable": True}


async def user(database: Database, name: str | None = None) -> UUID:
    """Insert a user without a usable password and return its id."""
    user_id = ids.new_id()
    name = name or user_id.hex
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO users (id, username, username_key, password_hash) VALUES ($1, $2, $2, 'none')",
            user_id,
            name,
        )
    return user_id


async def worker(
    database: Database,
    *,
    slots: int = 1,
    predict_slots: int | None = None,
    queue: str = "default",
    gpus: int = 0,
) -> UUID:
    """Insert a worker whose lease lasts a day and return its id.

    It serves the lane if `predict_slots` are given.
    """
    worker_id = ids.new_id()
    queues = (queue,) if predict_slots is None else lane.queues_of_worker((queue,))
    identity = WorkerIdentity(
        worker_id, f"test-{worker_id.hex}", "here", 1, queues, (KIND,), slots, predict_slots or 0, gpus
    )
    async with database.connection() as connection:
        await workers.renew(connection, identity)
        await connection.execute(
            "UPDATE workers SET seen_at = now() + interval '1 day' WHERE id = $1", worker_id
        )
    return worker_id


async def expire_lease(
    database: Database, worker_id: UUID, *, unseen: timedelta = timedelta(minutes=1)
) -> None:
    """Make the worker last seen longer ago than any lease, but not so long that a running API forgets it."""
    async with database.connection() as connection:
        await connection.execute(
            "UPDATE workers SET seen_at = now() - $2::interval WHERE id = $1", worker_id, unseen
        )


async def create(
    database: Database,
    owner_id: UUID | None = None,
    *,
    kind: str = KIND,
    queue: str = "default",
    priority: Priority = Priority.NORMAL,
    rows: int = 25,
    total_is_known: bool = True,
    max_attempts: int = 3,
    retention_seconds: int = 3600,
    metadata: dict[str, str] | None = None,
    run_at: datetime | None = None,
    delay: timedelta | None = None,
    idempotency_key: str | None = None,
    gpus: int = 0,
) -> UUID:
    """Create a pending job with `rows` rows and return its id. Its owner is a new user unless given."""
    owner_id = owner_id or await user(database)
    job = NewJob(
        id=ids.new_id(),
        owner_id=owner_id,
        kind=kind,
        queue=queue,
        priority=priority,
        head_start=HEAD_START[priority],
        params=msgspec.json.encode(PARAMS),
        rows=msgspec.json.encode([f"text {row}" for row in range(rows)]),
        total=rows if total_is_known else None,
        metadata=metadata or {},
        max_attempts=max_attempts,
        soft_limit_seconds=60,
        time_limit_seconds=60,
        retention_seconds=retention_seconds,
        run_at=run_at,
        delay=delay,
        idempotency_key=idempotency_key,
        gpus=gpus,
    )
    async with database.connection() as connection:
        assert await transitions.create(UnitOfWork(connection), job) is not None
    return job.id


async def sharded(
    database: Database,
    owner_id: UUID | None = None,
    *,
    shards: int = 3,
    rows_of_shard: int = 20,
    rows: int | None = None,
    max_failed: int = 0,
    max_row_errors: int | None = None,
    max_attempts: int = 3,
    priority: Priority = Priority.NORMAL,
    queue: str = "default",
    retention_seconds: int = 3600,
    delay: timedelta | None = None,
) -> UUID:
    """Create a pending job that is divided into shards and return its id; `rows` in all."""
    plan = ShardPlan(shards, rows_of_shard, max_failed)
    job = NewJob(
        id=ids.new_id(),
        owner_id=owner_id or await user(database),
        kind=KIND,
        queue=queue,
        priority=priority,
        head_start=HEAD_START[priority],
        params=msgspec.json.encode({**PARAMS, "max_row_errors": max_row_errors}),
        rows=None,
        total=shards * rows_of_shard if rows is None else rows,
        metadata={},
        max_attempts=max_attempts,
        soft_limit_seconds=60,
        time_limit_seconds=60,
        retention_seconds=retention_seconds,
        delay=delay,
        shards=plan,
    )
    async with database.connection() as connection:
        assert await transitions.create(UnitOfWork(connection), job) is not None
    return job.id


async def roll_up(database: Database, parent_id: UUID) -> tuple[TransitionResult, ...]:
    """Bring a parent up to date with its shards, in one transaction; return what was changed."""
    async with database.connection() as connection:
        unit = UnitOfWork(connection)
        async with unit.transaction():
            if await shard_transitions.lock(unit, parent_id):
                await shard_transitions.roll_up(unit, [parent_id])
        return unit.results


async def flood(
    database: Database, owner_id: UUID, count: int, *, priority: Priority = Priority.NORMAL, kind: str = KIND
) -> None:
    """Insert `count` pending jobs of one row each that have been due for a second at most, oldest first."""
    await fill(
        database,
        """INSERT INTO jobs (id, owner_id, kind, queue, priority, run_at, sort_key, params, max_attempts,
            total, soft_limit_seconds, time_limit_seconds, retention_seconds)
        SELECT gen_random_uuid(), $1, $3, 'default', $4, due.at, due.at - $5::interval, '{}', 3,
            1, 60, 60, 60
        FROM generate_series(1, $2) n
        CROSS JOIN LATERAL (SELECT now() - make_interval(secs => 1 - n / $2::float8) AS at) due""",
        *(owner_id, count, kind, priority.value, HEAD_START[priority]),
    )


async def read(database: Database, job_id: UUID) -> Job:
    """The job as queries return it."""
    async with database.connection() as connection:
        job = await queries.job(connection, job_id)
    assert job is not None
    return job


async def claim_all(
    database: Database,
    worker_id: UUID,
    *,
    queue: str = "default",
    kinds: Sequence[str] = (KIND,),
    limit: int = 1000,
    order: ClaimOrder = ClaimOrder.TURNS,
    max_running: int | None = None,
    slot_gpus: int = 0,
) -> list[ClaimedJob]:
    """Claim up to `limit` jobs for the worker."""
    async with database.connection() as connection:
        return await transitions.claim(
            UnitOfWork(connection),
            queue=queue,
            kinds=kinds,
            worker_id=worker_id,
            limit=limit,
            max_running=max_running,
            order=order,
            slot_gpus=slot_gpus,
        )


async def claim(database: Database, worker_id: UUID | None = None, *, queue: str = "default") -> ClaimedJob:
    """Claim the next job for the worker, or for a new worker unless given."""
    [claimed] = await claim_all(database, worker_id or await worker(database), queue=queue, limit=1)
    return claimed


async def running(
    database: Database, owner_id: UUID | None = None, *, rows: int = 25, queue: str = "default"
) -> ClaimedJob:
    """Create a job and claim it for a new worker. The queue must have no other pending job.

    If a real worker is running too, pass a queue that it does not serve, or it may claim the job first.
    """
    await create(database, owner_id, rows=rows, queue=queue)
    return await claim(database, queue=queue)


def prediction(row: int) -> dict[str, object]:
    """Return the test model's prediction for a row."""
    return {"label": "positive", "score": row / 1000, "scores": {"positive": 1.0, "row": row}}


def output(first_row: int, row_count: int) -> bytes:
    """Return the predictions for some rows as NDJSON."""
    rows = range(first_row, first_row + row_count)
    return b"".join(msgspec.json.encode({"prediction": prediction(row)}) + b"\n" for row in rows)


def batches(job: ClaimedJob, *, first: int, count: int, size: int = BATCH_SIZE) -> tuple[Batch, ...]:
    """Return `count` batches of a job, starting with batch `first`. The job's last one may be smaller."""
    found = []
    for index in range(first, first + count):
        first_row = index * size
        row_count = size if job.total is None else min(size, job.total - first_row)
        computed = output((job.first_row or 0) + first_row, row_count)
        found.append(Batch(first_row, row_count, computed, f"Batch {index + 1}"))
    return tuple(found)


def report(
    job: ClaimedJob,
    *,
    first: int | None = None,
    count: int = 1,
    size: int = BATCH_SIZE,
    is_final: bool = False,
    attempt: int | None = None,
    checkpoint: bytes | None = None,
    measurements: Measurements = NOT_MEASURED,
) -> Report:
    """Return the report of an attempt's next batches; with `is_final`, it also completes the job."""
    first = job.next_batch if first is None else first
    return Report(
        job_id=job.id,
        attempt=job.attempt if attempt is None else attempt,
        first_batch=first,
        batches=batches(job, first=first, count=count, size=size),
        checkpoint=checkpoint,
        result=msgspec.json.encode(RESULT) if is_final else None,
        measurements=measurements,
    )


def replaced(report: Report, *, output: bytes, errors: int) -> Report:
    """Return a report with another output of its first batch, of whose rows so many have an error."""
    first, *others = report.batches
    batch = dataclasses.replace(first, output=output, errors=errors)
    return dataclasses.replace(report, batches=(batch, *others))


async def advance(
    database: Database, *reports: Report, worker_id: UUID | None = None
) -> dict[UUID, TransitionResult]:
    """Commit the reports in one statement."""
    async with database.connection() as connection:
        return await transitions.advance(
            UnitOfWork(connection), worker_id=worker_id or ids.new_id(), reports=reports
        )


async def commit(
    database: Database, job: ClaimedJob, *, first: int | None = None, count: int = 1
) -> TransitionResult:
    """Commit the next batches of a job."""
    return (await advance(database, report(job, first=first, count=count)))[job.id]


async def complete(database: Database, job: ClaimedJob) -> TransitionResult:
    """Commit all remaining batches and the result."""
    assert job.total is not None
    count = -(-job.total // BATCH_SIZE) - job.next_batch
    return (await advance(database, report(job, count=count, is_final=True)))[job.id]


async def fail(
    database: Database, job: ClaimedJob, *, is_retryable: bool = True, delay_seconds: float = 0.0
) -> TransitionResult | None:
    """End the attempt with an error."""
    async with database.connection() as connection:
        return await transitions.fail(
            UnitOfWork(connection),
            job_id=job.id,
            attempt=job.attempt,
            error=ERROR,
            traceback="Traceback: boom",
            is_retryable=is_retryable,
            delay_seconds=delay_seconds,
        )


async def release(
    database: Database, job: ClaimedJob, *, measurements: Measurements = NOT_MEASURED
) -> TransitionResult | None:
    """Return the job to the queue."""
    async with database.connection() as connection:
        return await transitions.release(
            UnitOfWork(connection), job_id=job.id, attempt=job.attempt, measurements=measurements
        )


async def stop(database: Database, job: ClaimedJob) -> TransitionResult | None:
    """End the attempt because a cancel has been requested."""
    async with database.connection() as connection:
        return await transitions.stop(UnitOfWork(connection), job_id=job.id, attempt=job.attempt)


async def cancel(database: Database, job_id: UUID) -> TransitionResult | None:
    """Request the job's cancellation."""
    async with database.connection() as connection:
        return await transitions.cancel(UnitOfWork(connection), job_id=job_id)


async def retry(database: Database, job_id: UUID, *, from_start: bool = False) -> TransitionResult | None:
    """Retry a failed or cancelled job."""
    async with database.connection() as connection:
        return await transitions.retry(
            UnitOfWork(connection),
            job_id=job_id,
            from_start=from_start,
            head_start=HEAD_START[Priority.NORMAL],
        )


async def rescue(database: Database, *, lease: timedelta = LEASE) -> list[TransitionResult]:
    """Rescue the jobs of workers whose lease has expired; the jobs are due again immediately."""
    async with database.connection() as connection:
        return await transitions.rescue(UnitOfWork(connection), lease=lease, delays_seconds=[0.0], limit=1000)
