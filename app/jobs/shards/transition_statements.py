"""The SQL of the transitions of shards and their parents, in the form of `app.jobs.transition_statements`."""

# ruff: noqa: S608  # SQL put together from constants; values are parameters

from typing import Final

from app.core.sql import RowSet, Statement
from app.jobs.model_name import MODEL_NAME
from app.jobs.outbox import TOLD
from app.jobs.transition_statements import CREATED_DATA, END_DATA, EVENT_DATA, RESULT

STAGGER: Final = "interval '20 seconds'"
"""A shard queues as if submitted so much later than the one before, within the head start of its priority.

A job of the same priority that comes later waits for some of the shards only.
"""


def _staggered(place: str) -> str:
    return f"p.sort_key + least({place} * {STAGGER}, p.run_at - p.sort_key)"


def _events(event_type: str, data: str) -> str:
    """Return the end of a statement that writes an event of each row of `changed`.

    To build the data takes as long as to write a row of `jobs`. Shards that were never started differ in
    nothing but how many rows they have, so those with equally many share it.
    """
    return f"""described AS MATERIALIZED (
    SELECT j.total, {data} AS data FROM (SELECT DISTINCT ON (total) * FROM changed WHERE attempt = 0) j
), logged AS (
    INSERT INTO job_events (job_id, seq, type, data)
    SELECT j.id, j.last_seq, {event_type}, coalesce(d.data, {data})
    FROM changed j LEFT JOIN described d ON j.attempt = 0 AND d.total = j.total
)"""


# Creates the shards of a parent, each with so many rows, the last one with what is left.
CREATE_SHARDS: Final = Statement(f"""
WITH changed AS (
    INSERT INTO jobs AS j (
        id, parent_id, shard_no, first_row, total, owner_id, kind, queue, priority, sort_key, params,
        max_attempts, run_at, soft_limit_seconds, time_limit_seconds, retention_seconds, files, trace_context,
        profile, gpus, last_seq)
    SELECT s.id, p.id, s.no - 1, (s.no - 1) * :rows::bigint,
        least(:rows::bigint, p.total - (s.no - 1) * :rows::bigint),
        p.owner_id, p.kind, p.queue, p.priority, {_staggered("(s.no - 1)")}, p.params,
        p.max_attempts, p.run_at, p.soft_limit_seconds, p.time_limit_seconds, p.retention_seconds, p.files,
        p.trace_context, p.profile, p.gpus, 1
    FROM jobs p, unnest(:ids::uuid[]) WITH ORDINALITY AS s (id, no)
    WHERE p.id = :parent_id
    RETURNING j.*
), {_events("'created'", CREATED_DATA)}
SELECT""")

# Locks open parents, the next ones by their ids. The statement that counts their shards comes after it, so
# that it sees what was committed before.
LOCK_NEXT: Final = Statement("""
SELECT id FROM jobs
WHERE shards IS NOT NULL AND status IN ('pending', 'running') AND id > :after
ORDER BY id LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED""")

# Locks this parent, if it is open. Is its cancellation requested?
LOCK: Final = Statement("""
SELECT cancel_requested_at IS NOT NULL AS is_cancel_requested FROM jobs
WHERE id = :parent_id AND shards IS NOT NULL AND status IN ('pending', 'running')
FOR NO KEY UPDATE""")

# Locks those of these parents that are open and have no open shard. Another process may be rolling one up.
LOCK_FINISHED: Final = Statement("""
SELECT p.id FROM jobs p
WHERE p.id = ANY (:parent_ids) AND p.shards IS NOT NULL AND p.status IN ('pending', 'running')
    AND NOT EXISTS (SELECT FROM jobs s WHERE s.parent_id = p.id AND s.status IN ('pending', 'running'))
ORDER BY p.id FOR NO KEY UPDATE SKIP LOCKED""")

# Ends open shards of these parents, running ones too. Which workers have lost which shard?
# No join with the events: Postgres would compare each of a thousand with each.
# A worker may commit several shards in one statement, in any order. To wait for one of them while others are
# locked here would deadlock, so locked shards are left to the next time.
END_SHARDS: Final = Statement(f"""
WITH held AS (
    SELECT s.id, s.worker_id, s.run_at FROM jobs s
    WHERE s.parent_id = ANY (:parent_ids) AND s.status IN ('pending', 'running')
    FOR UPDATE SKIP LOCKED
), changed AS (
    UPDATE jobs j SET
        status = 'cancelled', worker_id = NULL, finished_at = now(), last_seq = j.last_seq + 1
    FROM held h WHERE j.id = h.id
    RETURNING j.*, h.worker_id AS left_worker_id, h.run_at AS was_due_at
), ended AS (
    INSERT INTO job_attempts (
        job_id, attempt, kind, queue, worker_id, worker_name, due_at, started_at, outcome,
        owner_id, job_status, model, rows)
    SELECT j.id, j.attempt, j.kind, j.queue, j.left_worker_id,
        (SELECT name FROM workers WHERE id = j.left_worker_id), j.was_due_at, j.attempt_started_at,
        'cancelled', j.owner_id, 'pending', {MODEL_NAME}, j.done - j.attempt_first_row
    FROM changed j WHERE j.left_worker_id IS NOT NULL
), {_events("j.status", END_DATA)}
SELECT j.id AS job_id, j.owner_id, j.queue, j.kind, j.status, j.left_worker_id AS worker_id, false AS is_due,
    j.parent_id, j.shards, j.last_seq AS seq, j.status AS type, now() AS at, ({END_DATA})::text AS data
FROM changed j WHERE j.left_worker_id IS NOT NULL""")

BEGUN: Final = RowSet("begun", id="uuid", began_at="timestamptz")

# Begins pending parents.
BEGIN: Final = Statement(f"""
WITH begun AS (
    SELECT * FROM {BEGUN.sql}
), changed AS (
    UPDATE jobs j SET
        status = 'running', attempt = j.attempt + 1, last_seq = j.last_seq + 1,
        started_at = coalesce(j.started_at, b.began_at, now()),
        attempt_started_at = coalesce(b.began_at, now()), attempt_first_row = j.done
    FROM begun b
    WHERE j.id = b.id AND j.shards IS NOT NULL AND j.status = 'pending' AND j.cancel_requested_at IS NULL
    RETURNING j.*
), logged AS (
    INSERT INTO job_events (job_id, owner_id, seq, type, data)
    SELECT j.id, j.owner_id, j.last_seq, 'started', {EVENT_DATA} FROM changed j
    RETURNING job_id, seq, type, at, data
), {TOLD}
{RESULT}""")

PROGRESS: Final = RowSet("progress", id="uuid", done="bigint", errors="bigint", step="text")

# Adds up what the shards of running parents have done.
REPORT: Final = Statement(f"""
WITH progress AS (
    SELECT * FROM {PROGRESS.sql}
), changed AS (
    UPDATE jobs j SET done = p.done, errors = p.errors, step = p.step, last_seq = j.last_seq + 1
    FROM progress p
    WHERE j.id = p.id AND j.shards IS NOT NULL AND j.status = 'running' AND p.done > j.done
    RETURNING j.*
), logged AS (
    INSERT INTO job_events (job_id, owner_id, seq, type, data)
    SELECT j.id, j.owner_id, j.last_seq, 'progress', {EVENT_DATA} FROM changed j
    RETURNING job_id, seq, type, at, data
)
{RESULT}""")

SETTLED: Final = RowSet(
    "settled",
    id="uuid",
    status="text",
    done="bigint",
    errors="bigint",
    step="text",
    result="text",
    error="text",
)

# Ends parents whose shards have all ended. A parent has no attempts, so `job_ends` records its end.
SETTLE: Final = Statement(f"""
WITH settled AS (
    SELECT * FROM {SETTLED.sql}
), changed AS (
    UPDATE jobs j SET
        status = d.status, done = d.done, errors = d.errors, step = d.step, result = d.result::jsonb,
        error = CASE d.status WHEN 'completed' THEN NULL
            ELSE coalesce(d.error::jsonb || jsonb_build_object('attempt', j.attempt), j.error) END,
        finished_at = now(), expires_at = now() + make_interval(secs => j.retention_seconds),
        last_seq = j.last_seq + 1
    FROM settled d
    WHERE j.id = d.id AND j.shards IS NOT NULL
        AND (j.status = 'running' OR j.status = 'pending' AND d.status = 'cancelled')
        AND (d.status = 'cancelled') = (j.cancel_requested_at IS NOT NULL)
        AND NOT EXISTS (SELECT FROM jobs s WHERE s.parent_id = j.id AND s.status IN ('pending', 'running'))
    RETURNING j.*
), ended AS (
    INSERT INTO job_ends (job_id, seq, owner_id, kind, queue, model, status, code, run_seconds)
    SELECT j.id, j.last_seq, j.owner_id, j.kind, j.queue, coalesce({MODEL_NAME}, ''), j.status,
        CASE j.status WHEN 'failed' THEN coalesce(j.error ->> 'cause', j.error ->> 'code') ELSE '' END,
        CASE WHEN j.attempt_started_at >= j.run_at
            THEN extract(epoch FROM now() - j.attempt_started_at)::float8 END
    FROM changed j
), logged AS (
    INSERT INTO job_events (job_id, owner_id, seq, type, data)
    SELECT j.id, j.owner_id, j.last_seq, j.status, {END_DATA} FROM changed j
    RETURNING job_id, seq, type, at, data
), {TOLD}
{RESULT}""")

# Makes shards of a parent that is retried pending again: the failed and cancelled ones; to start over, all of
# them, and what they have computed is deleted.
REOPEN: Final = Statement(f"""
WITH again AS (
    SELECT s.id, p.run_at, {_staggered("(row_number() OVER (ORDER BY s.shard_no) - 1)")} AS sort_key
    FROM jobs p JOIN jobs s ON s.parent_id = p.id
    WHERE p.id = :parent_id AND p.status = 'pending'
        AND (s.status IN ('failed', 'cancelled') OR :from_start::boolean AND s.status = 'completed')
), changed AS (
    UPDATE jobs j SET
        status = 'pending', failures = 0, cancel_requested_at = NULL, finished_at = NULL, expires_at = NULL,
        dismissed_at = NULL, dismiss_reason = NULL, result = NULL, run_at = a.run_at, sort_key = a.sort_key,
        next_batch = CASE WHEN :from_start THEN 0 ELSE j.next_batch END,
        done = CASE WHEN :from_start THEN 0 ELSE j.done END,
        errors = CASE WHEN :from_start THEN 0 ELSE j.errors END,
        step = CASE WHEN :from_start THEN NULL ELSE j.step END,
        stored_bytes = CASE WHEN :from_start THEN 0 ELSE j.stored_bytes END,
        checkpoint_bytes = CASE WHEN :from_start THEN 0 ELSE j.checkpoint_bytes END,
        last_seq = j.last_seq + 1
    FROM again a WHERE j.id = a.id
    RETURNING j.*
), cleared_batches AS (
    DELETE FROM job_batches b USING changed j WHERE b.job_id = j.id AND :from_start
), cleared_checkpoints AS (
    DELETE FROM job_checkpoints c USING changed j WHERE c.job_id = j.id AND :from_start
), {_events("'retried'", EVENT_DATA)}
SELECT""")
