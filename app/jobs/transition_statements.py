"""The SQL of the transitions. `transitions` says why each statement happens at most once.

Each statement has the same shape: `changed` is the guarded UPDATE (or INSERT) of `jobs`, `logged` writes the
events that describe it, numbered by the `last_seq` that `changed` has advanced, and the result lists the
changed jobs with their events. Where subscriptions may name an event, `told` writes its deliveries. In all
of them `j` is the row as the UPDATE leaves it.
"""

# ruff: noqa: S608  # SQL put together from constants; values are parameters

from functools import cache
from typing import Final

from app.core.sql import RowSet, Statement
from app.jobs import turns
from app.jobs.model_name import MODEL_NAME, MODEL_REFERENCE
from app.jobs.outbox import TOLD

EVENT_DATA: Final = """jsonb_build_object(
        'status', j.status, 'progress', j.progress, 'done', j.done, 'total', j.total, 'step', j.step,
        'attempt', j.attempt)"""

CREATED_DATA: Final = f"""{EVENT_DATA} || jsonb_build_object(
        'kind', j.kind, 'queue', j.queue, 'priority', j.priority, 'model', {MODEL_REFERENCE},
        'group_id', j.group_id)"""

END_DATA: Final = f"{EVENT_DATA} || jsonb_build_object('result', j.result, 'error', j.error)"

EVENT_OWNER: Final = "CASE WHEN j.parent_id IS NULL THEN j.owner_id END"
"""The owner of the events of `j`. Those of a shard have none: they are in no log but its own."""

STATUS_OF_ATTEMPT: Final = "CASE WHEN j.parent_id IS NULL THEN j.status ELSE 'pending' END"
"""The status of the job after an attempt at `j`. The end of a shard is not that of the job it belongs to."""

EXPIRY: Final = "CASE WHEN j.parent_id IS NULL THEN now() + make_interval(secs => j.retention_seconds) END"
"""When the results of `j`, which ends, expire. Those of a shard expire with its parent, and have no time."""

RESULT: Final = """
SELECT j.id AS job_id, j.owner_id, j.queue, j.kind, j.status, j.worker_id, j.run_at <= now() AS is_due,
    j.parent_id, j.shards,
    e.seq, e.type, e.at, e.data::text AS data
FROM logged e JOIN changed j ON j.id = e.job_id
ORDER BY e.job_id, e.seq"""

# Creates a job with its payload and its first event, unless the owner's idempotency key is taken.
CREATE: Final = Statement(f"""
WITH changed AS (
    INSERT INTO jobs AS j (
        id, owner_id, kind, queue, priority, sort_key, run_at, params, metadata, max_attempts, total,
        soft_limit_seconds, time_limit_seconds, retention_seconds, idempotency_key, request_digest,
        group_id, files, dataset_id, model_version_id, stored_bytes, upload_bytes, trace_context, profile,
        resubmitted_from, gpus, shards, max_failed_shards, last_seq)
    SELECT :id, :owner_id, :kind, :queue, :priority, due.at - :head_start::interval, due.at,
        :params, :metadata, :max_attempts, :total,
        :soft_limit_seconds, :time_limit_seconds, :retention_seconds, :idempotency_key, :request_digest,
        :group_id, :files, :dataset_id, :model_version_id, coalesce(octet_length(:rows::bytea), 0),
        :upload_bytes, :trace_context, :profile, :resubmitted_from, :gpus, :shards, :max_failed_shards, 1
    -- `greatest` ignores NULL. A start in the past does not jump the queue.
    FROM (SELECT greatest(:run_at, now() + :delay::interval, now()) AS at) due
    ON CONFLICT (owner_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
    RETURNING j.*
), stored AS (
    INSERT INTO job_payloads (job_id, rows) SELECT j.id, :rows FROM changed j WHERE :rows::bytea IS NOT NULL
), logged AS (
    INSERT INTO job_events (job_id, owner_id, seq, type, data)
    SELECT j.id, {EVENT_OWNER}, j.last_seq, 'created', {CREATED_DATA} FROM changed j
    RETURNING job_id, seq, type, at, data
)
{RESULT}""")

NEW_JOBS: Final = RowSet(
    "new",
    id="uuid",
    owner_id="uuid",
    kind="text",
    queue="text",
    priority="text",
    head_start="interval",
    params="text",
    rows="bytea",
    metadata="text",
    max_attempts="int",
    total="bigint",
    soft_limit_seconds="int",
    time_limit_seconds="int",
    retention_seconds="int",
    run_at="timestamptz",
    delay="interval",
    group_id="uuid",
    files="text",
    dataset_id="uuid",
    model_version_id="uuid",
    upload_bytes="bigint",
    trace_context="text",
    schedule_id="uuid",
    fire_at="timestamptz",
    profile="boolean",
    resubmitted_from="uuid",
    shards="int",
    max_failed_shards="int",
    gpus="smallint",
)

# Creates jobs with their payloads and their first events. None of them has an idempotency key.
CREATE_ALL: Final = Statement(f"""
WITH new AS (
    SELECT * FROM {NEW_JOBS.sql}
), changed AS (
    INSERT INTO jobs AS j (
        id, owner_id, kind, queue, priority, sort_key, run_at, params, metadata, max_attempts, total,
        soft_limit_seconds, time_limit_seconds, retention_seconds,
        group_id, files, dataset_id, model_version_id, stored_bytes, upload_bytes, trace_context, last_seq,
        schedule_id, fire_at, profile, resubmitted_from, gpus, shards, max_failed_shards)
    SELECT new.id, new.owner_id, new.kind, new.queue, new.priority, due.at - new.head_start, due.at,
        new.params::jsonb, new.metadata::jsonb, new.max_attempts, new.total,
        new.soft_limit_seconds, new.time_limit_seconds, new.retention_seconds,
        new.group_id, new.files::jsonb, new.dataset_id, new.model_version_id,
        coalesce(octet_length(new.rows), 0), new.upload_bytes, new.trace_context, 1,
        new.schedule_id, new.fire_at, new.profile, new.resubmitted_from, new.gpus,
        new.shards, new.max_failed_shards
    FROM new CROSS JOIN LATERAL (SELECT greatest(new.run_at, now() + new.delay, now()) AS at) due
    RETURNING j.*
), stored AS (
    INSERT INTO job_payloads (job_id, rows) SELECT id, rows FROM new WHERE rows IS NOT NULL
), logged AS (
    INSERT INTO job_events (job_id, owner_id, seq, type, data)
    SELECT j.id, {EVENT_OWNER}, j.last_seq, 'created', {CREATED_DATA} FROM changed j
    RETURNING job_id, seq, type, at, data
)
{RESULT}""")


def _claim(chosen: str) -> Statement:
    """Return the statement that assigns the jobs of the CTE `next`, which `chosen` ends in, to a worker."""
    return Statement(f"""
WITH RECURSIVE {chosen}, changed AS (
    UPDATE jobs j SET
        status = 'running', attempt = j.attempt + 1, worker_id = :worker_id, last_seq = j.last_seq + 1,
        started_at = coalesce(j.started_at, now()), attempt_started_at = now(), attempt_first_row = j.done
    FROM next WHERE j.id = next.id
    RETURNING j.*, next.place, next.candidates
), logged AS (
    INSERT INTO job_events (job_id, owner_id, seq, type, data)
    SELECT j.id, {EVENT_OWNER}, j.last_seq, 'started', {EVENT_DATA} FROM changed j
    RETURNING job_id, seq, type, at, data
), {TOLD}
SELECT j.id AS job_id, j.attempt, j.owner_id, j.kind, j.queue, j.status, j.worker_id, true AS is_due,
    j.parent_id, j.shards, CASE WHEN j.parent_id IS NOT NULL THEN j.first_row END AS first_row,
    j.params::text AS params, p.rows, j.total, j.next_batch, j.done, j.errors, j.files, j.group_id,
    j.dataset_id, c.data AS checkpoint, c.file AS checkpoint_file, j.soft_limit_seconds,
    j.time_limit_seconds, j.failures, j.max_attempts, j.trace_context, j.profile,
    extract(epoch FROM now() - j.run_at)::float8 AS waited_seconds, j.candidates,
    e.seq, e.type, e.at, e.data::text AS data
FROM changed j
JOIN logged e ON e.job_id = j.id
LEFT JOIN job_payloads p ON p.job_id = j.id
LEFT JOIN job_checkpoints c ON c.job_id = j.id
ORDER BY j.place, j.sort_key, j.id""")


@cache
def claim_in_order(limit: int) -> Statement:
    """Starts the next attempt of jobs on a worker: of the first `limit` due jobs of a queue, of any owner."""
    return _claim(turns.next_in_order(limit, is_limited=False))


# The same for one job, except for those of owners who already have as many jobs running as they may:
# `max_running`, unless another number is set for the owner; 0 means no limit. An index finds the few running
# jobs. Jobs that are claimed elsewhere at the same moment are not seen, so an owner may exceed the limit by
# as many for a while.
CLAIM_ONE_IN_ORDER_WITH_LIMIT: Final = _claim(turns.next_in_order(1, is_limited=True))

# The same for owners who take turns: of the due jobs of the owners whose turn it is.
CLAIM_IN_TURN: Final = _claim(turns.next_in_turn(is_limited=False))

# The same, where owners who already have as many jobs running as they may have no turn.
CLAIM_IN_TURN_WITH_LIMIT: Final = _claim(turns.next_in_turn(is_limited=True))

REPORTS: Final = RowSet(
    "report",
    job_id="uuid",
    attempt="int",
    first_batch="int",
    batch_count="int",
    row_count="bigint",
    error_count="int",
    batch_bytes="bigint",
    step="text",
    checkpoint="bytea",
    checkpoint_file="text",
    checkpoint_bytes="bigint",
    is_final="boolean",
    is_early="boolean",
    result="text",
    cpu_seconds="float8",
    memory_peak_bytes="bigint",
    profile_key="text",
)

BATCHES: Final = RowSet(
    "batch",
    job_id="uuid",
    position="int",
    first_row="bigint",
    row_count="int",
    rows_through="bigint",
    step="text",
    output="bytea",
    part_key="text",
    bytes="bigint",
    data="text",
)

# Commits the batches and the checkpoint of each report, and completes the jobs whose report is final.
ADVANCE: Final = Statement(f"""
WITH reports AS (
    SELECT * FROM {REPORTS.sql}
), batches AS (
    SELECT * FROM {BATCHES.sql}
), changed AS (
    UPDATE jobs j SET
        next_batch = j.next_batch + r.batch_count,
        done = j.done + r.row_count,
        errors = j.errors + r.error_count,
        total = CASE WHEN r.is_early THEN j.done + r.row_count ELSE j.total END,
        step = coalesce(r.step, j.step),
        stored_bytes = j.stored_bytes + r.batch_bytes + coalesce(r.checkpoint_bytes - j.checkpoint_bytes, 0),
        checkpoint_bytes = coalesce(r.checkpoint_bytes, j.checkpoint_bytes),
        last_seq = j.last_seq + r.batch_count + r.is_final::int,
        -- Once its cancellation is requested, a job never completes, however near its end it was.
        status = CASE WHEN NOT r.is_final THEN j.status
            WHEN j.cancel_requested_at IS NULL THEN 'completed' ELSE 'cancelled' END,
        result = CASE WHEN j.cancel_requested_at IS NULL THEN r.result::jsonb END,
        error = CASE WHEN NOT r.is_final THEN j.error END,
        worker_id = CASE WHEN NOT r.is_final THEN j.worker_id END,
        finished_at = CASE WHEN r.is_final THEN now() END,
        expires_at = CASE WHEN r.is_final THEN {EXPIRY} END
    FROM reports r
    WHERE j.id = r.job_id AND j.attempt = r.attempt AND j.status = 'running' AND j.next_batch = r.first_batch
    RETURNING j.*, r.is_final, r.checkpoint, r.checkpoint_file, r.first_batch,
        r.cpu_seconds, r.memory_peak_bytes, r.profile_key,
        j.done - r.row_count AS done_before,
        j.last_seq - r.batch_count - r.is_final::int AS seq_before
), stored AS (
    INSERT INTO job_batches (job_id, index, first_row, row_count, attempt, output, part_key, bytes)
    SELECT j.id, j.first_batch + b.position, b.first_row, b.row_count, j.attempt, b.output, b.part_key,
        b.bytes
    FROM batches b JOIN changed j ON j.id = b.job_id
), saved AS (
    INSERT INTO job_checkpoints (job_id, next_batch, data, file)
    SELECT j.id, j.next_batch, j.checkpoint, j.checkpoint_file::jsonb
    FROM changed j WHERE num_nonnulls(j.checkpoint, j.checkpoint_file) = 1
    ON CONFLICT (job_id) DO UPDATE
        SET next_batch = excluded.next_batch, data = excluded.data, file = excluded.file
), ended AS (
    INSERT INTO job_attempts (
        job_id, attempt, kind, queue, worker_id, worker_name, due_at, started_at, outcome,
        owner_id, job_status, model, rows, cpu_seconds, memory_peak_bytes, profile_key)
    SELECT j.id, j.attempt, j.kind, j.queue, :worker_id, (SELECT name FROM workers WHERE id = :worker_id),
        j.run_at, j.attempt_started_at, j.status,
        j.owner_id, {STATUS_OF_ATTEMPT}, {MODEL_NAME}, j.done - j.attempt_first_row,
        j.cpu_seconds, j.memory_peak_bytes, j.profile_key
    FROM changed j WHERE j.is_final
), logged AS (
    INSERT INTO job_events (job_id, owner_id, seq, type, data)
    SELECT j.id, {EVENT_OWNER}, j.seq_before + 1 + b.position, 'progress',
        jsonb_build_object(
        'status', 'running', 'progress', job_progress(j.done_before + b.rows_through, j.total),
        'done', j.done_before + b.rows_through, 'total', j.total, 'step', b.step, 'attempt', j.attempt,
        'batch', j.first_batch + b.position) || b.data::jsonb
    FROM batches b JOIN changed j ON j.id = b.job_id
    UNION ALL
    SELECT j.id, {EVENT_OWNER}, j.last_seq, j.status, {END_DATA}
    FROM changed j WHERE j.is_final
    RETURNING job_id, seq, type, at, data
), {TOLD}
{RESULT}""")


def _end_attempts(held: str) -> Statement:
    """Return the statement that ends the attempts of the jobs that `held` selects and locks.

    Its other parameters are the fields of `AttemptEnd`.
    """
    return Statement(f"""
WITH held AS ({held}), decided AS (
    SELECT h.id, h.worker_id, h.run_at,
        CASE WHEN h.cancel_requested_at IS NOT NULL OR :is_cancelled::boolean THEN 'cancelled'
            WHEN NOT :is_failure::boolean THEN 'pending'
            WHEN :is_retryable::boolean AND h.failures + 1 < h.max_attempts THEN 'pending'
            ELSE 'failed' END AS next_status,
        (:delays_seconds::float8[])[least(h.failures + 1, cardinality(:delays_seconds::float8[]))]
            AS delay_seconds
    FROM held h
), changed AS (
    UPDATE jobs j SET
        status = d.next_status,
        worker_id = NULL,
        failures = j.failures + :is_failure::boolean::int,
        run_at = CASE WHEN d.next_status = 'pending'
            THEN now() + make_interval(secs => d.delay_seconds) ELSE j.run_at END,
        error = coalesce(:error::jsonb || jsonb_build_object('attempt', j.attempt), j.error),
        finished_at = CASE WHEN d.next_status <> 'pending' THEN now() END,
        expires_at = CASE WHEN d.next_status <> 'pending' THEN {EXPIRY} END,
        last_seq = j.last_seq + 1
    FROM decided d WHERE j.id = d.id
    RETURNING j.*, d.worker_id AS left_worker_id, d.run_at AS was_due_at
), ended AS (
    INSERT INTO job_attempts (
        job_id, attempt, kind, queue, worker_id, worker_name, due_at, started_at, outcome, error, traceback,
        owner_id, job_status, model, rows, cpu_seconds, memory_peak_bytes, profile_key)
    SELECT j.id, j.attempt, j.kind, j.queue, j.left_worker_id,
        (SELECT name FROM workers WHERE id = j.left_worker_id), j.was_due_at, j.attempt_started_at,
        CASE j.status WHEN 'cancelled' THEN 'cancelled' ELSE :outcome END, :error, :traceback,
        j.owner_id, {STATUS_OF_ATTEMPT}, {MODEL_NAME}, j.done - j.attempt_first_row,
        :cpu_seconds, :memory_peak_bytes, :profile_key
    FROM changed j
), logged AS (
    INSERT INTO job_events (job_id, owner_id, seq, type, data)
    SELECT j.id, {EVENT_OWNER}, j.last_seq,
        CASE j.status WHEN 'pending' THEN :pending_event ELSE j.status END,
        {END_DATA}
    FROM changed j
    RETURNING job_id, seq, type, at, data
), {TOLD}
{RESULT}""")


# Ends one attempt, if it is still the current one and runs.
END_ATTEMPT: Final = _end_attempts(
    "SELECT * FROM jobs WHERE id = :job_id AND attempt = :attempt AND status = 'running' FOR UPDATE"
)

# Ends the attempts of workers that were not seen for a lease. A parent runs without a worker.
RESCUE: Final = _end_attempts(
    """
    SELECT * FROM jobs j
    WHERE j.status = 'running' AND j.shards IS NULL
        AND now() > pg_postmaster_start_time() + :lease::interval
        AND NOT EXISTS (
            SELECT FROM workers w WHERE w.id = j.worker_id AND w.seen_at > now() - :lease::interval)
    ORDER BY j.sort_key LIMIT :limit
    FOR UPDATE SKIP LOCKED"""
)

_ENDS_AT_ONCE: Final = "j.status = 'pending' AND j.shards IS NULL"

# Cancels a pending job; of a running one, records that its cancellation is requested. No attempt records the
# end of a job that was not running, so `job_ends` does. A parent is only marked: its shards end before it
# does. A shard ends with its parent.
CANCEL: Final = Statement(f"""
WITH changed AS (
    UPDATE jobs j SET
        cancel_requested_at = now(),
        status = CASE WHEN {_ENDS_AT_ONCE} THEN 'cancelled' ELSE j.status END,
        finished_at = CASE WHEN {_ENDS_AT_ONCE} THEN now() END,
        expires_at = CASE WHEN {_ENDS_AT_ONCE} THEN now() + make_interval(secs => j.retention_seconds) END,
        last_seq = j.last_seq + 1
    WHERE j.id = :job_id AND j.status IN ('pending', 'running') AND j.cancel_requested_at IS NULL
        AND j.parent_id IS NULL
    RETURNING j.*
), ended AS (
    INSERT INTO job_ends (job_id, seq, owner_id, kind, queue, model, status)
    SELECT j.id, j.last_seq, j.owner_id, j.kind, j.queue, coalesce({MODEL_NAME}, ''), j.status
    FROM changed j WHERE j.status = 'cancelled'
), logged AS (
    INSERT INTO job_events (job_id, owner_id, seq, type, data)
    SELECT j.id, {EVENT_OWNER}, j.last_seq,
        CASE j.status WHEN 'cancelled' THEN 'cancelled' ELSE 'cancel_requested' END, {END_DATA}
    FROM changed j
    RETURNING job_id, seq, type, at, data
), {TOLD}
{RESULT}""")

# Makes a failed or cancelled job pending again; `from_start` also deletes what it has computed. The shards of
# a parent follow in the same transaction.
RETRY: Final = Statement(f"""
WITH changed AS (
    UPDATE jobs j SET
        status = 'pending', failures = 0, cancel_requested_at = NULL, finished_at = NULL, expires_at = NULL,
        dismissed_at = NULL, dismiss_reason = NULL, result = NULL, run_at = now(),
        sort_key = now() - :head_start::interval,
        next_batch = CASE WHEN :from_start::boolean THEN 0 ELSE j.next_batch END,
        done = CASE WHEN :from_start THEN 0 ELSE j.done END,
        errors = CASE WHEN :from_start THEN 0 ELSE j.errors END,
        step = CASE WHEN :from_start THEN NULL ELSE j.step END,
        stored_bytes = CASE WHEN :from_start THEN coalesce(
            (SELECT octet_length(p.rows) FROM job_payloads p WHERE p.job_id = j.id), 0)
            ELSE j.stored_bytes END,
        checkpoint_bytes = CASE WHEN :from_start THEN 0 ELSE j.checkpoint_bytes END,
        last_seq = j.last_seq + 1
    WHERE j.id = :job_id AND j.status IN ('failed', 'cancelled') AND j.pruned_at IS NULL
        AND j.parent_id IS NULL
    RETURNING j.*
), cleared_batches AS (
    DELETE FROM job_batches b USING changed j WHERE b.job_id = j.id AND :from_start
), cleared_checkpoint AS (
    DELETE FROM job_checkpoints c USING changed j WHERE c.job_id = j.id AND :from_start
), logged AS (
    INSERT INTO job_events (job_id, owner_id, seq, type, data)
    SELECT j.id, {EVENT_OWNER}, j.last_seq, 'retried', {EVENT_DATA} FROM changed j
    RETURNING job_id, seq, type, at, data
)
{RESULT}""")
