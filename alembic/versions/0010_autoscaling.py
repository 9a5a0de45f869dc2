"""Functions for an autoscaler: how many slots the queues need, and how long the next job has waited.

They are the contract between the schema and whatever scales the workers, so that neither knows the other's
details. They run with the rights of the owner: the autoscaler's role reads no table.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None
compatible_with = "0006"

# Both walk the index and the conditions of the claim. Without its ORDER BY the planner reads the whole index.
# The running and the due jobs of the queues, counted up to at_most. Running jobs count as well: a scaler that
# saw only waiting jobs would remove busy workers.
SLOTS_NEEDED = """
CREATE FUNCTION headrace_slots_needed(queues text[], at_most integer) RETURNS double precision
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

# For how many seconds the job that is next in line in one of the queues has been due; 0 if none is due.
HEAD_WAITED = """
CREATE FUNCTION headrace_head_waited_seconds(queues text[]) RETURNS double precision
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    due_at timestamptz;
BEGIN
    SELECT min(head.run_at) INTO due_at
    FROM (SELECT DISTINCT unnest(queues) AS name) queue
    CROSS JOIN LATERAL (
        SELECT j.run_at FROM jobs j
        WHERE j.queue = queue.name AND j.status = 'pending' AND j.sort_key <= now() AND j.run_at <= now()
        ORDER BY j.sort_key, j.id
        LIMIT 1
    ) head;
    RETURN coalesce(greatest(extract(epoch FROM now() - due_at), 0), 0);
END;
$$"""

# Roles belong to the server: k8s/database/roles.sql creates them, before the first migration or after it.
GRANTS = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'headrace_autoscaler') THEN
        GRANT EXECUTE ON FUNCTION headrace_slots_needed(text[], integer) TO headrace_autoscaler;
        GRANT EXECUTE ON FUNCTION headrace_head_waited_seconds(text[]) TO headrace_autoscaler;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'headrace_readonly') THEN
        REVOKE ALL ON users, refresh_tokens, stream_tickets, hint_keys FROM headrace_readonly;
        GRANT SELECT (id, username, role, is_active, created_at) ON users TO headrace_readonly;
    END IF;
END;
$$;
"""


def upgrade() -> None:
    """Create the functions, and grant them to the autoscaler's role if there is one."""
    op.execute(SLOTS_NEEDED)
    op.execute(HEAD_WAITED)
    op.execute("REVOKE EXECUTE ON FUNCTION headrace_slots_needed(text[], integer) FROM PUBLIC")
    op.execute("REVOKE EXECUTE ON FUNCTION headrace_head_waited_seconds(text[]) FROM PUBLIC")
    op.execute(GRANTS)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP FUNCTION headrace_head_waited_seconds(text[])")
    op.execute("DROP FUNCTION headrace_slots_needed(text[], integer)")
