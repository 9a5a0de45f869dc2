"""Create sign-in and sign-up attempts by network, for rate limits."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None
compatible_with = "0004"


def upgrade() -> None:
    """Create `attempts`."""
    op.execute(
        """
        CREATE TABLE attempts (
            subject bytea NOT NULL,
            network text NOT NULL,
            at timestamptz[] NOT NULL,
            expires_at timestamptz NOT NULL,
            CONSTRAINT pk_attempts PRIMARY KEY (subject, network)
        )"""
    )
    op.execute("CREATE INDEX ix_attempts_expired ON attempts (expires_at)")


def downgrade() -> None:
    """Drop `attempts`."""
    op.execute("DROP TABLE attempts")
