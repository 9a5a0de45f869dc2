"""Create stream tickets."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create `stream_tickets`."""
    op.execute(
        """
        CREATE TABLE stream_tickets (
            ticket_hash bytea CONSTRAINT pk_stream_tickets PRIMARY KEY,
            user_id uuid NOT NULL
                CONSTRAINT fk_stream_tickets_user_id_users REFERENCES users (id) ON DELETE CASCADE,
            job_id uuid,
            expires_at timestamptz NOT NULL
        )"""
    )
    op.execute("CREATE INDEX ix_stream_tickets_expired ON stream_tickets (expires_at)")


def downgrade() -> None:
    """Drop `stream_tickets`."""
    op.execute("DROP TABLE stream_tickets")
