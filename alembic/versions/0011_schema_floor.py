"""The oldest revision whose code still works on the schema, for processes that wait for it or are too old."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None
compatible_with = "0006"


def upgrade() -> None:
    """Create the table; alembic/env.py writes its one row as it applies each revision."""
    op.execute(
        """CREATE TABLE schema_floor (
            is_current boolean NOT NULL DEFAULT true CONSTRAINT pk_schema_floor PRIMARY KEY
                CONSTRAINT ck_schema_floor_one_row CHECK (is_current),
            revision text NOT NULL
        )"""
    )


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE schema_floor")
