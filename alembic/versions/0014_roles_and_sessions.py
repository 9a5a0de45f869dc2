"""Add the roles viewer and operator, sessions, password resets, invitations and the deletion of accounts."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None
compatible_with = "0006"

ROLES = "('viewer', 'user', 'operator', 'admin')"

# A session for each family of refresh tokens, so that its sign-in can be listed and ended.
SESSIONS_OF_FAMILIES = """
INSERT INTO sessions (id, user_id, created_at, last_used_at, expires_at, ended_at)
SELECT family_id, user_id, min(created_at), max(created_at), max(expires_at), max(revoked_at)
FROM refresh_tokens GROUP BY family_id, user_id
"""

# The role that people use for reports reads no hashes of tokens, and not where users signed in.
GRANTS = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'headrace_readonly') THEN
        REVOKE ALL ON sessions, password_resets, invitations, retired_usernames FROM headrace_readonly;
    END IF;
END;
$$
"""


def upgrade() -> None:
    """Create the tables and columns. Processes of the previous version use none of them.

    Give no user one of the new roles while such processes run: they do not know them.
    """
    for statement in (
        "ALTER TABLE users DROP CONSTRAINT ck_users_role",
        f"ALTER TABLE users ADD CONSTRAINT ck_users_role CHECK (role IN {ROLES})",
        "ALTER TABLE users ADD COLUMN deleted_at timestamptz",
        "CREATE INDEX ix_users_deleted ON users (deleted_at) WHERE deleted_at IS NOT NULL",
        """CREATE TABLE sessions (
            id uuid NOT NULL CONSTRAINT pk_sessions PRIMARY KEY,
            user_id uuid NOT NULL
                CONSTRAINT fk_sessions_user_id_users REFERENCES users (id) ON DELETE CASCADE,
            client text,
            network text,
            created_at timestamptz NOT NULL DEFAULT now(),
            last_used_at timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz NOT NULL,
            ended_at timestamptz
        )""",
        "CREATE INDEX ix_sessions_user_id ON sessions (user_id)",
        "CREATE INDEX ix_sessions_expired ON sessions (expires_at)",
        SESSIONS_OF_FAMILIES,
        """CREATE TABLE password_resets (
            token_hash bytea NOT NULL CONSTRAINT pk_password_resets PRIMARY KEY,
            user_id uuid NOT NULL
                CONSTRAINT fk_password_resets_user_id_users REFERENCES users (id) ON DELETE CASCADE,
            created_at timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz NOT NULL
        )""",
        "CREATE INDEX ix_password_resets_user_id ON password_resets (user_id)",
        "CREATE INDEX ix_password_resets_expired ON password_resets (expires_at)",
        f"""CREATE TABLE invitations (
            id uuid NOT NULL CONSTRAINT pk_invitations PRIMARY KEY,
            token_hash bytea NOT NULL CONSTRAINT uq_invitations_token_hash UNIQUE,
            role text NOT NULL CONSTRAINT ck_invitations_role CHECK (role IN {ROLES}),
            created_at timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz NOT NULL
        )""",
        "CREATE INDEX ix_invitations_expired ON invitations (expires_at)",
        """CREATE TABLE retired_usernames (
            key_hash bytea NOT NULL CONSTRAINT pk_retired_usernames PRIMARY KEY,
            retired_at timestamptz NOT NULL DEFAULT now()
        )""",
        "ALTER TABLE stream_tickets ADD COLUMN session_id uuid",
        "ALTER TABLE stream_tickets ADD COLUMN key_id uuid",
        "ALTER TABLE stream_tickets ADD COLUMN scopes text[]",
        GRANTS,
    ):
        op.execute(statement)


def downgrade() -> None:
    """Drop them. Operators become users; viewers too, but disabled, since they may not write."""
    for statement in (
        "ALTER TABLE stream_tickets DROP COLUMN scopes, DROP COLUMN key_id, DROP COLUMN session_id",
        "DROP TABLE retired_usernames",
        "DROP TABLE invitations",
        "DROP TABLE password_resets",
        "DROP TABLE sessions",
        "ALTER TABLE users DROP COLUMN deleted_at",
        "UPDATE users SET role = 'user', is_active = is_active AND role <> 'viewer'"
        " WHERE role IN ('viewer', 'operator')",
        "ALTER TABLE users DROP CONSTRAINT ck_users_role",
        "ALTER TABLE users ADD CONSTRAINT ck_users_role CHECK (role IN ('user', 'admin'))",
    ):
        op.execute(statement)
