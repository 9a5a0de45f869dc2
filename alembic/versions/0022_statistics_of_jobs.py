"""Add what an attempt cost, what workers use, and the tables into which the statistics of jobs are folded."""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None
compatible_with = "0006"

# Of the current attempt at a job, `done` and `attempt_first_row` say how many rows it committed. An attempt
# that failed or was rescued has ended its job if the job failed in it.
FILL = """
UPDATE job_attempts a SET
    owner_id = j.owner_id,
    job_status = CASE
        WHEN a.outcome IN ('completed', 'cancelled') THEN a.outcome
        WHEN a.outcome IN ('failed', 'rescued') AND EXISTS (
            SELECT FROM job_events e WHERE e.job_id = a.job_id AND e.type = 'failed'
                AND (e.data ->> 'attempt')::int = a.attempt) THEN 'failed'
        ELSE 'pending' END,
    model = coalesce(j.params #>> '{model,name}', j.params ->> 'model'),
    rows = CASE WHEN a.attempt = j.attempt THEN greatest(j.done - j.attempt_first_row, 0) END,
    worker_name = (SELECT w.name FROM workers w WHERE w.id = a.worker_id)
FROM jobs j WHERE j.id = a.job_id
"""

FILL_ENDS = """
INSERT INTO job_ends (job_id, seq, owner_id, kind, queue, model, status, ended_at)
SELECT j.id, j.last_seq, j.owner_id, j.kind, j.queue,
    coalesce(j.params #>> '{model,name}', j.params ->> 'model', ''), j.status, j.finished_at
FROM jobs j
WHERE j.status = 'cancelled' AND NOT EXISTS (
    SELECT FROM job_attempts a WHERE a.job_id = j.id AND a.attempt = j.attempt AND a.outcome = 'cancelled')
"""


def upgrade() -> None:
    """Create them. Attempts that workers of the previous version record lack the new columns."""
    for statement in (
        """ALTER TABLE job_attempts
            ADD COLUMN owner_id uuid, ADD COLUMN job_status text, ADD COLUMN model text,
            ADD COLUMN rows bigint, ADD COLUMN cpu_seconds double precision,
            ADD COLUMN memory_peak_bytes bigint, ADD COLUMN profile_key text,
            ADD COLUMN worker_name text""",
        """ALTER TABLE workers
            ADD COLUMN cpu_percent double precision, ADD COLUMN rss_bytes bigint,
            ADD COLUMN memory_percent double precision""",
        "ALTER TABLE jobs ADD COLUMN profile boolean NOT NULL DEFAULT false",
        """CREATE TABLE job_stats (
            owner_id uuid NOT NULL,
            step text NOT NULL CONSTRAINT ck_job_stats_step CHECK (step IN ('minute', 'hour', 'day')),
            at timestamptz NOT NULL,
            kind text NOT NULL,
            queue text NOT NULL,
            model text NOT NULL,
            outcome text NOT NULL,
            job_status text NOT NULL,
            code text NOT NULL,
            jobs bigint NOT NULL,
            attempts bigint NOT NULL,
            run_seconds double precision NOT NULL,
            run_seconds_max double precision,
            wait_seconds double precision NOT NULL,
            wait_seconds_max double precision,
            rows bigint NOT NULL,
            measured_attempts bigint NOT NULL,
            measured_jobs bigint NOT NULL,
            measured_rows bigint NOT NULL,
            cpu_seconds double precision NOT NULL,
            memory_peak_bytes bigint,
            last_job_id uuid,
            CONSTRAINT pk_job_stats
                PRIMARY KEY (owner_id, step, at, kind, queue, model, outcome, job_status, code)
        )""",
        "CREATE INDEX ix_job_stats_oldest ON job_stats (step, at)",
        """CREATE TABLE job_durations (
            owner_id uuid NOT NULL,
            step text NOT NULL CONSTRAINT ck_job_durations_step CHECK (step IN ('minute', 'hour', 'day')),
            at timestamptz NOT NULL,
            kind text NOT NULL,
            queue text NOT NULL,
            measure text NOT NULL CONSTRAINT ck_job_durations_measure CHECK (measure IN ('run', 'wait')),
            bucket integer NOT NULL,
            attempts bigint NOT NULL,
            CONSTRAINT pk_job_durations PRIMARY KEY (owner_id, step, at, kind, queue, measure, bucket)
        )""",
        "CREATE INDEX ix_job_durations_oldest ON job_durations (step, at)",
        """CREATE TABLE job_peaks (
            owner_id uuid NOT NULL,
            hour timestamptz NOT NULL,
            peak bigint NOT NULL,
            CONSTRAINT pk_job_peaks PRIMARY KEY (owner_id, hour)
        )""",
        "CREATE INDEX ix_job_peaks_oldest ON job_peaks (hour)",
        """CREATE TABLE job_ends (
            job_id uuid NOT NULL,
            seq integer NOT NULL,
            owner_id uuid NOT NULL,
            kind text NOT NULL,
            queue text NOT NULL,
            model text NOT NULL DEFAULT '',
            status text NOT NULL,
            code text NOT NULL DEFAULT '',
            run_seconds double precision,
            ended_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_job_ends PRIMARY KEY (job_id, seq)
        )""",
        FILL,
        FILL_ENDS,
    ):
        op.execute(statement)


def downgrade() -> None:
    """Drop them, with the statistics of jobs that were deleted since."""
    for statement in (
        "DROP TABLE job_stats, job_durations, job_peaks, job_ends",
        "UPDATE system_stats SET folded_until = NULL",
        "ALTER TABLE jobs DROP COLUMN profile",
        "ALTER TABLE workers DROP COLUMN cpu_percent, DROP COLUMN rss_bytes, DROP COLUMN memory_percent",
        """ALTER TABLE job_attempts
            DROP COLUMN owner_id, DROP COLUMN job_status, DROP COLUMN model, DROP COLUMN rows,
            DROP COLUMN cpu_seconds, DROP COLUMN memory_peak_bytes, DROP COLUMN profile_key,
            DROP COLUMN worker_name""",
    ):
        op.execute(statement)
