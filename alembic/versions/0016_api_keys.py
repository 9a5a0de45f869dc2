"""Add API keys."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None
compatible_with = "0006"

# The role that people use for reports reads no hashes of keys.
GRANTS = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'headrace_readonly') THEN
        REVOKE ALL ON api_keys FROM headrace_readonly;
    END IF;
END;
$$
"""


def upgrade() -> None:
    """Create the table. Processes of the previous version do not use it."""
    for statement in (
        """CREATE TABLE api_keys (
            id uuid NOT NULL CONSTRAINT pk_api_keys PRIMARY KEY,
            user_id uuid NOT NULL
                CONSTRAINT fk_api_keys_user_id_users REFERENCES users (id) ON DELETE CASCADE,
            name text NOT NULL,
            key_hash bytea NOT NULL,
            scopes text[] NOT NULL CONSTRAINT ck_api_keys_scopes CHECK (
                scopes <> '{}' AND scopes <@ ARRAY[
                    'jobs:read', 'jobs:write', 'models:*', 'datasets:*', 'predict', 'admin']),
            created_at timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz,
            last_used_at timestamptz
        )""",
        "CREATE INDEX ix_api_keys_user_id ON api_keys (user_id, id)",
        "CREATE INDEX ix_api_keys_expired ON api_keys (expires_at) WHERE expires_at IS NOT NULL",
        GRANTS,
    ):
        op.execute(statement)


def downgrade() -> None:
    """Drop the table, and the tickets that keys have requested: nothing else says that a key has ended."""
    op.execute("DELETE FROM stream_tickets WHERE key_id IS NOT NULL")
    op.execute("DROP TABLE api_keys")
