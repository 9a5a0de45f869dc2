"""Add resume tokens to stream tickets."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None
compatible_with = "0006"


def upgrade() -> None:
    """Add the column for the resume token's hash."""
    op.execute("ALTER TABLE stream_tickets ADD COLUMN resume_hash bytea")


def downgrade() -> None:
    """Drop the column."""
    op.execute("ALTER TABLE stream_tickets DROP COLUMN resume_hash")
