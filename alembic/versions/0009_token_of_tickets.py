"""Tickets that know when the token that bought them expires."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None
compatible_with = "0006"


def upgrade() -> None:
    """Add the instant; null is a ticket that a process of the version before has issued."""
    op.execute("ALTER TABLE stream_tickets ADD COLUMN token_expires_at timestamptz")


def downgrade() -> None:
    """Drop it."""
    op.execute("ALTER TABLE stream_tickets DROP COLUMN token_expires_at")
