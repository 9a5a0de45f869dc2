"""Add the slots of a worker that only `POST /predict` uses, and have the autoscaler need no slot for them."""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None
compatible_with = "0006"

# The running and the due jobs of the queues, counted up to at_most, except those that the lane of the live
# workers has room for: the queue /predict. A worker that was not seen for a minute has no room for any.
SLOTS_NEEDED = """
CREATE OR REPLACE FUNCTION headrace_slots_needed(queues text[], at_most integer) RETURNS double precision
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    most CONSTANT integer := greatest(at_most, 0);
    room bigint;
    needed bigint;
BEGIN
    SELECT coalesce(sum(predict_slots), 0) INTO room FROM workers
    WHERE seen_at > now() - interval '1 minute' AND stopping_at IS NULL;
    SELECT count(*) FILTER (WHERE queue <> '/predict')
        + greatest(count(*) FILTER (WHERE queue = '/predict') - room, 0) INTO needed
    FROM (SELECT DISTINCT unnest(queues) AS queue) wanted
    CROSS JOIN LATERAL (
        (SELECT FROM jobs j WHERE j.status = 'running' AND j.queue = wanted.queue LIMIT most + room)
        UNION ALL
        (SELECT FROM jobs j
        WHERE j.queue = wanted.queue AND j.status = 'pending' AND j.sort_key <= now() AND j.run_at <= now()
        ORDER BY j.sort_key, j.id
        LIMIT most + room)
    ) found;
    RETURN least(needed, most);
END;
$$"""

# The function of revision 0010.
SLOTS_NEEDED_BEFORE = """
CREATE OR REPLACE FUNCTION headrace_slots_needed(queues text[], at_most integer) RETURNS double precision
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    most CONSTANT integer := greatest(at_most, 0);
    needed bigint;
BEGIN
    SELECT count(*) INTO needed FROM (
        (SELECT 1 FROM jobs WHERE status = 'running' AND queue = ANY (queues) LIMIT most)
        UNION ALL
        (SELECT 1
        FROM (SELECT DISTINCT unnest(queues) AS name) queue
        CROSS JOIN LATERAL (
            SELECT 1 FROM jobs j
            WHERE j.queue = queue.name AND j.status = 'pending' AND j.sort_key <= now() AND j.run_at <= now()
            ORDER BY j.sort_key, j.id
            LIMIT most
        ) due)
    ) found;
    RETURN least(needed, most);
END;
$$"""


def upgrade() -> None:
    """Workers of the previous version serve no lane: they insert the default."""
    op.execute("ALTER TABLE workers ADD COLUMN predict_slots integer NOT NULL DEFAULT 0")
    op.execute(SLOTS_NEEDED)


def downgrade() -> None:
    """Drop the column, and restore the function."""
    op.execute(SLOTS_NEEDED_BEFORE)
    op.execute("ALTER TABLE workers DROP COLUMN predict_slots")
