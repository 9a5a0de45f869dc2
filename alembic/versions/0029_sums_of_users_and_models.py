"""Repeat the statistics of hours and days as sums of each user and of each model, to read groups fast."""

# ruff: noqa: S608  # SQL put together from constants

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None
compatible_with = "0006"

REPEATED = "kind = '' AND step <> 'minute'"


def upgrade() -> None:
    """Add the rows and their indexes."""
    for statement in (
        f"CREATE INDEX ix_job_stats_repeated ON job_stats (step, at) WHERE {REPEATED}",
        f"CREATE INDEX ix_job_durations_repeated ON job_durations (step, at) WHERE {REPEATED}",
        _sums("owner_id", "owner_id, ''"),
        _sums("model", "'00000000-0000-0000-0000-000000000000', model"),
        """INSERT INTO job_durations (owner_id, step, at, kind, queue, measure, bucket, attempts)
        SELECT owner_id, step, at, '', '', measure, bucket, sum(attempts) FROM job_durations
        WHERE step <> 'minute' AND owner_id <> '00000000-0000-0000-0000-000000000000'
        GROUP BY owner_id, step, at, measure, bucket""",
    ):
        op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    for statement in (
        f"DELETE FROM job_stats WHERE {REPEATED}",
        f"DELETE FROM job_durations WHERE {REPEATED}",
        "DROP INDEX ix_job_stats_repeated",
        "DROP INDEX ix_job_durations_repeated",
    ):
        op.execute(statement)


def _sums(key: str, owner_and_model: str) -> str:
    return f"""
    INSERT INTO job_stats (owner_id, model, step, at, kind, queue, outcome, job_status, code, jobs, attempts,
        run_seconds, run_seconds_max, wait_seconds, wait_seconds_max, rows, measured_attempts, measured_jobs,
        measured_rows, cpu_seconds, memory_peak_bytes, last_job_id)
    SELECT {owner_and_model}, step, at, '', '', outcome, job_status, '', sum(jobs), sum(attempts),
        sum(run_seconds), max(run_seconds_max), sum(wait_seconds), max(wait_seconds_max), sum(rows),
        sum(measured_attempts), sum(measured_jobs), sum(measured_rows), sum(cpu_seconds),
        max(memory_peak_bytes), (array_agg(last_job_id) FILTER (WHERE last_job_id IS NOT NULL))[1]
    FROM job_stats
    WHERE step <> 'minute' AND kind <> '' AND owner_id <> '00000000-0000-0000-0000-000000000000'
    GROUP BY {key}, step, at, outcome, job_status"""
