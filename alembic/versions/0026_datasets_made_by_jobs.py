"""Add how a job made a dataset, and the profiles of datasets."""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None
compatible_with = "0006"


def upgrade() -> None:
    """Add the column, empty for uploads, and the table."""
    op.execute("ALTER TABLE datasets ADD COLUMN lineage jsonb")
    op.execute(
        """CREATE TABLE dataset_profiles (
            dataset_id uuid NOT NULL CONSTRAINT pk_dataset_profiles PRIMARY KEY
                CONSTRAINT fk_dataset_profiles_dataset_id_datasets
                REFERENCES datasets (id) ON DELETE CASCADE,
            profile jsonb NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now()
        )"""
    )


def downgrade() -> None:
    """Drop both. The datasets that jobs made stay."""
    op.execute("DROP TABLE dataset_profiles")
    op.execute("ALTER TABLE datasets DROP COLUMN lineage")
