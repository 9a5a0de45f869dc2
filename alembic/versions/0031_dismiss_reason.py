"""Add the reason for which a dead letter was dismissed."""

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None
compatible_with = "0006"

# Columns that `jobs_guard` lets change after the end of a job.
ASIDE_BEFORE = "'pruned_at', 'dismissed_at', "
ASIDE = "'pruned_at', 'dismissed_at', 'dismiss_reason', "


def upgrade() -> None:
    """Add the column. Processes of the previous version dismiss without a reason, as before."""
    op.execute("ALTER TABLE jobs ADD COLUMN dismiss_reason text")
    _change_guard(ASIDE_BEFORE, ASIDE)


def downgrade() -> None:
    """Drop the column with its reasons."""
    _change_guard(ASIDE, ASIDE_BEFORE)
    op.execute("ALTER TABLE jobs DROP COLUMN dismiss_reason")


def _change_guard(old: str, new: str) -> None:
    # The server edits the definition, so that `alembic upgrade --sql` needs no database.
    op.execute(
        f"""DO $do$ BEGIN
            EXECUTE replace(pg_get_functiondef('jobs_guard'::regproc), $old${old}$old$, $new${new}$new$);
        END $do$"""
    )
