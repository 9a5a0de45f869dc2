"""Fills the database with a realistic number of jobs, inserted by SQL in about a minute."""

from typing import Final
from uuid import UUID

import asyncpg

OWNERS: Final = 100
QUEUES: Final = ("default", "gpu", "reports")
PENDING_SHARE: Final = 0.1
EXPIRED_SHARE: Final = 0.1

# One job in ten is pending, two run on the only worker, one in a hundred has failed, the rest are completed.
# Job n was created n seconds ago, and its id matches: the first 48 bits of a UUIDv7 are its time. Each run of
# a hundred jobs belongs to one user, so that every user has jobs in all states.
_JOBS: Final = """
INSERT INTO jobs (
    id, owner_id, kind, queue, priority, sort_key, status, params, metadata, attempt, max_attempts,
    next_batch, done, total, step, worker_id, run_at,
    soft_limit_seconds, time_limit_seconds, retention_seconds, result, error, last_seq,
    created_at, started_at, attempt_started_at, finished_at, expires_at)
SELECT
    uuid_at(s.at, n), ($2::uuid[])[1 + n / 100 % cardinality($2::uuid[])], 'batch_predict',
    ($3::text[])[1 + n % 3], (ARRAY['normal', 'normal', 'low', 'high'])[1 + n % 4],
    s.at - interval '1 hour', s.status,
    jsonb_build_object('batch_size', 10, 'model',
        jsonb_build_object('name', 'model_' || n % 20, 'version', 1, 'runtime', 'vader')),
    jsonb_build_object('team', 'team_' || n % 50),
    s.attempt, 3, s.attempt, 10 * s.attempt, 10, CASE s.attempt WHEN 1 THEN 'Batch 1/1' END,
    CASE s.status WHEN 'running' THEN $4::uuid END, s.at, 1500, 1800, 86400,
    CASE s.status WHEN 'completed' THEN '{"total": 10}'::jsonb END,
    CASE s.status WHEN 'failed'
        THEN '{"code": "boom", "message": "It went wrong.", "attempt": 1}'::jsonb END,
    2 + s.attempt, s.at,
    CASE s.attempt WHEN 1 THEN s.at END, CASE s.attempt WHEN 1 THEN s.at END,
    CASE WHEN s.is_final THEN s.at END,
    CASE WHEN s.is_final THEN CASE
        WHEN n % 100 < 100 * $5::float8 THEN now() - interval '1 s' ELSE now() + interval '1 day' END END
FROM generate_series(1, $1::int) n CROSS JOIN LATERAL (
    SELECT status, status IN ('completed', 'failed') AS is_final,
        (status <> 'pending')::int AS attempt, now() - make_interval(secs => n) AS at
    FROM (SELECT CASE
        WHEN n % 100 BETWEEN 50 AND 59 THEN 'pending'
        WHEN n IN (60, 160) THEN 'running'
        WHEN n % 100 = 61 THEN 'failed'
        ELSE 'completed' END AS status) decided
) s"""

_PAYLOADS: Final = """
INSERT INTO job_payloads (job_id, rows)
SELECT id, convert_to('["It works.", "It broke at once."]', 'UTF8') FROM jobs"""

_EVENTS: Final = """
INSERT INTO job_events (job_id, owner_id, seq, type, data, at)
SELECT j.id, j.owner_id, n, (ARRAY['created', 'started', 'progress'])[n],
    jsonb_build_object('status', j.status, 'progress', j.progress, 'done', j.done, 'total', j.total),
    j.created_at
FROM jobs j CROSS JOIN generate_series(1, j.last_seq) n"""

_BATCHES: Final = """
INSERT INTO job_batches (job_id, index, first_row, row_count, attempt, output)
SELECT id, 0, 0, 10, 1, convert_to(repeat('{"prediction":{"label":"neutral"}}' || chr(10), 10), 'UTF8')
FROM jobs WHERE status = 'completed'"""

_ATTEMPTS: Final = """
INSERT INTO job_attempts (
    job_id, attempt, kind, queue, worker_id, worker_name, due_at, started_at, ended_at, outcome, error,
    owner_id, job_status, model, rows, cpu_seconds, memory_peak_bytes)
SELECT id, 1, kind, queue, $1, 'bench', run_at, started_at, finished_at, status, error,
    owner_id, status, params #>> '{model,name}', done, 0.01, 100000000
FROM jobs WHERE finished_at IS NOT NULL"""

# The UUIDv7 of a point in time. Its random part is derived from the job's number, so that it is reproducible.
_UUID_AT: Final = """
CREATE OR REPLACE FUNCTION uuid_at(at timestamptz, number int) RETURNS uuid IMMUTABLE LANGUAGE sql AS $$
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0')
        || '7' || substr(md5(number::text), 1, 3) || '8' || substr(md5(number::text), 4, 15))::uuid
$$"""


async def populate(connection: asyncpg.Connection, jobs: int, owners: list[UUID], worker_id: UUID) -> None:
    """Insert `jobs` jobs of these users with their payloads, events, batches and attempts; then ANALYZE."""
    await connection.execute(_UUID_AT)
    await connection.execute(
        "INSERT INTO workers (id, name, host, pid, queues, kinds, slots, seen_at)"
        " VALUES ($1, 'bench', 'here', 1, $2, '{batch_predict}', 2, now() + interval '1 day')",
        worker_id,
        list(QUEUES),
    )
    await connection.execute(_JOBS, jobs, owners, list(QUEUES), worker_id, EXPIRED_SHARE, timeout=3600)
    await connection.execute(_PAYLOADS, timeout=3600)
    await connection.execute(_EVENTS, timeout=3600)
    await connection.execute(_BATCHES, timeout=3600)
    await connection.execute(_ATTEMPTS, worker_id, timeout=3600)
    await connection.execute("VACUUM ANALYZE", timeout=3600)
