"""The `traceparent` of a job's submission, if it was traced: every attempt links to it.

It is in Postgres and not in the wake token, so that the link survives a loss of Redis, a retry and a rescue.
A CHECK of its length would read the whole table under the lock of the ALTER.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None
compatible_with = "0006"


def upgrade() -> None:
    """Add the column."""
    op.execute("ALTER TABLE jobs ADD COLUMN trace_context text")


def downgrade() -> None:
    """Drop it."""
    op.execute("ALTER TABLE jobs DROP COLUMN trace_context")
