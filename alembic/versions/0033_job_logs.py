"""Add the logs of jobs: the lines that handlers write."""

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None
compatible_with = "0006"


def upgrade() -> None:
    """Create the table. Workers of the previous version store no lines."""
    op.execute("""CREATE TABLE job_logs (
        job_id uuid NOT NULL CONSTRAINT fk_job_logs_job_id_jobs REFERENCES jobs (id) ON DELETE CASCADE,
        attempt integer NOT NULL,
        part integer NOT NULL,
        first_line bigint NOT NULL,
        last_line bigint NOT NULL,
        bytes integer NOT NULL,
        written_at timestamptz[] NOT NULL,
        levels text[] NOT NULL,
        texts text[] NOT NULL,
        CONSTRAINT pk_job_logs PRIMARY KEY (job_id, attempt, part),
        CONSTRAINT ck_job_logs_lines CHECK (
            first_line >= 1 AND last_line >= first_line
            AND cardinality(texts) = last_line - first_line + 1
            AND cardinality(levels) = cardinality(texts) AND cardinality(written_at) = cardinality(texts)
        ),
        CONSTRAINT ck_job_logs_levels CHECK (levels <@ ARRAY['debug', 'info', 'warning', 'error'])
    )""")


def downgrade() -> None:
    """Drop the table with all logs."""
    op.execute("DROP TABLE job_logs")
