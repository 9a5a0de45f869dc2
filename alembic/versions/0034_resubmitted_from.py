"""Add the earlier job in whose place a job was submitted."""

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None
compatible_with = "0006"


def upgrade() -> None:
    """Add the column. No foreign key: the earlier job is deleted sooner, and nothing reads it."""
    op.execute("ALTER TABLE jobs ADD COLUMN resubmitted_from uuid")


def downgrade() -> None:
    """Drop the column. Jobs stay, without what they were submitted in place of."""
    op.execute("ALTER TABLE jobs DROP COLUMN resubmitted_from")
