"""Create jobs with their events, batches, attempts and workers.

Revision ID: 0002
Revises: 0001
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE workers (
    id uuid CONSTRAINT pk_workers PRIMARY KEY,
    name text NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    queues text[] NOT NULL,
    kinds text[] NOT NULL,
    slots integer NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    stopping_at timestamptz
);

CREATE TABLE job_groups (
    id uuid CONSTRAINT pk_job_groups PRIMARY KEY,
    owner_id uuid NOT NULL
        CONSTRAINT fk_job_groups_owner_id_users REFERENCES users (id) ON DELETE CASCADE,
    idempotency_key text,
    request_digest bytea,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION job_progress(done bigint, total bigint) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN total > 0 THEN trunc(100.0 * done / total, 1)::double precision ELSE 0 END;

CREATE TABLE jobs (
    id uuid CONSTRAINT pk_jobs PRIMARY KEY,
    owner_id uuid NOT NULL CONSTRAINT fk_jobs_owner_id_users REFERENCES users (id) ON DELETE CASCADE,
    kind text NOT NULL,
    queue text NOT NULL,
    priority text NOT NULL,
    sort_key timestamptz NOT NULL,
    status text NOT NULL DEFAULT 'pending',
    params jsonb NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    attempt integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL,
    next_batch integer NOT NULL DEFAULT 0,
    done bigint NOT NULL DEFAULT 0,
    total bigint,
    progress double precision NOT NULL GENERATED ALWAYS AS (
        CASE WHEN status = 'completed' THEN 100 ELSE job_progress(done, total) END
    ) STORED,
    step text,
    worker_id uuid,
    run_at timestamptz NOT NULL DEFAULT now(),
    soft_limit_seconds integer NOT NULL,
    time_limit_seconds integer NOT NULL,
    retention_seconds integer NOT NULL,
    cancel_requested_at timestamptz,
    result jsonb,
    error jsonb,
    last_seq integer NOT NULL DEFAULT 0,
    idempotency_key text,
    request_digest bytea,
    group_id uuid CONSTRAINT fk_jobs_group_id_job_groups REFERENCES job_groups (id),
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    attempt_started_at timestamptz,
    attempt_first_row bigint NOT NULL DEFAULT 0,
    finished_at timestamptz,
    expires_at timestamptz,
    pruned_at timestamptz,
    dismissed_at timestamptz,
    CONSTRAINT ck_jobs_status CHECK (status IN ('pending', 'running', 'completed', 'failed', 'cancelled')),
    CONSTRAINT ck_jobs_priority CHECK (priority IN ('low', 'normal', 'high', 'critical')),
    CONSTRAINT ck_jobs_running_has_worker CHECK ((status = 'running') = (worker_id IS NOT NULL)),
    CONSTRAINT ck_jobs_final_has_end CHECK (
        (status IN ('completed', 'failed', 'cancelled')) = (finished_at IS NOT NULL)
    ),
    CONSTRAINT ck_jobs_completed_is_whole CHECK (status <> 'completed' OR total IS NULL OR done = total),
    CONSTRAINT ck_jobs_failed_has_error CHECK (status <> 'failed' OR error IS NOT NULL),
    CONSTRAINT ck_jobs_counts CHECK (
        attempt >= 0 AND failures >= 0 AND next_batch >= 0 AND last_seq >= 0 AND max_attempts >= 1
        AND done >= 0 AND (total IS NULL OR done <= total)
    ),
    CONSTRAINT ck_jobs_limits CHECK (
        soft_limit_seconds > 0 AND time_limit_seconds >= soft_limit_seconds AND retention_seconds > 0
    )
) WITH (fillfactor = 80);

CREATE TABLE job_payloads (
    job_id uuid CONSTRAINT pk_job_payloads PRIMARY KEY
        CONSTRAINT fk_job_payloads_job_id_jobs REFERENCES jobs (id) ON DELETE CASCADE,
    rows bytea NOT NULL
);

CREATE TABLE job_batches (
    job_id uuid NOT NULL CONSTRAINT fk_job_batches_job_id_jobs REFERENCES jobs (id) ON DELETE CASCADE,
    index integer NOT NULL,
    first_row bigint NOT NULL,
    row_count integer NOT NULL,
    attempt integer NOT NULL,
    output bytea NOT NULL,
    CONSTRAINT pk_job_batches PRIMARY KEY (job_id, index)
);

CREATE TABLE job_events (
    job_id uuid NOT NULL CONSTRAINT fk_job_events_job_id_jobs REFERENCES jobs (id) ON DELETE CASCADE,
    seq integer NOT NULL,
    owner_id uuid NOT NULL,
    type text NOT NULL,
    data jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    -- The transaction that wrote it: what an owner's log is ordered by, see app/streams/owner_log.py.
    xact_id bigint NOT NULL DEFAULT (pg_current_xact_id()::text)::bigint,
    CONSTRAINT pk_job_events PRIMARY KEY (job_id, seq)
);

CREATE TABLE job_attempts (
    job_id uuid NOT NULL CONSTRAINT fk_job_attempts_job_id_jobs REFERENCES jobs (id) ON DELETE CASCADE,
    attempt integer NOT NULL,
    kind text NOT NULL,
    queue text NOT NULL,
    worker_id uuid NOT NULL,
    due_at timestamptz NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL DEFAULT now(),
    outcome text NOT NULL,
    error jsonb,
    traceback text,
    CONSTRAINT pk_job_attempts PRIMARY KEY (job_id, attempt),
    CONSTRAINT ck_job_attempts_outcome CHECK (
        outcome IN ('completed', 'failed', 'cancelled', 'released', 'rescued')
    )
);

CREATE TABLE job_checkpoints (
    job_id uuid CONSTRAINT pk_job_checkpoints PRIMARY KEY
        CONSTRAINT fk_job_checkpoints_job_id_jobs REFERENCES jobs (id) ON DELETE CASCADE,
    next_batch integer NOT NULL,
    data bytea NOT NULL
);
"""

# Each index is named after the query that it serves.
INDEXES = """
CREATE INDEX ix_jobs_next_to_claim ON jobs (queue, sort_key, id) WHERE status = 'pending';
CREATE INDEX ix_jobs_next_due ON jobs (run_at) WHERE status = 'pending';
CREATE INDEX ix_jobs_running_on_worker ON jobs (worker_id) WHERE status = 'running';
CREATE INDEX ix_jobs_newest_of_owner ON jobs (owner_id, id DESC);
CREATE INDEX ix_jobs_newest_of_owner_by_status ON jobs (owner_id, status, id DESC);
CREATE UNIQUE INDEX uq_jobs_idempotency_key ON jobs (owner_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE UNIQUE INDEX uq_job_groups_idempotency_key ON job_groups (owner_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX ix_jobs_of_group ON jobs (group_id, id) WHERE group_id IS NOT NULL;
CREATE INDEX ix_jobs_dead_letters_of_owner ON jobs (owner_id, id DESC)
    WHERE status = 'failed' AND dismissed_at IS NULL;
CREATE INDEX ix_jobs_results_to_prune ON jobs (expires_at)
    WHERE pruned_at IS NULL AND expires_at IS NOT NULL AND (status <> 'failed' OR dismissed_at IS NOT NULL);
CREATE INDEX ix_job_attempts_latest_of_queue ON job_attempts (queue, ended_at DESC);
CREATE INDEX ix_job_events_log_of_owner ON job_events (owner_id, xact_id, job_id, seq);
CREATE INDEX ix_jobs_oldest_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
"""

GUARD = """
CREATE FUNCTION jobs_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    -- Bookkeeping may go on after the end; a generated column is not computed yet in a BEFORE trigger.
    aside CONSTANT text[] := ARRAY['pruned_at', 'dismissed_at', 'idempotency_key', 'progress'];
BEGIN
    IF NEW.status <> OLD.status AND (OLD.status, NEW.status) NOT IN (
        ('pending', 'running'), ('pending', 'cancelled'),
        ('running', 'completed'), ('running', 'failed'), ('running', 'pending'), ('running', 'cancelled'),
        ('failed', 'pending'), ('cancelled', 'pending')
    ) THEN
        RAISE EXCEPTION 'job % may not go from % to %', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'jobs_guard_moves';
    END IF;
    IF NEW.attempt < OLD.attempt OR NEW.last_seq < OLD.last_seq
        OR NEW.next_batch < OLD.next_batch
            AND NOT (OLD.status IN ('failed', 'cancelled') AND NEW.next_batch = 0)
    THEN
        RAISE EXCEPTION 'attempt, next_batch and last_seq of job % never fall', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'jobs_guard_counters';
    END IF;
    IF OLD.status IN ('completed', 'failed', 'cancelled') AND NEW.status = OLD.status
        AND to_jsonb(NEW) - aside IS DISTINCT FROM to_jsonb(OLD) - aside
    THEN
        RAISE EXCEPTION 'job % has ended and does not change', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'jobs_guard_final';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER jobs_guard BEFORE UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION jobs_guard();
"""


def upgrade() -> None:
    """Create the tables, the indexes and the guard trigger."""
    for script in (TABLES, INDEXES):
        for statement in script.split(";\n"):
            if statement.strip():
                op.execute(statement)
    function, trigger = GUARD.split("END $$;\n")
    op.execute(function + "END $$")
    op.execute(trigger)


def downgrade() -> None:
    """Drop the tables and functions."""
    tables = (
        "job_checkpoints",
        "job_attempts",
        "job_events",
        "job_batches",
        "job_payloads",
        "jobs",
        "job_groups",
        "workers",
    )
    for table in tables:
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP FUNCTION jobs_guard()")
    op.execute("DROP FUNCTION job_progress(bigint, bigint)")
