"""Tickets whose stream can be resumed."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None
compatible_with = "0006"


def upgrade() -> None:
    """Add the hash of the resume token."""
    op.execute("ALTER TABLE stream_tickets ADD COLUMN resume_hash bytea")


def downgrade() -> None:
    """Drop it."""
    op.execute("ALTER TABLE stream_tickets DROP COLUMN resume_hash")
