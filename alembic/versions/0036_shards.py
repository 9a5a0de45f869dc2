"""Add shards: jobs that each compute a range of the rows of another job, their parent.

Lists of jobs leave out shards. The indexes for that come beside the present ones, which the previous version
uses; a later revision drops those. They are built while new jobs and claims wait: seconds for a million jobs.

contract: 0006 stopped using the NOT NULL of job_events.owner_id, on which no version relies
"""

from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None
compatible_with = "0006"

COLUMNS = """
ALTER TABLE jobs
    ADD COLUMN parent_id uuid CONSTRAINT fk_jobs_parent_id_jobs REFERENCES jobs (id) ON DELETE CASCADE,
    ADD COLUMN shard_no integer,
    ADD COLUMN first_row bigint NOT NULL DEFAULT 0,
    ADD COLUMN shards integer,
    ADD COLUMN max_failed_shards integer,
    DROP CONSTRAINT ck_jobs_running_has_worker,
    ADD CONSTRAINT ck_jobs_running_has_worker CHECK (
        (status = 'running' AND shards IS NULL) = (worker_id IS NOT NULL)
    ),
    ADD CONSTRAINT ck_jobs_shards CHECK (
        (parent_id IS NULL) = (shard_no IS NULL)
        AND (shard_no IS NULL OR shard_no >= 0)
        AND (shards IS NULL) = (max_failed_shards IS NULL)
        AND (shards IS NULL OR shards BETWEEN 2 AND 1000)
        AND (shards IS NULL OR total IS NOT NULL)
        AND (max_failed_shards IS NULL OR max_failed_shards >= 0)
        AND (parent_id IS NULL OR shards IS NULL AND group_id IS NULL AND idempotency_key IS NULL)
        AND (parent_id IS NULL OR total IS NOT NULL)
        AND first_row >= 0 AND (parent_id IS NOT NULL OR first_row = 0)
    )
"""

OTHERS = (
    # NULL for the events of a shard: they are in no owner's log.
    "ALTER TABLE job_events ALTER COLUMN owner_id DROP NOT NULL",
    # The previous version does not know `first_row`: its workers would compute the first rows of the dataset.
    "ALTER TABLE workers ADD COLUMN runs_shards boolean NOT NULL DEFAULT false",
    "CREATE UNIQUE INDEX uq_jobs_shard_of_parent ON jobs (parent_id, shard_no) WHERE parent_id IS NOT NULL",
    """CREATE INDEX ix_jobs_open_parents ON jobs (id)
        WHERE shards IS NOT NULL AND status IN ('pending', 'running')""",
    "CREATE INDEX ix_jobs_newest_submitted_of_owner ON jobs (owner_id, id DESC) WHERE parent_id IS NULL",
    """CREATE INDEX ix_jobs_newest_submitted_of_owner_by_status ON jobs (owner_id, status, id DESC)
        WHERE parent_id IS NULL""",
)

# A shard that has completed starts over with its parent: from its first batch.
GUARD_BEFORE = (
    "('failed', 'pending'), ('cancelled', 'pending')\n    ) THEN",
    "NOT (OLD.status IN ('failed', 'cancelled') AND NEW.next_batch = 0)",
)
GUARD = (
    "('failed', 'pending'), ('cancelled', 'pending')\n    ) AND NOT (\n"
    "        (OLD.status, NEW.status) = ('completed', 'pending')"
    " AND NEW.parent_id IS NOT NULL AND NEW.next_batch = 0\n    ) THEN",
    "NOT ((OLD.status IN ('failed', 'cancelled') OR NEW.parent_id IS NOT NULL AND OLD.status = 'completed')"
    " AND NEW.next_batch = 0)",
)

# A parent needs no slot, and has not waited: its shards do.
AUTOSCALING = {
    "headrace_slots_needed": (
        "j.status = 'running' AND j.queue = wanted.queue",
        "j.queue = wanted.queue AND j.status = 'pending'",
    ),
    "headrace_head_waited_seconds": ("j.queue = queue.name AND j.status = 'pending'",),
}

GUARDS = (
    """
CREATE FUNCTION jobs_guard_plan() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the plan of job % and of its shards never changes', OLD.id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'jobs_guard_plan';
END $$""",
    """
CREATE TRIGGER jobs_guard_plan BEFORE UPDATE OF parent_id, shard_no, first_row, shards, max_failed_shards
    ON jobs FOR EACH ROW
    WHEN ((NEW.parent_id, NEW.shard_no, NEW.first_row, NEW.shards, NEW.max_failed_shards)
        IS DISTINCT FROM (OLD.parent_id, OLD.shard_no, OLD.first_row, OLD.shards, OLD.max_failed_shards))
    EXECUTE FUNCTION jobs_guard_plan()""",
    """
CREATE FUNCTION jobs_guard_parent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM jobs WHERE parent_id = NEW.id AND status IN ('pending', 'running')) THEN
        RAISE EXCEPTION 'job % may not end while a shard is open', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'jobs_guard_parent';
    END IF;
    IF NEW.status = 'completed' AND NEW.shards <> (
        SELECT count(*) FROM jobs WHERE parent_id = NEW.id AND status = 'completed'
    ) THEN
        RAISE EXCEPTION 'job % may not complete unless all its shards have', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'jobs_guard_parent';
    END IF;
    RETURN NEW;
END $$""",
    """
CREATE TRIGGER jobs_guard_parent BEFORE UPDATE OF status ON jobs FOR EACH ROW
    WHEN (NEW.shards IS NOT NULL AND NEW.status <> OLD.status
        AND NEW.status IN ('completed', 'failed', 'cancelled'))
    EXECUTE FUNCTION jobs_guard_parent()""",
    """
CREATE FUNCTION jobs_guard_shard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM workers WHERE id = NEW.worker_id AND NOT runs_shards) THEN
        RAISE EXCEPTION 'worker % is of a version that cannot run job %, a shard', NEW.worker_id, OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'jobs_guard_shard';
    END IF;
    RETURN NEW;
END $$""",
    """
CREATE TRIGGER jobs_guard_shard BEFORE UPDATE OF worker_id ON jobs FOR EACH ROW
    WHEN (NEW.parent_id IS NOT NULL AND OLD.status = 'pending' AND NEW.status = 'running')
    EXECUTE FUNCTION jobs_guard_shard()""",
)


def upgrade() -> None:
    """Add the columns, the indexes and the guards. The previous version submits jobs without shards."""
    for statement in (COLUMNS, *OTHERS, *GUARDS):
        op.execute(statement)
    for old, new in zip(GUARD_BEFORE, GUARD, strict=True):
        _change("jobs_guard", old, new)
    for function, conditions in AUTOSCALING.items():
        for condition in conditions:
            _change(function, condition, f"{condition} AND j.shards IS NULL")


def downgrade() -> None:
    """Drop them, with all jobs that have shards."""
    for function, conditions in AUTOSCALING.items():
        for condition in conditions:
            _change(function, f"{condition} AND j.shards IS NULL", condition)
    for old, new in zip(GUARD, GUARD_BEFORE, strict=True):
        _change("jobs_guard", old, new)
    for statement in (
        "DELETE FROM jobs WHERE shards IS NOT NULL",
        *(
            f"DROP TRIGGER {name} ON jobs"
            for name in ("jobs_guard_shard", "jobs_guard_parent", "jobs_guard_plan")
        ),
        *(f"DROP FUNCTION {name}()" for name in ("jobs_guard_shard", "jobs_guard_parent", "jobs_guard_plan")),
        "DROP INDEX ix_jobs_newest_submitted_of_owner_by_status",
        "DROP INDEX ix_jobs_newest_submitted_of_owner",
        "DROP INDEX ix_jobs_open_parents",
        "DROP INDEX uq_jobs_shard_of_parent",
        "ALTER TABLE workers DROP COLUMN runs_shards",
        "ALTER TABLE job_events ALTER COLUMN owner_id SET NOT NULL",
        "ALTER TABLE jobs DROP CONSTRAINT ck_jobs_shards, DROP CONSTRAINT ck_jobs_running_has_worker",
        """ALTER TABLE jobs DROP COLUMN max_failed_shards, DROP COLUMN shards, DROP COLUMN first_row,
            DROP COLUMN shard_no, DROP COLUMN parent_id,
            ADD CONSTRAINT ck_jobs_running_has_worker CHECK (
                (status = 'running') = (worker_id IS NOT NULL)
            )""",
    ):
        op.execute(statement)


def _change(function: str, old: str, new: str) -> None:
    # The server edits the definition, so that `alembic upgrade --sql` needs no database.
    op.execute(
        f"""DO $do$ BEGIN
            EXECUTE replace(pg_get_functiondef('{function}'::regproc), $old${old}$old$, $new${new}$new$);
        END $do$"""
    )
