"""The one door through which a job changes state.

Each function is one SQL statement, and so one transaction: the guarded change of the `jobs` row, what it
stores, and the event that tells of it. Nothing is ever done twice, for three reasons:

1.  **The fence.** A worker's write carries the number of its attempt, and changes nothing unless
    `status = 'running' AND attempt = :n` still holds. `attempt` only grows, at each claim. So whoever was
    rescued from, cancelled or forgotten writes into the void and learns it from the empty answer.
2.  **The cursor.** A batch is stored only if `next_batch` is exactly its index, and moves it on in the same
    statement. A batch that is sent twice finds the cursor moved.
3.  **The row lock.** The UPDATE holds the row until its commit, and `last_seq` numbers the events in that
    same UPDATE: 1, 2, 3 … in commit order, without gaps.

An empty answer means "somebody was first" or "no longer yours", never "it failed": failures raise.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from app.core.files import StoredFile
from app.jobs.events import Event
from app.jobs.states import EventType, Outcome, Status
from app.jobs.transition_types import Batch, ClaimedJob, NewJob, Report, TransitionResult

# Parts that the statements share. `j` is the row as the UPDATE leaves it.

_EVENT_DATA: Final = """jsonb_build_object(
        'status', j.status, 'progress', j.progress, 'done', j.done, 'total', j.total, 'step', j.step,
        'attempt', j.attempt)"""

# What the caller gets back: the jobs that moved, each with its events.
_ANSWER: Final = """
SELECT j.id, j.owner_id, j.queue, j.kind, j.status, j.worker_id, j.run_at <= now() AS is_due,
    e.seq, e.type, e.at, e.data::text AS data
FROM logged e JOIN moved j ON j.id = e.job_id
ORDER BY e.job_id, e.seq"""

_CREATE: Final = f"""
WITH moved AS (
    INSERT INTO jobs AS j (
        id, owner_id, kind, queue, priority, sort_key, params, metadata, max_attempts, total, run_at,
        soft_limit_seconds, time_limit_seconds, retention_seconds, idempotency_key, request_digest,
        group_id, files, dataset_id, model_version_id, stored_bytes, upload_bytes, last_seq)
    SELECT $1, $2, $3, $4, $5, due.at - $6::interval, $7, $8, $9, $10, due.at, $11, $12, $13, $14, $15, $19,
        $20, $21, $22, coalesce(octet_length($18::bytea), 0), $23, 1
    -- `greatest` passes over NULL. A start in the past is no way to the head of the queue.
    FROM (SELECT greatest($16, now() + $17::interval, now()) AS at) due
    ON CONFLICT (owner_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
    RETURNING j.*
), stored AS (
    INSERT INTO job_payloads (job_id, rows) SELECT j.id, $18 FROM moved j WHERE $18::bytea IS NOT NULL
), logged AS (
    INSERT INTO job_events (job_id, owner_id, seq, type, data)
    SELECT j.id, j.owner_id, j.last_seq, 'created', {_EVENT_DATA} FROM moved j
    RETURNING job_id, seq, type, at, data
)
{_ANSWER}"""

_CLAIM: Final = f"""
WITH next AS (
    SELECT id, run_at FROM jobs
    WHERE queue = $1 AND status = 'pending' AND kind = ANY ($2::text[])
        -- A job is never due before its sort key: this bounds the walk past the delayed ones.
        AND sort_key <= now() AND run_at <= now()
    ORDER BY sort_key, id
    LIMIT $4
    FOR UPDATE SKIP LOCKED
), moved AS (
    UPDATE jobs j SET
        status = 'running', attempt = j.attempt + 1, worker_id = $3, last_seq = j.last_seq + 1,
        started_at = coalesce(j.started_at, now()), attempt_started_at = now(), attempt_first_row = j.done
    FROM next WHERE j.id = next.id
    RETURNING j.*
), logged AS (
    INSERT INTO job_events (job_id, owner_id, seq, type, data)
    SELECT j.id, j.owner_id, j.last_seq, 'started', {_EVENT_DATA} FROM moved j
    RETURNING job_id, seq, type, at, data
)
SELECT j.id, j.attempt, j.owner_id, j.kind, j.queue, j.params::text AS params, p.rows, j.total, j.next_batch,
    j.done, j.errors, j.files, j.group_id, j.dataset_id, c.data AS checkpoint, c.file AS checkpoint_file,
    j.soft_limit_seconds, j.time_limit_seconds, j.failures, j.max_attempts,
    extract(epoch FROM now() - j.run_at)::float8 AS waited_seconds,
    e.seq, e.type, e.at, e.data::text AS data
FROM moved j
JOIN logged e ON e.job_id = j.id
LEFT JOIN job_payloads p ON p.job_id = j.id
LEFT JOIN job_checkpoints c ON c.job_id = j.id
ORDER BY j.sort_key, j.id"""

# Few jobs run, and an index finds them. Jobs claimed elsewhere at the same moment are not seen, so an owner
# may be over the limit by as many for a while.
_CLAIM_IN_TURN: Final = _CLAIM.replace(
    "WITH next AS (",
    """WITH served AS (
    SELECT owner_id FROM jobs WHERE status = 'running' GROUP BY owner_id HAVING count(*) >= $5
), next AS (""",
).replace(
    "AND sort_key <= now()",
    "AND NOT owner_id = ANY (ARRAY(SELECT owner_id FROM served)) AND sort_key <= now()",
)

_ADVANCE: Final = f"""
WITH report AS (
    SELECT * FROM unnest($1::uuid[], $2::int[], $3::int[], $4::int[], $5::bigint[], $6::text[], $7::bytea[],
        $8::boolean[], $9::text[], $19::int[], $20::text[], $21::boolean[], $23::bigint[], $24::bigint[])
        AS r (job_id, attempt, first_batch, batch_count, row_count, step, checkpoint, is_final, result,
            error_count, checkpoint_file, is_early, batch_bytes, checkpoint_bytes)
), batch AS (
    SELECT * FROM unnest($10::uuid[], $11::int[], $12::bigint[], $13::int[], $14::bigint[], $15::text[],
        $16::bytea[], $17::text[], $22::text[], $25::bigint[])
        AS b (job_id, position, first_row, row_count, rows_through, step, output, data, part_key, bytes)
), moved AS (
    UPDATE jobs j SET
        next_batch = j.next_batch + r.batch_count,
        done = j.done + r.row_count,
        errors = j.errors + r.error_count,
        total = CASE WHEN r.is_early THEN j.done + r.row_count ELSE j.total END,
        step = coalesce(r.step, j.step),
        stored_bytes = j.stored_bytes + r.batch_bytes + coalesce(r.checkpoint_bytes - j.checkpoint_bytes, 0),
        checkpoint_bytes = coalesce(r.checkpoint_bytes, j.checkpoint_bytes),
        last_seq = j.last_seq + r.batch_count + r.is_final::int,
        -- Once its cancel was asked for, a job never completes, however near its end it was.
        status = CASE WHEN NOT r.is_final THEN j.status
            WHEN j.cancel_requested_at IS NULL THEN 'completed' ELSE 'cancelled' END,
        result = CASE WHEN j.cancel_requested_at IS NULL THEN r.result::jsonb END,
        error = CASE WHEN NOT r.is_final THEN j.error END,
        worker_id = CASE WHEN NOT r.is_final THEN j.worker_id END,
        finished_at = CASE WHEN r.is_final THEN now() END,
        expires_at = CASE WHEN r.is_final THEN now() + make_interval(secs => j.retention_seconds) END
    FROM report r
    WHERE j.id = r.job_id AND j.attempt = r.attempt AND j.status = 'running' AND j.next_batch = r.first_batch
    RETURNING j.*, r.is_final, r.checkpoint, r.checkpoint_file, r.first_batch,
        j.done - r.row_count AS done_before,
        j.last_seq - r.batch_count - r.is_final::int AS seq_before
), stored AS (
    INSERT INTO job_batches (job_id, index, first_row, row_count, attempt, output, part_key, bytes)
    SELECT j.id, j.first_batch + b.position, b.first_row, b.row_count, j.attempt, b.output, b.part_key,
        b.bytes
    FROM batch b JOIN moved j ON j.id = b.job_id
), saved AS (
    INSERT INTO job_checkpoints (job_id, next_batch, data, file)
    SELECT j.id, j.next_batch, j.checkpoint, j.checkpoint_file::jsonb
    FROM moved j WHERE num_nonnulls(j.checkpoint, j.checkpoint_file) = 1
    ON CONFLICT (job_id) DO UPDATE
        SET next_batch = excluded.next_batch, data = excluded.data, file = excluded.file
), ended AS (
    INSERT INTO job_attempts (job_id, attempt, kind, queue, worker_id, due_at, started_at, outcome)
    SELECT j.id, j.attempt, j.kind, j.queue, $18, j.run_at, j.attempt_started_at, j.status
    FROM moved j WHERE j.is_final
), logged AS (
    INSERT INTO job_events (job_id, owner_id, seq, type, data)
    SELECT j.id, j.owner_id, j.seq_before + 1 + b.position, 'progress',
        jsonb_build_object(
        'status', 'running', 'progress', job_progress(j.done_before + b.rows_through, j.total),
        'done', j.done_before + b.rows_through, 'total', j.total, 'step', b.step, 'attempt', j.attempt,
        'batch', j.first_batch + b.position) || b.data::jsonb
    FROM batch b JOIN moved j ON j.id = b.job_id
    UNION ALL
    SELECT j.id, j.owner_id, j.last_seq, j.status,
        {_EVENT_DATA} || jsonb_build_object('result', j.result, 'error', j.error)
    FROM moved j WHERE j.is_final
    RETURNING job_id, seq, type, at, data
)
{_ANSWER}"""


def _leave(held: str) -> str:
    """The statement by which jobs leave `running` without being done.

    `held` selects the rows, locked. $1 says which pending event tells of it, $2 the outcome of the attempt,
    $3 whether it counts as a failure, $4 whether such a failure is ever retried, $5 the seconds to wait
    before the next attempt for the n-th failure (the last one serves all that follow), $6 the error, $7 its
    traceback, $8 whether the end is a cancellation whoever asked for it.
    """
    return f"""
WITH held AS ({held}), decided AS (
    SELECT h.id, h.worker_id, h.run_at,
        CASE WHEN h.cancel_requested_at IS NOT NULL OR $8::boolean THEN 'cancelled'
            WHEN NOT $3::boolean THEN 'pending'
            WHEN $4::boolean AND h.failures + 1 < h.max_attempts THEN 'pending'
            ELSE 'failed' END AS next_status,
        ($5::float8[])[least(h.failures + 1, cardinality($5::float8[]))] AS delay_seconds
    FROM held h
), moved AS (
    UPDATE jobs j SET
        status = d.next_status,
        worker_id = NULL,
        failures = j.failures + $3::boolean::int,
        run_at = CASE WHEN d.next_status = 'pending'
            THEN now() + make_interval(secs => d.delay_seconds) ELSE j.run_at END,
        error = coalesce($6::jsonb || jsonb_build_object('attempt', j.attempt), j.error),
        finished_at = CASE WHEN d.next_status <> 'pending' THEN now() END,
        expires_at = CASE WHEN d.next_status <> 'pending'
            THEN now() + make_interval(secs => j.retention_seconds) END,
        last_seq = j.last_seq + 1
    FROM decided d WHERE j.id = d.id
    RETURNING j.*, d.worker_id AS left_worker_id, d.run_at AS was_due_at
), ended AS (
    INSERT INTO job_attempts (
        job_id, attempt, kind, queue, worker_id, due_at, started_at, outcome, error, traceback)
    SELECT j.id, j.attempt, j.kind, j.queue, j.left_worker_id, j.was_due_at, j.attempt_started_at,
        CASE j.status WHEN 'cancelled' THEN 'cancelled' ELSE $2 END, $6, $7
    FROM moved j
), logged AS (
    INSERT INTO job_events (job_id, owner_id, seq, type, data)
    SELECT j.id, j.owner_id, j.last_seq, CASE j.status WHEN 'pending' THEN $1 ELSE j.status END,
        {_EVENT_DATA} || jsonb_build_object('result', j.result, 'error', j.error)
    FROM moved j
    RETURNING job_id, seq, type, at, data
)
{_ANSWER}"""


_LEAVE_ONE: Final = _leave(
    "SELECT * FROM jobs WHERE id = $9 AND attempt = $10 AND status = 'running' FOR UPDATE"
)

_RESCUE: Final = _leave(
    """
    SELECT * FROM jobs j
    WHERE j.status = 'running'
        AND now() > pg_postmaster_start_time() + $9::interval
        AND NOT EXISTS (SELECT FROM workers w WHERE w.id = j.worker_id AND w.seen_at > now() - $9::interval)
    ORDER BY j.sort_key LIMIT $10
    FOR UPDATE SKIP LOCKED"""
)

_CANCEL: Final = f"""
WITH moved AS (
    UPDATE jobs j SET
        cancel_requested_at = now(),
        status = CASE j.status WHEN 'pending' THEN 'cancelled' ELSE j.status END,
        finished_at = CASE j.status WHEN 'pending' THEN now() END,
        expires_at = CASE j.status WHEN 'pending' THEN now() + make_interval(secs => j.retention_seconds) END,
        last_seq = j.last_seq + 1
    WHERE j.id = $1 AND j.status IN ('pending', 'running') AND j.cancel_requested_at IS NULL
    RETURNING j.*
), logged AS (
    INSERT INTO job_events (job_id, owner_id, seq, type, data)
    SELECT j.id, j.owner_id, j.last_seq,
        CASE j.status WHEN 'running' THEN 'cancel_requested' ELSE 'cancelled' END,
        {_EVENT_DATA} || jsonb_build_object('result', j.result, 'error', j.error)
    FROM moved j
    RETURNING job_id, seq, type, at, data
)
{_ANSWER}"""


_RETRY: Final = f"""
WITH moved AS (
    UPDATE jobs j SET
        status = 'pending', failures = 0, cancel_requested_at = NULL, finished_at = NULL, expires_at = NULL,
        dismissed_at = NULL, result = NULL, run_at = now(), sort_key = now() - $3::interval,
        next_batch = CASE WHEN $2 THEN 0 ELSE j.next_batch END,
        done = CASE WHEN $2 THEN 0 ELSE j.done END,
        errors = CASE WHEN $2 THEN 0 ELSE j.errors END,
        step = CASE WHEN $2 THEN NULL ELSE j.step END,
        stored_bytes = CASE WHEN $2 THEN coalesce(
            (SELECT octet_length(p.rows) FROM job_payloads p WHERE p.job_id = j.id), 0)
            ELSE j.stored_bytes END,
        checkpoint_bytes = CASE WHEN $2 THEN 0 ELSE j.checkpoint_bytes END,
        last_seq = j.last_seq + 1
    WHERE j.id = $1 AND j.status IN ('failed', 'cancelled') AND j.pruned_at IS NULL
    RETURNING j.*
), cleared_batches AS (
    DELETE FROM job_batches b USING moved j WHERE b.job_id = j.id AND $2
), cleared_checkpoint AS (
    DELETE FROM job_checkpoints c USING moved j WHERE c.job_id = j.id AND $2
), logged AS (
    INSERT INTO job_events (job_id, owner_id, seq, type, data)
    SELECT j.id, j.owner_id, j.last_seq, 'retried', {_EVENT_DATA} FROM moved j
    RETURNING job_id, seq, type, at, data
)
{_ANSWER}"""


async def create(connection: asyncpg.Connection, job: NewJob) -> TransitionResult | None:
    """Store a new job with its payload and its first event.

    None when the owner's idempotency key is taken already: by which job, `queries` tells.
    """
    rows = await connection.fetch(
        _CREATE,
        job.id,
        job.owner_id,
        job.kind,
        job.queue,
        job.priority,
        job.head_start,
        job.params,
        job.metadata,
        job.max_attempts,
        job.total,
        job.soft_limit_seconds,
        job.time_limit_seconds,
        job.retention_seconds,
        job.idempotency_key,
        job.request_digest,
        job.run_at,
        job.delay,
        job.rows,
        job.group_id,
        None if job.files is None else msgspec.json.encode(job.files),
        job.dataset_id,
        job.model_version_id,
        job.upload_bytes,
    )
    return _first(_transition_result(rows))


async def claim(
    connection: asyncpg.Connection,
    *,
    queue: str,
    kinds: Sequence[str],
    worker_id: UUID,
    limit: int,
    max_running: int = 0,
) -> list[tuple[ClaimedJob, Event]]:
    """Take the first due jobs of a queue for a worker, each with the event that says so.

    Those of owners of whom `max_running` jobs run already are passed over; 0 is no limit. With a limit, jobs
    are taken one by one.

    At most `limit`, in order of their sort key, and only of the kinds that this worker knows. Jobs that
    another worker is taking at this moment are passed over, not waited for.
    """
    if max_running:
        rows = await connection.fetch(_CLAIM_IN_TURN, queue, list(kinds), worker_id, 1, max_running)
    else:
        rows = await connection.fetch(_CLAIM, queue, list(kinds), worker_id, limit)
    return [(_claimed(row), _event(row)) for row in rows]


async def advance(
    connection: asyncpg.Connection, *, worker_id: UUID, reports: Sequence[Report]
) -> dict[UUID, TransitionResult]:
    """Commit what attempts have computed, and settle those that are done. At most one report a job.

    Each report stands for itself: it is applied whole, or, if the attempt is fenced off or its first batch
    is not the next one, not at all. The answer holds the jobs whose report was applied.
    """
    batches = [
        (report.job_id, position, batch)
        for report in reports
        for position, batch in enumerate(report.batches)
    ]
    rows = await connection.fetch(
        _ADVANCE,
        [report.job_id for report in reports],
        [report.attempt for report in reports],
        [report.first_batch for report in reports],
        [len(report.batches) for report in reports],
        [sum(batch.row_count for batch in report.batches) for report in reports],
        [report.batches[-1].step if report.batches else None for report in reports],
        [report.checkpoint for report in reports],
        [report.is_final for report in reports],
        [None if report.result is None else report.result.decode() for report in reports],
        [job_id for job_id, _, _ in batches],
        [position for _, position, _ in batches],
        [batch.first_row for _, _, batch in batches],
        [batch.row_count for _, _, batch in batches],
        [rows_through for report in reports for rows_through in _running_sums(report.batches)],
        [batch.step for _, _, batch in batches],
        [batch.output for _, _, batch in batches],
        [batch.data.decode() for _, _, batch in batches],
        worker_id,
        [sum(batch.errors for batch in report.batches) for report in reports],
        [_json_or_none(report.checkpoint_file) for report in reports],
        [report.is_early for report in reports],
        [batch.part_key for _, _, batch in batches],
        [report.batch_bytes for report in reports],
        [report.checkpoint_bytes for report in reports],
        [batch.bytes for _, _, batch in batches],
    )
    return {transition.job_id: transition for transition in _transition_result(rows)}


async def fail(
    connection: asyncpg.Connection,
    *,
    job_id: UUID,
    attempt: int,
    error: dict[str, Any],
    traceback: str | None,
    is_retryable: bool,
    delay_seconds: float,
) -> TransitionResult | None:
    """End an attempt that failed: the job waits for its next attempt, or has failed for good.

    `error` has `code`, `message` and `retryable`; the number of the attempt is added here.
    """
    rows = await connection.fetch(
        _LEAVE_ONE,
        EventType.RETRYING,
        Outcome.FAILED,
        True,
        is_retryable,
        [delay_seconds],
        error,
        traceback,
        False,
        job_id,
        attempt,
    )
    return _first(_transition_result(rows))


async def release(connection: asyncpg.Connection, *, job_id: UUID, attempt: int) -> TransitionResult | None:
    """Give a job back unfinished, through no fault of its own: progress kept, budget untouched."""
    rows = await connection.fetch(
        _LEAVE_ONE,
        EventType.RELEASED,
        Outcome.RELEASED,
        False,
        True,
        [0.0],
        None,
        None,
        False,
        job_id,
        attempt,
    )
    return _first(_transition_result(rows))


async def stop(connection: asyncpg.Connection, *, job_id: UUID, attempt: int) -> TransitionResult | None:
    """End an attempt whose child was stopped because the job's cancel was asked for."""
    rows = await connection.fetch(
        _LEAVE_ONE,
        EventType.RELEASED,
        Outcome.CANCELLED,
        False,
        True,
        [0.0],
        None,
        None,
        True,
        job_id,
        attempt,
    )
    return _first(_transition_result(rows))


async def rescue(
    connection: asyncpg.Connection, *, lease: timedelta, delays_seconds: Sequence[float], limit: int
) -> list[TransitionResult]:
    """Take the running jobs of workers that were not seen for a lease.

    A failure is counted, for the job may be what killed its worker. `delays_seconds[n - 1]` is the wait
    after the n-th failure. Right after a start of Postgres nobody is taken from: no worker could be seen.
    The caller sees to the grace rule, which looks at its own contact with Postgres.
    """
    error = {"code": "worker_lost", "message": "The worker that ran this job was lost.", "retryable": True}
    rows = await connection.fetch(
        _RESCUE,
        EventType.RESCUED,
        Outcome.RESCUED,
        True,
        True,
        list(delays_seconds),
        error,
        None,
        False,
        lease,
        limit,
    )
    return _transition_result(rows)


async def cancel(connection: asyncpg.Connection, *, job_id: UUID) -> TransitionResult | None:
    """Cancel a pending job, or ask for the cancel of a running one.

    None when there is nothing to do: the job has ended, or its cancel was asked for before.
    """
    return _first(_transition_result(await connection.fetch(_CANCEL, job_id)))


async def retry(
    connection: asyncpg.Connection, *, job_id: UUID, from_start: bool, head_start: timedelta
) -> TransitionResult | None:
    """Let a failed or cancelled job run again, with its whole budget, due now.

    From its last commit, or with everything it has computed cleared. None when the job is in no state to be
    tried again, or its rows were pruned.
    """
    return _first(_transition_result(await connection.fetch(_RETRY, job_id, from_start, head_start)))


def _running_sums(batches: Sequence[Batch]) -> list[int]:
    sums, rows = [], 0
    for batch in batches:
        rows += batch.row_count
        sums.append(rows)
    return sums


def _json_or_none(file: StoredFile | None) -> str | None:
    return None if file is None else msgspec.json.encode(file).decode()


def _claimed(row: asyncpg.Record) -> ClaimedJob:
    return ClaimedJob(
        id=row["id"],
        attempt=row["attempt"],
        owner_id=row["owner_id"],
        kind=row["kind"],
        queue=row["queue"],
        params=row["params"].encode(),
        rows=row["rows"],
        total=row["total"],
        next_batch=row["next_batch"],
        done=row["done"],
        checkpoint=row["checkpoint"],
        soft_limit_seconds=row["soft_limit_seconds"],
        time_limit_seconds=row["time_limit_seconds"],
        failures=row["failures"],
        max_attempts=row["max_attempts"],
        waited_seconds=row["waited_seconds"],
        errors=row["errors"],
        files=msgspec.convert(row["files"] or {}, dict[str, StoredFile]),
        checkpoint_file=msgspec.convert(row["checkpoint_file"], StoredFile | None),
        group_id=row["group_id"],
        dataset_id=row["dataset_id"],
    )


def _event(row: asyncpg.Record) -> Event:
    return Event(row["id"], row["seq"], EventType(row["type"]), row["at"], msgspec.Raw(row["data"].encode()))


def _transition_result(rows: Sequence[asyncpg.Record]) -> list[TransitionResult]:
    """Gather the rows of an answer, one for each event, into one value a job."""
    events: dict[UUID, list[Event]] = {}
    jobs: dict[UUID, asyncpg.Record] = {}
    for row in rows:
        jobs[row["id"]] = row
        events.setdefault(row["id"], []).append(_event(row))
    return [
        TransitionResult(
            job_id=job_id,
            owner_id=row["owner_id"],
            queue=row["queue"],
            kind=row["kind"],
            status=Status(row["status"]),
            worker_id=row["worker_id"],
            is_due=row["is_due"],
            events=tuple(events[job_id]),
        )
        for job_id, row in jobs.items()
    ]


def _first(transition: Sequence[TransitionResult]) -> TransitionResult | None:
    return transition[0] if transition else None
