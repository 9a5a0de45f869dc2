"""Add to each worker whether its engine can run jobs at once."""

from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None
compatible_with = "0006"


def upgrade() -> None:
    """Add the column. Workers of the previous version leave it at its default, which is true of them."""
    op.execute("ALTER TABLE workers ADD COLUMN engine_state text NOT NULL DEFAULT 'ready'")


def downgrade() -> None:
    """Drop the column."""
    op.execute("ALTER TABLE workers DROP COLUMN engine_state")
