"""Add the summaries of results, and an index of the jobs that read a dataset."""

from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None
compatible_with = "0006"


def upgrade() -> None:
    """Create the table and the index. Processes of the previous version keep no summaries."""
    op.execute("""CREATE TABLE job_result_summaries (
        job_id uuid PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
        attempt integer NOT NULL,
        done bigint NOT NULL,
        summary jsonb NOT NULL)""")
    op.execute("CREATE INDEX ix_jobs_of_dataset ON jobs (dataset_id, id DESC) WHERE dataset_id IS NOT NULL")


def downgrade() -> None:
    """Drop them. A summary is computed again when it is asked for."""
    op.execute("DROP INDEX ix_jobs_of_dataset")
    op.execute("DROP TABLE job_result_summaries")
