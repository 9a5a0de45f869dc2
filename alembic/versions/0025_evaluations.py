"""Add the evaluations of model versions, which outlive the jobs that made them."""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None
compatible_with = "0006"


def upgrade() -> None:
    """Create the table. Workers of the previous version record nothing in it."""
    op.execute(
        """
        CREATE TABLE model_evaluations (
            job_id uuid NOT NULL CONSTRAINT pk_model_evaluations PRIMARY KEY,
            owner_id uuid NOT NULL CONSTRAINT fk_model_evaluations_owner_id_users
                REFERENCES users (id) ON DELETE CASCADE,
            model_id uuid CONSTRAINT fk_model_evaluations_model_id_models
                REFERENCES models (id) ON DELETE CASCADE,
            version_id uuid CONSTRAINT fk_model_evaluations_version_id_model_versions
                REFERENCES model_versions (id) ON DELETE CASCADE,
            version integer NOT NULL,
            dataset_id uuid,
            target text NOT NULL,
            rows bigint NOT NULL,
            errors bigint NOT NULL,
            metrics jsonb NOT NULL,
            evaluated_at timestamptz NOT NULL DEFAULT now()
        )"""
    )
    op.execute(
        "CREATE INDEX ix_model_evaluations_latest_of_model"
        " ON model_evaluations (owner_id, model_id, job_id DESC)"
    )
    # What the deletion of a model or of one version looks for.
    op.execute("CREATE INDEX ix_model_evaluations_of_model ON model_evaluations (model_id)")
    op.execute("CREATE INDEX ix_model_evaluations_of_version ON model_evaluations (version_id)")


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE model_evaluations")
