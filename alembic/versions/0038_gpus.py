"""Add the GPUs that a job needs, and those of each slot of a worker."""

from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None
compatible_with = "0006"

UPGRADE = (
    """ALTER TABLE jobs ADD COLUMN gpus smallint NOT NULL DEFAULT 0
        CONSTRAINT ck_jobs_gpus CHECK (gpus BETWEEN 0 AND 8)""",
    "ALTER TABLE workers ADD COLUMN gpus smallint NOT NULL DEFAULT 0",
)


def upgrade() -> None:
    """Add the columns. Workers of the previous version do not look at what a job needs."""
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    """Drop them. Jobs that wait for a GPU run wherever their queue is served."""
    op.execute("ALTER TABLE workers DROP COLUMN gpus")
    op.execute("ALTER TABLE jobs DROP COLUMN gpus")
