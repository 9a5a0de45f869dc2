"""Changes to jobs that are not transitions: deletion of expired data, and of the jobs of deleted users."""

from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg

from app.core.sql import Statement

# The first jobs of `first`, whole: with their shards, and together at most `limit` of both, or one job.
# `chosen` are the jobs without their shards.
_WITHIN_LIMIT: Final = """chosen AS (
    SELECT id FROM (
        SELECT id, sum(1 + coalesce(shards, 0)) OVER before AS jobs_through, row_number() OVER before AS place
        FROM first WINDOW before AS (ORDER BY at, id)
    ) counted WHERE jobs_through <= :limit OR place = 1
), whole AS (
    SELECT id FROM chosen
    UNION ALL
    SELECT s.id FROM chosen c JOIN jobs s ON s.parent_id = c.id
)"""

# Deletes the results, summaries, payloads, checkpoints, logs and profiles of jobs whose retention passed.
# Which have files? Those of shards are deleted with those of their parent, and count for the limit.
# A dead letter may still be retried: what it needs for that is deleted with the job itself.
_PRUNE_RESULTS: Final = Statement(f"""
WITH first AS (
    SELECT id, shards, expires_at AS at FROM jobs
    WHERE expires_at < now() AND pruned_at IS NULL AND (status <> 'failed' OR dismissed_at IS NOT NULL)
        AND parent_id IS NULL
    ORDER BY expires_at LIMIT :limit FOR UPDATE SKIP LOCKED
), {_WITHIN_LIMIT}, expired AS (
    UPDATE jobs SET pruned_at = now(), stored_bytes = 0, checkpoint_bytes = 0
    WHERE id IN (SELECT id FROM whole)
    RETURNING id
), payloads AS (
    DELETE FROM job_payloads p USING expired e WHERE p.job_id = e.id
), checkpoints AS (
    DELETE FROM job_checkpoints c USING expired e WHERE c.job_id = e.id
    RETURNING c.job_id, c.file IS NOT NULL AS is_file
), batches AS (
    DELETE FROM job_batches b USING expired e WHERE b.job_id = e.id
    RETURNING b.job_id, b.part_key IS NOT NULL AS is_file
), logs AS (
    DELETE FROM job_logs l USING expired e WHERE l.job_id = e.id
), summaries AS (
    DELETE FROM job_result_summaries s USING expired e WHERE s.job_id = e.id
), profiles AS (
    UPDATE job_attempts a SET profile_key = NULL FROM expired e
    WHERE a.job_id = e.id AND a.profile_key IS NOT NULL
    RETURNING a.job_id
)
SELECT job_id FROM checkpoints WHERE is_file
UNION SELECT job_id FROM batches WHERE is_file
UNION SELECT job_id FROM profiles""")


# The attempts of a job are deleted with it, so the statistics must have them.
_IS_FOLDED: Final = "finished_at < (SELECT folded_until FROM system_stats)"


def _deletion(selected: str, *, order: str) -> Statement:
    # Shards go with their parent, by the foreign key.
    return Statement(f"""
WITH first AS (
    SELECT id, shards, {order} AS at FROM jobs
    WHERE {selected} AND {_IS_FOLDED} AND parent_id IS NULL
    ORDER BY {order} LIMIT :limit FOR UPDATE SKIP LOCKED
), {_WITHIN_LIMIT}, gone AS (
    DELETE FROM jobs j USING chosen WHERE j.id = chosen.id
)
SELECT job_id FROM job_checkpoints WHERE job_id IN (SELECT id FROM whole) AND file IS NOT NULL
UNION
SELECT job_id FROM job_batches WHERE job_id IN (SELECT id FROM whole) AND part_key IS NOT NULL
UNION
SELECT job_id FROM job_attempts WHERE job_id IN (SELECT id FROM whole) AND profile_key IS NOT NULL""")


# Deletes jobs that ended longer ago than this and whose results have expired; which of them have files?
_DELETE_OLD: Final = _deletion(
    "finished_at < now() - :age::interval AND expires_at < now()", order="finished_at"
)

# Deletes ended jobs of this owner; which of them have files?
_DELETE_ENDED: Final = _deletion("owner_id = :owner_id AND status NOT IN ('pending', 'running')", order="id")

# Releases idempotency keys that are older than this.
_RELEASE_KEYS: Final = Statement("""
UPDATE jobs SET idempotency_key = NULL WHERE id = ANY (ARRAY(
    SELECT id FROM jobs WHERE idempotency_key IS NOT NULL AND created_at < now() - :age::interval
    LIMIT :limit FOR UPDATE SKIP LOCKED))""")


async def prune_results(connection: asyncpg.Connection, *, limit: int) -> set[UUID]:
    """Delete the expired results of at most `limit` jobs. Return the jobs that have files to delete."""
    return {row["job_id"] for row in await _PRUNE_RESULTS.fetch(connection, limit=limit)}


async def delete_old(connection: asyncpg.Connection, age: timedelta, *, limit: int) -> set[UUID]:
    """Delete at most `limit` jobs that ended before that age, and are in the statistics.

    Return those that have files to delete.
    """
    return {row["job_id"] for row in await _DELETE_OLD.fetch(connection, age=age, limit=limit)}


async def delete_ended(connection: asyncpg.Connection, owner_id: UUID, *, limit: int) -> set[UUID]:
    """Delete at most `limit` ended jobs of an owner that are in the statistics.

    Return those that have files to delete.
    """
    return {row["job_id"] for row in await _DELETE_ENDED.fetch(connection, owner_id=owner_id, limit=limit)}


async def release_keys(connection: asyncpg.Connection, age: timedelta, *, limit: int) -> None:
    """Release the idempotency keys of at most `limit` jobs older than `age`."""
    await _RELEASE_KEYS.execute(connection, age=age, limit=limit)
