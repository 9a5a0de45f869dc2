"""The only module that changes the state of a job; for shards and their parents, with `shards.transitions`.

Each function runs one statement of `transition_statements`, and so one transaction: the guarded change of the
`jobs` row, what it stores, and the event that describes it. Nothing is ever done twice, for three reasons:

1.  **The fence.** A worker's write names its attempt and changes nothing unless `status = 'running' AND
    attempt = :attempt` still holds. `attempt` grows by one at each claim and never falls. A worker whose job
    was rescued or cancelled therefore changes nothing, and learns it from the empty result.
2.  **The cursor.** A batch is stored only if its index equals `next_batch`, which the same statement
    advances. A batch that is sent twice no longer matches the cursor.
3.  **The row lock.** The UPDATE holds the row until its commit, and `last_seq` numbers the events in that
    same UPDATE: 1, 2, 3 … in commit order, without gaps.

An empty result means that another process was first or that the worker has lost the job, never that the
statement failed: failures raise. Every function records what it changed in the caller's unit of work, which
publishes it after the commit.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from app.core.config import ClaimOrder
from app.core.files import StoredFile
from app.core.rows import Row
from app.jobs import transition_statements as statements
from app.jobs.shards import transitions as shards
from app.jobs.states import EventType, Outcome
from app.jobs.transition_types import (
    NOT_MEASURED,
    AttemptEnd,
    ClaimedJob,
    Measurements,
    NewJob,
    Report,
    TransitionResult,
)
from app.jobs.turns import CANDIDATES
from app.jobs.unit_of_work import UnitOfWork


async def create(unit: UnitOfWork, job: NewJob) -> TransitionResult | None:
    """Store a new job with its payload, its first event and its shards. It must not be of a schedule.

    Return None if the owner's idempotency key is taken; `queries.job_by_key` finds the job that has it.
    """
    if job.shards is None:
        return await _create(unit, job)
    async with unit.transaction():
        created = await _create(unit, job)
        if created is not None:
            await shards.create_shards(unit, job.id, job.shards)
        return created


async def _create(unit: UnitOfWork, job: NewJob) -> TransitionResult | None:
    rows = await statements.CREATE.fetch(
        unit.connection,
        id=job.id,
        owner_id=job.owner_id,
        kind=job.kind,
        queue=job.queue,
        priority=job.priority,
        head_start=job.head_start,
        params=job.params,
        metadata=job.metadata,
        max_attempts=job.max_attempts,
        total=job.total,
        soft_limit_seconds=job.soft_limit_seconds,
        time_limit_seconds=job.time_limit_seconds,
        retention_seconds=job.retention_seconds,
        idempotency_key=job.idempotency_key,
        request_digest=job.request_digest,
        run_at=job.run_at,
        delay=job.delay,
        rows=job.rows,
        group_id=job.group_id,
        files=None if job.files is None else msgspec.json.encode(job.files),
        dataset_id=job.dataset_id,
        model_version_id=job.model_version_id,
        upload_bytes=job.upload_bytes,
        trace_context=job.trace_context,
        profile=job.is_profiled,
        resubmitted_from=job.resubmitted_from,
        shards=None if job.shards is None else job.shards.shards,
        max_failed_shards=None if job.shards is None else job.shards.max_failed,
        gpus=job.gpus,
    )
    return _only(_record(unit, rows))


async def create_all(unit: UnitOfWork, jobs: Sequence[NewJob]) -> list[TransitionResult]:
    """Store new jobs without idempotency keys, with their payloads, their first events and their shards."""
    if all(job.shards is None for job in jobs):
        return await _create_all(unit, jobs)
    async with unit.transaction():
        created = await _create_all(unit, jobs)
        for job in jobs:
            if job.shards is not None:
                await shards.create_shards(unit, job.id, job.shards)
        return created


async def _create_all(unit: UnitOfWork, jobs: Sequence[NewJob]) -> list[TransitionResult]:
    rows = await statements.CREATE_ALL.fetch(
        unit.connection, **statements.NEW_JOBS.parameters([_new_job_row(job) for job in jobs])
    )
    return _record(unit, rows)


async def claim(
    unit: UnitOfWork,
    *,
    queue: str,
    kinds: Sequence[str],
    worker_id: UUID,
    limit: int,
    max_running: int | None = None,
    order: ClaimOrder = ClaimOrder.TURNS,
    slot_gpus: int = 0,
) -> list[ClaimedJob]:
    """Claim due jobs of a queue for a worker, at most `limit`, the first to claim first.

    Owners take turns (`app.jobs.turns`), and if that yields fewer jobs than `limit`, because other claims
    have locked the candidates or too many owners wait, the rest is claimed in order of the sort keys, unless
    there is none. With `ClaimOrder.PRIORITY`, all are.

    Only jobs of these kinds are claimed, which need at most `slot_gpus` GPUs. Jobs that another worker is
    claiming at this moment are skipped, not waited for. With `max_running`, jobs of owners who have that many
    running jobs, or as many as are set for the owner, are skipped too, and one job at most is claimed; 0
    limits only owners for whom a number is set. Without it, nothing is claimed while a number is set.
    """
    parameters: dict[str, Any] = {
        "queue": queue,
        "kinds": list(kinds),
        "worker_id": worker_id,
        "slot_gpus": slot_gpus,
    }
    in_turn = statements.CLAIM_IN_TURN
    if max_running is not None:
        in_turn = statements.CLAIM_IN_TURN_WITH_LIMIT
        parameters["max_running"] = max_running
        limit = 1
    rows: list[Row] = []
    if order is ClaimOrder.TURNS:
        rows += await in_turn.fetch(unit.connection, limit=limit, **parameters)
    if len(rows) < limit and not _are_all(rows):
        in_order = (
            statements.claim_in_order(limit - len(rows))
            if max_running is None
            else statements.CLAIM_ONE_IN_ORDER_WITH_LIMIT
        )
        rows += await in_order.fetch(unit.connection, **parameters)
    _record(unit, rows)
    return [ClaimedJob.from_row(row) for row in rows]


def _are_all(rows: Sequence[Row]) -> bool:
    """Whether these are all jobs that were claimable: every candidate in turn, and there were only few."""
    return bool(rows) and rows[0]["candidates"] == len(rows) < CANDIDATES


async def advance(
    unit: UnitOfWork, *, worker_id: UUID, reports: Sequence[Report]
) -> dict[UUID, TransitionResult]:
    """Commit what attempts have computed, and complete the jobs that are done. At most one report per job.

    Reports are independent. Each is applied as a whole, or not at all if the attempt is fenced off or its
    first batch is not the next one. Return the results of those that were applied, by job.
    """
    rows = await statements.ADVANCE.fetch(
        unit.connection,
        worker_id=worker_id,
        **statements.REPORTS.parameters([_report_row(report) for report in reports]),
        **statements.BATCHES.parameters([row for report in reports for row in _batch_rows(report)]),
    )
    return {result.job_id: result for result in _record(unit, rows)}


async def fail(
    unit: UnitOfWork,
    *,
    job_id: UUID,
    attempt: int,
    error: dict[str, Any],
    traceback: str | None,
    is_retryable: bool,
    delay_seconds: float,
    measurements: Measurements = NOT_MEASURED,
) -> TransitionResult | None:
    """End an attempt that failed. The job waits for its next attempt, or has failed for good.

    `error` has `code`, `message` and `retryable`; the number of the attempt is added here.
    """
    end = AttemptEnd(
        outcome=Outcome.FAILED,
        pending_event=EventType.RETRYING,
        is_failure=True,
        is_retryable=is_retryable,
        delays_seconds=[delay_seconds],
        error=error,
        traceback=traceback,
        measurements=measurements,
    )
    return await _end_attempt(unit, job_id, attempt, end)


async def release(
    unit: UnitOfWork,
    *,
    job_id: UUID,
    attempt: int,
    delay_seconds: float = 0.0,
    measurements: Measurements = NOT_MEASURED,
) -> TransitionResult | None:
    """End an attempt that has not failed: progress is kept, and it does not count towards max_attempts."""
    end = AttemptEnd(
        outcome=Outcome.RELEASED,
        pending_event=EventType.RELEASED,
        delays_seconds=[delay_seconds],
        measurements=measurements,
    )
    return await _end_attempt(unit, job_id, attempt, end)


async def stop(
    unit: UnitOfWork, *, job_id: UUID, attempt: int, measurements: Measurements = NOT_MEASURED
) -> TransitionResult | None:
    """End an attempt whose child was stopped because the cancellation of the job is requested."""
    end = AttemptEnd(
        outcome=Outcome.CANCELLED,
        pending_event=EventType.RELEASED,
        is_cancelled=True,
        measurements=measurements,
    )
    return await _end_attempt(unit, job_id, attempt, end)


async def rescue(
    unit: UnitOfWork, *, lease: timedelta, delays_seconds: Sequence[float], limit: int
) -> list[TransitionResult]:
    """End the attempts of workers that were not seen for a lease, and count a failure for each.

    It counts because the job itself may have killed its worker. `delays_seconds[n - 1]` is the wait after the
    n-th failure. Within a lease length of the start of Postgres nothing is rescued, because no worker could
    renew its lease before. The caller applies the grace period of `app.maintenance.connectivity`.
    """
    end = AttemptEnd(
        outcome=Outcome.RESCUED,
        pending_event=EventType.RESCUED,
        is_failure=True,
        delays_seconds=delays_seconds,
        error={"code": "worker_lost", "message": "The worker that ran this job was lost.", "retryable": True},
    )
    rows = await statements.RESCUE.fetch(unit.connection, lease=lease, limit=limit, **end.parameters())
    return _record(unit, rows)


async def cancel(unit: UnitOfWork, *, job_id: UUID) -> TransitionResult | None:
    """Cancel a pending job, or request the cancellation of a running one, and of one that has shards.

    Return None if the job has ended or its cancellation was requested before, and for a shard.
    """
    return _only(_record(unit, await statements.CANCEL.fetch(unit.connection, job_id=job_id)))


async def retry(
    unit: UnitOfWork, *, job_id: UUID, from_start: bool, head_start: timedelta
) -> TransitionResult | None:
    """Make a failed or cancelled job pending again, due now, with all its attempts.

    It resumes after its last commit; `from_start` deletes what it has computed. Shards follow their parent.
    Return None if the job is in another state, if its rows were pruned, and for a shard.
    """
    async with unit.transaction():
        rows = await statements.RETRY.fetch(
            unit.connection, job_id=job_id, from_start=from_start, head_start=head_start
        )
        retried = _only(_record(unit, rows))
        if retried is not None and retried.shards is not None:
            await shards.reopen(unit, job_id, from_start=from_start)
    return retried


async def _end_attempt(
    unit: UnitOfWork, job_id: UUID, attempt: int, end: AttemptEnd
) -> TransitionResult | None:
    rows = await statements.END_ATTEMPT.fetch(
        unit.connection, job_id=job_id, attempt=attempt, **end.parameters()
    )
    return _only(_record(unit, rows))


def _record(unit: UnitOfWork, rows: Sequence[Row]) -> list[TransitionResult]:
    results = TransitionResult.from_rows(rows)
    unit.record(results)
    return results


def _only(results: Sequence[TransitionResult]) -> TransitionResult | None:
    return results[0] if results else None


def _new_job_row(job: NewJob) -> dict[str, Any]:
    return {
        "id": job.id,
        "owner_id": job.owner_id,
        "kind": job.kind,
        "queue": job.queue,
        "priority": job.priority,
        "head_start": job.head_start,
        "params": job.params.decode(),
        "rows": job.rows,
        "metadata": msgspec.json.encode(job.metadata).decode(),
        "max_attempts": job.max_attempts,
        "total": job.total,
        "soft_limit_seconds": job.soft_limit_seconds,
        "time_limit_seconds": job.time_limit_seconds,
        "retention_seconds": job.retention_seconds,
        "run_at": job.run_at,
        "delay": job.delay,
        "group_id": job.group_id,
        "files": None if job.files is None else msgspec.json.encode(job.files).decode(),
        "dataset_id": job.dataset_id,
        "model_version_id": job.model_version_id,
        "upload_bytes": job.upload_bytes,
        "trace_context": job.trace_context,
        "schedule_id": job.schedule_id,
        "fire_at": job.fire_at,
        "profile": job.is_profiled,
        "resubmitted_from": job.resubmitted_from,
        "shards": None if job.shards is None else job.shards.shards,
        "max_failed_shards": None if job.shards is None else job.shards.max_failed,
        "gpus": job.gpus,
    }


def _report_row(report: Report) -> dict[str, Any]:
    batches = report.batches
    return {
        "job_id": report.job_id,
        "attempt": report.attempt,
        "first_batch": report.first_batch,
        "batch_count": len(batches),
        "row_count": sum(batch.row_count for batch in batches),
        "error_count": sum(batch.errors for batch in batches),
        "batch_bytes": report.batch_bytes,
        "step": batches[-1].step if batches else None,
        "checkpoint": report.checkpoint,
        "checkpoint_file": _json(report.checkpoint_file),
        "checkpoint_bytes": report.checkpoint_bytes,
        "is_final": report.is_final,
        "is_early": report.is_early,
        **report.measurements.parameters(),
        "result": None if report.result is None else report.result.decode(),
    }


def _batch_rows(report: Report) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    rows_through = 0
    for position, batch in enumerate(report.batches):
        rows_through += batch.row_count
        rows.append(
            {
                "job_id": report.job_id,
                "position": position,
                "first_row": batch.first_row,
                "row_count": batch.row_count,
                "rows_through": rows_through,
                "step": batch.step,
                "output": batch.output,
                "part_key": batch.part_key,
                "bytes": batch.bytes,
                "data": batch.data.decode(),
            }
        )
    return rows


def _json(file: StoredFile | None) -> str | None:
    return None if file is None else msgspec.json.encode(file).decode()
