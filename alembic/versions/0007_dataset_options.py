"""Add the options with which a dataset's file was parsed.

Revision ID: 0007
Revises: 0006
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None
compatible_with = "0006"


def upgrade() -> None:
    """Add the column. Existing datasets were parsed with default options."""
    op.execute("ALTER TABLE datasets ADD COLUMN options jsonb NOT NULL DEFAULT '{}'")


def downgrade() -> None:
    """Drop the column."""
    op.execute("ALTER TABLE datasets DROP COLUMN options")
