"""Tell the refresh tokens of browsers, which are cookies, from those that programs send."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None
compatible_with = "0006"


def upgrade() -> None:
    """Add the column. All tokens so far are those of programs."""
    op.execute("ALTER TABLE refresh_tokens ADD COLUMN in_cookie boolean NOT NULL DEFAULT false")


def downgrade() -> None:
    """Drop the column. The tokens in cookies go: the previous version would accept them from programs."""
    op.execute("DELETE FROM refresh_tokens WHERE in_cookie")
    op.execute("ALTER TABLE refresh_tokens DROP COLUMN in_cookie")
