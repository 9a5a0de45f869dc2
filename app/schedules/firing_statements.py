"""The SQL of firings: which schedules are due, what decides about their ticks, and what became of these.

A schedule is locked before what decides about it is read, in another statement: one statement would see the
jobs and firings as they were before it got the lock, and not what the process before it has committed.
"""

# ruff: noqa: S608  # SQL put together from constants; values are parameters

from typing import Final

from app.core.sql import RowSet, Statement

JOBS_LOOKED_AT: Final = 1000
"""Failures in a row are counted among so many jobs of a schedule: most of them may be cancelled."""

# How long until the next tick of a schedule of these kinds, and is any tick waiting for a job to end?
LOOK: Final = Statement("""
SELECT extract(epoch FROM min(next_fire_at) - now())::float8 AS seconds,
    EXISTS (SELECT FROM schedule_firings WHERE outcome = 'waiting') AS has_waiting
FROM schedules WHERE status = 'active' AND kind = ANY (:kinds::text[])""")

# Locks schedules of these kinds that are due, the longest due first. `now` is null except in tests.
# Schedules that other processes are firing are skipped.
TAKE_DUE: Final = Statement("""
SELECT id FROM schedules
WHERE status = 'active' AND next_fire_at <= coalesce(:now::timestamptz, now())
    AND kind = ANY (:kinds::text[])
ORDER BY next_fire_at, id LIMIT :limit
FOR NO KEY UPDATE SKIP LOCKED""")

# Locks schedules of these kinds with a waiting tick and no active job.
# A scalar subquery, because Postgres would hash all jobs for an EXISTS.
TAKE_WAITING: Final = Statement("""
SELECT s.id FROM schedules s
WHERE s.id = ANY (ARRAY(SELECT DISTINCT schedule_id FROM schedule_firings WHERE outcome = 'waiting'))
    AND s.status IN ('active', 'finished') AND s.kind = ANY (:kinds::text[])
    AND (SELECT true FROM users u WHERE u.id = s.owner_id AND u.is_active)
    AND (SELECT true FROM jobs j WHERE j.schedule_id = s.id AND j.status IN ('pending', 'running') LIMIT 1)
        IS NULL
ORDER BY s.id LIMIT :limit
FOR NO KEY UPDATE OF s SKIP LOCKED""")

# What decides about the ticks of these schedules, which are locked?
STATE: Final = Statement(f"""
SELECT s.*, u.role AS owner_role, u.is_active AS owner_is_active, coalesce(:now::timestamptz, now()) AS now,
    coalesce((SELECT true FROM jobs j
        WHERE j.schedule_id = s.id AND j.status IN ('pending', 'running') LIMIT 1), false) AS is_busy,
    (SELECT count(*)::int FROM schedule_firings f
        WHERE f.schedule_id = s.id AND f.outcome = 'waiting') AS waiting,
    (SELECT min(f.fire_at) FROM schedule_firings f
        WHERE f.schedule_id = s.id AND f.outcome = 'waiting') AS waiting_since,
    (SELECT count(*) FILTER (WHERE ended.status = 'failed')::int FROM (
        SELECT newest.status FROM (
            SELECT j.id, j.status, j.created_at FROM jobs j
            WHERE j.schedule_id = s.id AND s.pause_after_failures IS NOT NULL
            ORDER BY j.id DESC LIMIT {JOBS_LOOKED_AT}) newest
        WHERE newest.status IN ('completed', 'failed')
            AND (s.resumed_at IS NULL OR newest.created_at >= s.resumed_at)
        ORDER BY newest.id DESC LIMIT s.pause_after_failures) ended) AS failures
FROM schedules s JOIN users u ON u.id = s.owner_id
WHERE s.id = ANY (:schedule_ids::uuid[])
ORDER BY s.next_fire_at, s.id""")

FIRINGS: Final = RowSet(
    "firing",
    schedule_id="uuid",
    fire_at="timestamptz",
    outcome="text",
    job_id="uuid",
    count="int",
    through_at="timestamptz",
    reason="text",
)

PLANS: Final = RowSet(
    "plan",
    schedule_id="uuid",
    next_fire_at="timestamptz",
    status="text",
    reason="text",
    replaces_waiting="boolean",
)

# Records what became of ticks, and where their schedules stand now. Which of the jobs are to be created?
# A tick that has a firing already gets no second one, and no job.
RECORD: Final = Statement(f"""
WITH plans AS (
    SELECT * FROM {PLANS.sql}
), recorded AS (
    INSERT INTO schedule_firings (schedule_id, fire_at, outcome, job_id, count, through_at, reason)
    SELECT schedule_id, fire_at, outcome, job_id, count, through_at, reason::jsonb FROM {FIRINGS.sql}
    ON CONFLICT (schedule_id, fire_at) DO NOTHING
    RETURNING schedule_id, fire_at, outcome, job_id
), replaced AS (
    UPDATE schedule_firings f SET outcome = 'replaced', at = now()
    FROM plans p WHERE p.replaces_waiting AND f.schedule_id = p.schedule_id AND f.outcome = 'waiting'
    RETURNING f.schedule_id
), runs AS (
    SELECT schedule_id, sum(run)::int AS runs, max(fired_at) AS last_fire_at FROM (
        SELECT schedule_id, 1 AS run, CASE outcome WHEN 'fired' THEN fire_at END AS fired_at
        FROM recorded WHERE outcome IN ('fired', 'waiting')
        UNION ALL
        SELECT schedule_id, -1, NULL FROM replaced
    ) changes
    GROUP BY schedule_id
), planned AS (
    UPDATE schedules s SET
        next_fire_at = p.next_fire_at, status = p.status, reason = p.reason::jsonb, updated_at = now(),
        tz_version = CASE WHEN s.tz_version IS NULL THEN NULL ELSE :tz_version END,
        last_fire_at = greatest(s.last_fire_at, r.last_fire_at),
        fired = greatest(s.fired + coalesce(r.runs, 0), 0)
    FROM plans p LEFT JOIN runs r ON r.schedule_id = p.schedule_id
    WHERE s.id = p.schedule_id
)
SELECT schedule_id, fire_at, outcome, job_id FROM recorded""")

# Records that waiting ticks got a job, or why they got none. Which of them were still waiting?
PROMOTE: Final = Statement(f"""
WITH recorded AS (
    UPDATE schedule_firings f SET
        outcome = firing.outcome, job_id = firing.job_id, reason = firing.reason::jsonb, at = now()
    FROM {FIRINGS.sql}
    WHERE f.schedule_id = firing.schedule_id AND f.fire_at = firing.fire_at AND f.outcome = 'waiting'
    RETURNING f.schedule_id, f.fire_at, f.outcome, f.job_id
), planned AS (
    UPDATE schedules s SET
        updated_at = now(),
        last_fire_at = CASE r.outcome WHEN 'fired' THEN greatest(s.last_fire_at, r.fire_at)
            ELSE s.last_fire_at END,
        fired = greatest(s.fired - (r.outcome <> 'fired')::int, 0)
    FROM recorded r WHERE s.id = r.schedule_id
)
SELECT schedule_id, fire_at, outcome, job_id FROM recorded""")

# Which jobs of these schedules are active?
ACTIVE_JOBS: Final = Statement("""
SELECT id FROM jobs
WHERE schedule_id = ANY (:schedule_ids::uuid[]) AND status IN ('pending', 'running') ORDER BY id""")

# Locks schedules whose next tick was computed with older zone data, and those whose owner is active again.
TAKE_OUTDATED: Final = Statement("""
SELECT s.*, coalesce(:now::timestamptz, now()) AS now
FROM schedules s
WHERE s.id = ANY (ARRAY(
    SELECT id FROM schedules
    WHERE status = 'active' AND tz_version < :tz_version
        AND next_fire_at > coalesce(:now::timestamptz, now())
    UNION ALL
    SELECT o.id FROM schedules o JOIN users u ON u.id = o.owner_id
    WHERE o.status = 'suspended' AND u.is_active))
ORDER BY s.id LIMIT :limit
FOR NO KEY UPDATE OF s SKIP LOCKED""")

# Stores the next ticks of schedules that were computed again.
RENEW: Final = Statement(f"""
UPDATE schedules s SET
    next_fire_at = plan.next_fire_at, status = plan.status, reason = plan.reason::jsonb, updated_at = now(),
    tz_version = CASE WHEN s.tz_version IS NULL THEN NULL ELSE :tz_version END
FROM {PLANS.sql} WHERE s.id = plan.schedule_id""")
