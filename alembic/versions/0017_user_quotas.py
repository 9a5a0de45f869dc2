"""Add quotas that administrators set for single users."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None
compatible_with = "0006"


def upgrade() -> None:
    """Create the table. Processes of the previous version apply the defaults to everyone."""
    for statement in (
        """CREATE TABLE user_quotas (
            user_id uuid NOT NULL CONSTRAINT pk_user_quotas PRIMARY KEY
                CONSTRAINT fk_user_quotas_user_id_users REFERENCES users (id) ON DELETE CASCADE,
            max_active_jobs integer,
            max_running_jobs integer,
            max_stored_bytes bigint,
            max_model_bytes bigint,
            max_streams integer,
            CONSTRAINT ck_user_quotas_at_least_one CHECK (max_active_jobs >= 1 AND max_streams >= 1),
            CONSTRAINT ck_user_quotas_not_negative
                CHECK (max_running_jobs >= 0 AND max_stored_bytes >= 0 AND max_model_bytes >= 0)
        )""",
        "CREATE INDEX ix_user_quotas_running ON user_quotas (user_id) WHERE max_running_jobs IS NOT NULL",
    ):
        op.execute(statement)


def downgrade() -> None:
    """Drop the table: the defaults apply to everyone."""
    op.execute("DROP TABLE user_quotas")
