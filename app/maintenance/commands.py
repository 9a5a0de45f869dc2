"""Changes that the maintenance loops make: stored numbers about the system, and the data of deleted users."""

from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg

from app.core.sql import Statement

# Create or lock the row that holds the totals. Are they recent enough not to be measured again?
# DO NOTHING would not lock a row that another process has just created.
_LOCK: Final = Statement("""
INSERT INTO system_stats DEFAULT VALUES ON CONFLICT (is_current) DO UPDATE SET is_current = true
RETURNING totals_at BETWEEN now() - :after::interval AND now()""")

# How many jobs of each queue, kind and priority are due, delayed and running, and how many schedules are
# there of each status? Shards count, and their parents do not: they take no slot. Replaces what was stored,
# and with `with_totals` also the dead letters by kind and the size of the database.
# The clock is read after `written` and `totals`, because the row of their join is built before its columns.
_MEASURE: Final = Statement("""
WITH unfinished AS (
    SELECT queue, kind, priority,
        count(*) FILTER (WHERE run_at <= now()) AS due, count(*) FILTER (WHERE run_at > now()) AS delayed,
        0 AS running, min(run_at) FILTER (WHERE run_at <= now()) AS oldest_due_at
    FROM jobs WHERE status = 'pending' AND shards IS NULL GROUP BY queue, kind, priority
    UNION ALL
    SELECT queue, kind, priority, 0, 0, count(*), NULL
    FROM jobs WHERE status = 'running' AND shards IS NULL GROUP BY queue, kind, priority
), measured AS (
    SELECT queue, kind, priority, sum(due)::int AS due, sum(delayed)::int AS delayed,
        sum(running)::int AS running, min(oldest_due_at) AS oldest_due_at
    FROM unfinished GROUP BY queue, kind, priority
), gone AS (
    DELETE FROM queue_stats s
    WHERE NOT EXISTS (
        SELECT FROM measured m WHERE (m.queue, m.kind, m.priority) = (s.queue, s.kind, s.priority))
    RETURNING 1
), changed AS (
    INSERT INTO queue_stats AS s (queue, kind, priority, due, delayed, running, oldest_due_at)
    SELECT queue, kind, priority, due, delayed, running, oldest_due_at FROM measured
    ON CONFLICT (queue, kind, priority) DO UPDATE SET
        due = excluded.due, delayed = excluded.delayed, running = excluded.running,
        oldest_due_at = excluded.oldest_due_at
    WHERE (s.due, s.delayed, s.running, s.oldest_due_at)
        IS DISTINCT FROM (excluded.due, excluded.delayed, excluded.running, excluded.oldest_due_at)
    RETURNING 1
), written AS (
    SELECT count(*) AS rows FROM (SELECT 1 FROM gone UNION ALL SELECT 1 FROM changed) either
), scheduled AS MATERIALIZED (
    SELECT coalesce(jsonb_object_agg(status, schedules), '{}') AS by_status
    FROM (SELECT status, count(*) AS schedules FROM schedules GROUP BY status) counted
), totals AS MATERIALIZED (
    SELECT coalesce(jsonb_object_agg(kind, jobs), '{}') AS dead_letters,
        pg_database_size(current_database()) AS database_bytes
    FROM (
        SELECT kind, count(*) AS jobs FROM jobs
        WHERE status = 'failed' AND dismissed_at IS NULL AND parent_id IS NULL GROUP BY kind
    ) failed
    HAVING :with_totals::boolean
)
UPDATE system_stats SET
    measured_at = now(),
    measured_seconds = extract(epoch FROM clock_timestamp() - now()),
    schedules = scheduled.by_status,
    dead_letters = coalesce(t.dead_letters, system_stats.dead_letters),
    database_bytes = coalesce(t.database_bytes, system_stats.database_bytes),
    totals_at = CASE WHEN t.dead_letters IS NULL THEN totals_at ELSE now() END
FROM written CROSS JOIN scheduled LEFT JOIN totals t ON true""")

# Deletes datasets of a user.
_DELETE_DATASETS: Final = Statement("""
DELETE FROM datasets WHERE id = ANY (ARRAY(
    SELECT id FROM datasets WHERE owner_id = :user_id ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED))
RETURNING id""")

# Deletes a user who was deleted long enough ago that no request from before is still running, if nothing of
# theirs is left. What the triggers counted goes with them, and their statistics; those of all users stay.
_DELETE_USER: Final = Statement("""
WITH gone AS (
    DELETE FROM users u WHERE u.id = :user_id AND u.deleted_at < now() - interval '1 minute'
        AND NOT EXISTS (SELECT FROM jobs WHERE owner_id = u.id)
        AND NOT EXISTS (SELECT FROM job_groups WHERE owner_id = u.id)
        AND NOT EXISTS (SELECT FROM datasets WHERE owner_id = u.id)
        AND NOT EXISTS (SELECT FROM models WHERE owner_id = u.id)
        AND NOT EXISTS (SELECT FROM subscriptions WHERE owner_id = u.id)
    RETURNING u.id
), counts AS (
    DELETE FROM stored_bytes s USING gone WHERE s.owner_id = gone.id
), stats AS (
    DELETE FROM job_stats s USING gone WHERE s.owner_id = gone.id
), durations AS (
    DELETE FROM job_durations d USING gone WHERE d.owner_id = gone.id
), peaks AS (
    DELETE FROM job_peaks p USING gone WHERE p.owner_id = gone.id
)
SELECT count(*) > 0 FROM gone""")


async def measure(connection: asyncpg.Connection, *, totals_after: timedelta) -> None:
    """Replace the stored numbers, in the caller's transaction, which began when the measurement did.

    The totals are measured only if they are older than `totals_after`. Processes that measure at the same
    time wait for each other.
    """
    are_recent: bool | None = await _LOCK.fetchval(connection, after=totals_after)
    await _MEASURE.execute(connection, with_totals=not are_recent)


async def delete_datasets(connection: asyncpg.Connection, user_id: UUID, *, limit: int) -> list[UUID]:
    """Delete at most `limit` datasets of a user who has no unfinished jobs. Return them."""
    rows = await _DELETE_DATASETS.fetch(connection, user_id=user_id, limit=limit)
    return [row["id"] for row in rows]


async def delete_user(connection: asyncpg.Connection, user_id: UUID) -> bool:
    """Delete a user, if nothing of theirs is left. Return whether the user is gone."""
    is_gone: bool = await _DELETE_USER.fetchval(connection, user_id=user_id)
    return is_gone
