"""Add the reports of trained versions."""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None
compatible_with = "0006"


def upgrade() -> None:
    """Create the table. Versions of earlier trainings have no report."""
    op.execute(
        """CREATE TABLE model_reports (
            version_id uuid CONSTRAINT model_reports_pkey PRIMARY KEY
                CONSTRAINT model_reports_version_id_fkey REFERENCES model_versions (id) ON DELETE CASCADE,
            report jsonb NOT NULL
        )"""
    )


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE model_reports")
