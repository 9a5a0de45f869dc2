"""Add the indexes by which the search finds models, datasets and schedules.

They compare lower-case names by bytes, whatever the collation of the database is: the names that begin with a
text follow each other.
"""

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None
compatible_with = "0006"

INDEXES = {
    "ix_models_found_by_name": """ON models (owner_id, (lower(name) COLLATE "C"))""",
    "ix_models_public_found_by_name": """ON models ((lower(name) COLLATE "C"), id)
        WHERE visibility = 'public'""",
    "ix_datasets_found_by_name": """ON datasets (owner_id, (lower(name) COLLATE "C"), id DESC)""",
    "ix_schedules_found_by_name": """ON schedules (owner_id, (lower(name) COLLATE "C"))""",
}


def upgrade() -> None:
    """Create the indexes."""
    for name, definition in INDEXES.items():
        op.execute(f"CREATE INDEX {name} {definition}")


def downgrade() -> None:
    """Drop them."""
    for name in reversed(INDEXES):
        op.execute(f"DROP INDEX {name}")
