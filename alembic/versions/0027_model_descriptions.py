"""Add descriptions and tags of models and of their versions."""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None
compatible_with = "0006"


def upgrade() -> None:
    """Add the columns. Processes of the previous version neither show nor change them."""
    for table in ("models", "model_versions"):
        op.execute(
            f"ALTER TABLE {table} ADD COLUMN description text, ADD COLUMN tags jsonb NOT NULL DEFAULT '{{}}'"
        )


def downgrade() -> None:
    """Drop the columns, with all descriptions and tags."""
    for table in ("model_versions", "models"):
        op.execute(f"ALTER TABLE {table} DROP COLUMN tags, DROP COLUMN description")
