"""Add queues that are paused: their jobs wait, and the autoscaler needs no slots for them."""

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None
compatible_with = "0006"

# The running and the due jobs of the queues, counted up to at_most, except due jobs of paused queues, and
# those that the lane of the live workers has room for: the queue /predict. A worker that was not seen for a
# minute has no room for any.
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
            AND NOT EXISTS (SELECT FROM paused_queues p WHERE p.name = wanted.queue)
        ORDER BY j.sort_key, j.id
        LIMIT most + room)
    ) found;
    RETURN least(needed, most);
END;
$$"""

# How long the first due job of the queues has been due; paused queues have none.
HEAD_WAITED = """
CREATE OR REPLACE FUNCTION headrace_head_waited_seconds(queues text[]) RETURNS double precision
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    due_at timestamptz;
BEGIN
    SELECT min(head.run_at) INTO due_at
    FROM (SELECT DISTINCT unnest(queues) AS name) queue
    CROSS JOIN LATERAL (
        SELECT j.run_at FROM jobs j
        WHERE j.queue = queue.name AND j.status = 'pending' AND j.sort_key <= now() AND j.run_at <= now()
            AND NOT EXISTS (SELECT FROM paused_queues p WHERE p.name = queue.name)
        ORDER BY j.sort_key, j.id
        LIMIT 1
    ) head;
    RETURN coalesce(greatest(extract(epoch FROM now() - due_at), 0), 0);
END;
$$"""

# The functions of revisions 0024 and 0010.
SLOTS_NEEDED_BEFORE = SLOTS_NEEDED.replace(
    "            AND NOT EXISTS (SELECT FROM paused_queues p WHERE p.name = wanted.queue)\n", ""
)
HEAD_WAITED_BEFORE = HEAD_WAITED.replace(
    "            AND NOT EXISTS (SELECT FROM paused_queues p WHERE p.name = queue.name)\n", ""
)


def upgrade() -> None:
    """Create the table. Workers of the previous version do not look at it."""
    op.execute("""CREATE TABLE paused_queues (
        name text PRIMARY KEY,
        reason text NOT NULL CONSTRAINT ck_paused_queues_reason CHECK (reason <> ''),
        paused_by uuid REFERENCES users ON DELETE SET NULL,
        paused_at timestamptz NOT NULL DEFAULT now())""")
    op.execute(SLOTS_NEEDED)
    op.execute(HEAD_WAITED)


def downgrade() -> None:
    """Drop the table, and restore the functions. Jobs of paused queues start."""
    op.execute(HEAD_WAITED_BEFORE)
    op.execute(SLOTS_NEEDED_BEFORE)
    op.execute("DROP TABLE paused_queues")
