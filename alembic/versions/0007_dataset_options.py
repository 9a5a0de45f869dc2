"""How the file of a dataset was read.

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
    """Those that are there were read as files are read of which nothing is said."""
    op.execute("ALTER TABLE datasets ADD COLUMN options jsonb NOT NULL DEFAULT '{}'")


def downgrade() -> None:
    """Forget how they were read."""
    op.execute("ALTER TABLE datasets DROP COLUMN options")
