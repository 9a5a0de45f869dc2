"""Add the tickets with which a browser downloads a file, and an index of ticks without a job."""

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None
compatible_with = "0006"

# Roles belong to the server: k8s/database/roles.sql creates them, before the first migration or after it.
GRANTS = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'headrace_readonly') THEN
        REVOKE ALL ON download_tickets FROM headrace_readonly;
    END IF;
END;
$$;
"""


def upgrade() -> None:
    """Create the table. Processes of the previous version issue none."""
    op.execute("""CREATE TABLE download_tickets (
        ticket_hash bytea PRIMARY KEY,
        user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
        session_id uuid,
        key_id uuid,
        scopes text[],
        expires_at timestamptz NOT NULL,
        token_expires_at timestamptz)""")
    op.execute("CREATE INDEX ix_download_tickets_expired ON download_tickets (expires_at)")
    op.execute(GRANTS)
    op.execute("""CREATE INDEX ix_schedule_firings_without_job ON schedule_firings (schedule_id, fire_at)
        WHERE outcome IN ('skipped', 'missed', 'refused')""")


def downgrade() -> None:
    """Drop the table. Its tickets live for 30 seconds."""
    op.execute("DROP INDEX ix_schedule_firings_without_job")
    op.execute("DROP TABLE download_tickets")
