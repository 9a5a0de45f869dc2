"""Deletes the data of deleted users."""

from typing import Final
from uuid import UUID

import asyncpg

from app.core.sql import Statement

# Deletes ended jobs of a user; which of them have files?
_DELETE_ENDED_JOBS: Final = Statement("""
WITH ended AS (
    SELECT id FROM jobs WHERE owner_id = :user_id AND status NOT IN ('pending', 'running')
    ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM jobs j USING ended WHERE j.id = ended.id
)
SELECT job_id FROM job_checkpoints WHERE job_id IN (SELECT id FROM ended) AND file IS NOT NULL
UNION
SELECT job_id FROM job_batches WHERE job_id IN (SELECT id FROM ended) AND part_key IS NOT NULL""")

# Deletes groups of a user that have no jobs any more.
_DELETE_EMPTY_GROUPS: Final = Statement("""
DELETE FROM job_groups WHERE id IN (
    SELECT g.id FROM job_groups g
    WHERE g.owner_id = :user_id AND NOT EXISTS (SELECT FROM jobs j WHERE j.group_id = g.id)
    ORDER BY g.id LIMIT :limit)""")

# Deletes datasets of a user.
_DELETE_DATASETS: Final = Statement("""
DELETE FROM datasets WHERE id IN (
    SELECT id FROM datasets WHERE owner_id = :user_id ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED)
RETURNING id""")

# Deletes a user who was deleted long enough ago that no request from before is still running, if nothing of
# theirs is left. What the triggers counted goes with them.
_DELETE_USER: Final = Statement("""
WITH gone AS (
    DELETE FROM users u WHERE u.id = :user_id AND u.deleted_at < now() - interval '1 minute'
        AND NOT EXISTS (SELECT FROM jobs WHERE owner_id = u.id)
        AND NOT EXISTS (SELECT FROM job_groups WHERE owner_id = u.id)
        AND NOT EXISTS (SELECT FROM datasets WHERE owner_id = u.id)
        AND NOT EXISTS (SELECT FROM models WHERE owner_id = u.id)
    RETURNING u.id
), counts AS (
    DELETE FROM stored_bytes s USING gone WHERE s.owner_id = gone.id
)
SELECT count(*) > 0 FROM gone""")


async def delete_ended_jobs(connection: asyncpg.Connection, user_id: UUID, *, limit: int) -> set[UUID]:
    """Delete at most `limit` ended jobs of a user. Return those that have files to delete."""
    rows = await _DELETE_ENDED_JOBS.fetch(connection, user_id=user_id, limit=limit)
    return {row["job_id"] for row in rows}


async def delete_empty_groups(connection: asyncpg.Connection, user_id: UUID, *, limit: int) -> None:
    """Delete at most `limit` groups of a user that have no jobs."""
    await _DELETE_EMPTY_GROUPS.execute(connection, user_id=user_id, limit=limit)


async def delete_datasets(connection: asyncpg.Connection, user_id: UUID, *, limit: int) -> list[UUID]:
    """Delete at most `limit` datasets of a user who has no unfinished jobs. Return them."""
    rows = await _DELETE_DATASETS.fetch(connection, user_id=user_id, limit=limit)
    return [row["id"] for row in rows]


async def delete_user(connection: asyncpg.Connection, user_id: UUID) -> bool:
    """Delete a user, if nothing of theirs is left. Return whether the user is gone."""
    is_gone: bool = await _DELETE_USER.fetchval(connection, user_id=user_id)
    return is_gone
