"""Make shards cheaper to write: two indexes leave them out, and the guard of jobs is called less often.

Both indexes keep what processes of the previous version look for: the events of an owner, and jobs with an
expiry. They are built while new jobs and claims wait: seconds for a million jobs.

contract: 0006 stopped using events without an owner in ix_job_events_log_of_owner, and never read any
contract: 0006 stopped using jobs without expires_at in ix_jobs_oldest_finished, and never read any
"""

from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None
compatible_with = "0006"

INDEXES = (
    "CREATE INDEX ix_job_events_log_of_owner ON job_events (owner_id, xact_id, job_id, seq)"
    " WHERE owner_id IS NOT NULL",
    "CREATE INDEX ix_jobs_oldest_finished ON jobs (finished_at)"
    " WHERE finished_at IS NOT NULL AND expires_at IS NOT NULL",
)

INDEXES_BEFORE = (
    "CREATE INDEX ix_job_events_log_of_owner ON job_events (owner_id, xact_id, job_id, seq)",
    "CREATE INDEX ix_jobs_oldest_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL",
)

# Changes that the guard lets pass, of jobs that have not ended: claims, commits, ends and cancels. They are
# all but a few of all changes, and need no call of the function.
GUARD = """
CREATE OR REPLACE TRIGGER jobs_guard BEFORE UPDATE ON jobs FOR EACH ROW
WHEN (NOT (
    NEW.attempt >= OLD.attempt AND NEW.last_seq >= OLD.last_seq AND NEW.next_batch >= OLD.next_batch
    AND (OLD.status = 'pending' AND NEW.status IN ('pending', 'running', 'cancelled')
        OR OLD.status = 'running'
            AND NEW.status IN ('running', 'pending', 'completed', 'failed', 'cancelled'))
))
EXECUTE FUNCTION jobs_guard()"""

GUARD_BEFORE = """
CREATE OR REPLACE TRIGGER jobs_guard BEFORE UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION jobs_guard()"""


def upgrade() -> None:
    """Build the indexes again, and give the trigger its condition."""
    _rebuild(INDEXES)
    op.execute(GUARD)


def downgrade() -> None:
    """Build them as they were."""
    op.execute(GUARD_BEFORE)
    _rebuild(INDEXES_BEFORE)


def _rebuild(indexes: tuple[str, ...]) -> None:
    op.execute("DROP INDEX ix_job_events_log_of_owner")
    op.execute("DROP INDEX ix_jobs_oldest_finished")
    for index in indexes:
        op.execute(index)
