"""Add the expiry of the access token to stream tickets."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None
compatible_with = "0006"


def upgrade() -> None:
    """Add the column. It is null for tickets issued by processes of the previous version."""
    op.execute("ALTER TABLE stream_tickets ADD COLUMN token_expires_at timestamptz")


def downgrade() -> None:
    """Drop the column."""
    op.execute("ALTER TABLE stream_tickets DROP COLUMN token_expires_at")
