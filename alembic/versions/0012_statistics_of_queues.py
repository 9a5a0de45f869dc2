"""Create `queue_stats` and `system_stats`: the numbers that all API processes show in their metrics."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None
compatible_with = "0006"


def upgrade() -> None:
    """Create the tables; the first measurement inserts the one row of `system_stats`."""
    op.execute(
        """
        CREATE TABLE queue_stats (
            queue text NOT NULL,
            kind text NOT NULL,
            priority text NOT NULL,
            due integer NOT NULL,
            delayed integer NOT NULL,
            running integer NOT NULL,
            oldest_due_at timestamptz,
            CONSTRAINT pk_queue_stats PRIMARY KEY (queue, kind, priority)
        )"""
    )
    op.execute(
        """
        CREATE TABLE system_stats (
            is_current boolean NOT NULL DEFAULT true CONSTRAINT pk_system_stats PRIMARY KEY
                CONSTRAINT ck_system_stats_one_row CHECK (is_current),
            measured_at timestamptz,
            measured_seconds double precision NOT NULL DEFAULT 0,
            totals_at timestamptz,
            dead_letters jsonb NOT NULL DEFAULT '{}',
            database_bytes bigint,
            folded_until timestamptz
        )"""
    )


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP TABLE system_stats, queue_stats")
