"""Add what owners need to take turns: each user's share, and indexes of the owners that wait.

An index on `jobs` is built while new jobs and claims wait: seconds for a million jobs. The least share keeps
the turn of an owner with many running jobs within what a timestamp can hold.
"""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None
compatible_with = "0006"


def upgrade() -> None:
    """Add the column and the indexes. Workers of the previous version claim without turns."""
    for statement in (
        "ALTER TABLE users ADD COLUMN share double precision NOT NULL DEFAULT 1"
        " CONSTRAINT ck_users_share CHECK (share >= 0.01 AND share <= 100)",
        "CREATE INDEX ix_jobs_next_of_owner ON jobs (queue, owner_id, sort_key, id) WHERE status = 'pending'",
        "CREATE INDEX ix_jobs_latest_start_of_owner ON jobs (owner_id, attempt_started_at DESC)"
        " WHERE attempt_started_at IS NOT NULL",
    ):
        op.execute(statement)


def downgrade() -> None:
    """Drop them: all users have the same share."""
    for statement in (
        "DROP INDEX ix_jobs_latest_start_of_owner",
        "DROP INDEX ix_jobs_next_of_owner",
        "ALTER TABLE users DROP COLUMN share",
    ):
        op.execute(statement)
