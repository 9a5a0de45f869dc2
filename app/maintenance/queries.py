"""Reads of the maintenance loops: due jobs, the last measurement, and what refers to files in storage."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg

from app.core.sql import Statement

# How many jobs of each queue are due, counted up to a limit? Those of paused queues wait without tokens.
# Queue by queue: if the first due jobs of all queues were counted together, a thousand in one that no worker
# serves would hide all others. Which jobs of a queue are counted does not matter, only whether there are more
# of them than tokens.
_DUE: Final = Statement("""
WITH RECURSIVE queues (name) AS (
    SELECT min(queue) FROM jobs WHERE status = 'pending'
    UNION ALL
    SELECT (SELECT min(queue) FROM jobs WHERE status = 'pending' AND queue > q.name)
    FROM queues q WHERE q.name IS NOT NULL
)
SELECT q.name AS queue, due.jobs
FROM queues q CROSS JOIN LATERAL (
    SELECT count(*)::int AS jobs FROM (
        SELECT FROM jobs
        WHERE queue = q.name AND status = 'pending' AND run_at <= now() AND shards IS NULL LIMIT :limit
    ) counted
) due
WHERE due.jobs > 0 AND NOT EXISTS (SELECT FROM paused_queues p WHERE p.name = q.name)""")

# Is any job due?
_IS_ANY_DUE: Final = Statement(
    "SELECT EXISTS (SELECT FROM jobs WHERE status = 'pending' AND run_at <= now() AND shards IS NULL)"
)

# Is it time to measure the queues again, and which queues do workers serve?
# A clock of the server that was set back must not stop the measurements.
_MEASUREMENT: Final = Statement("""
SELECT coalesce(
        measured_at + greatest(:interval::interval, :rest * make_interval(secs => measured_seconds)) <= now()
        OR measured_at > now(),
        true) AS is_due,
    ARRAY(SELECT DISTINCT unnest(queues) FROM workers ORDER BY 1 LIMIT :limit) AS served
FROM (VALUES (1)) always LEFT JOIN system_stats ON true""")

# Which database is this, among all databases of all servers?
_DATABASE_ID: Final = Statement("""
SELECT system_identifier::text || '/' || (SELECT oid FROM pg_database WHERE datname = current_database())
FROM pg_control_system()""")

# Which of these datasets exist?
_DATASETS: Final = Statement("SELECT id FROM datasets WHERE id = ANY (:ids)")

# Which of these files are those of model versions?
_ARTIFACTS: Final = Statement(
    "SELECT artifact_key AS key FROM model_versions WHERE artifact_key = ANY (:keys)"
)

# Which files do the batches, checkpoints and attempts of these jobs refer to?
_FILES_OF_JOBS: Final = Statement("""
SELECT part_key AS key FROM job_batches WHERE job_id = ANY (:job_ids) AND part_key IS NOT NULL
UNION ALL
SELECT file ->> 'key' AS key FROM job_checkpoints WHERE job_id = ANY (:job_ids) AND file IS NOT NULL
UNION ALL
SELECT profile_key AS key FROM job_attempts WHERE job_id = ANY (:job_ids) AND profile_key IS NOT NULL""")

# Which unfinished jobs does this user have, apart from those that are being cancelled, and from shards?
_UNFINISHED_JOBS: Final = Statement("""
SELECT id FROM jobs
WHERE owner_id = :user_id AND status IN ('pending', 'running') AND parent_id IS NULL
    AND (cancel_requested_at IS NULL OR :with_cancelled)
ORDER BY id LIMIT :limit""")

# Which models does this user have?
_MODELS: Final = Statement("SELECT name FROM models WHERE owner_id = :user_id ORDER BY id LIMIT :limit")


@dataclass(frozen=True)
class DueJobs:
    """How many jobs of a queue are due."""

    queue: str
    jobs: int


@dataclass(frozen=True)
class Measurement:
    """Whether the queues are due to be measured again, and the queues that workers serve."""

    is_due: bool
    served: tuple[str, ...]


async def due_jobs(connection: asyncpg.Connection, *, limit: int) -> list[DueJobs]:
    """Return the queues that have due jobs, with at most `limit` counted in each."""
    return [DueJobs(row["queue"], row["jobs"]) for row in await _DUE.fetch(connection, limit=limit)]


async def is_any_due(connection: asyncpg.Connection) -> bool:
    """Whether any job is due."""
    found: bool = await _IS_ANY_DUE.fetchval(connection)
    return found


async def measurement(
    connection: asyncpg.Connection, *, interval: timedelta, rest: float, limit: int
) -> Measurement:
    """Return whether to measure: `interval` and `rest` times its duration after the last measurement.

    At most `limit` served queues are listed. They include those of workers that were lost a moment ago.
    """
    row = await _MEASUREMENT.fetchrow(connection, interval=interval, rest=rest, limit=limit)
    assert row is not None  # noqa: S101  # a row of VALUES is always there
    return Measurement(is_due=row["is_due"], served=tuple(row["served"]))


async def database_id(connection: asyncpg.Connection) -> str:
    """Return an id that no other database has."""
    found: str = await _DATABASE_ID.fetchval(connection)
    return found


async def existing_datasets(connection: asyncpg.Connection, ids: Collection[UUID]) -> set[UUID]:
    """Return those of the datasets that exist."""
    return {row["id"] for row in await _DATASETS.fetch(connection, ids=list(ids))}


async def artifacts(connection: asyncpg.Connection, keys: Collection[str]) -> set[str]:
    """Return those of the storage keys that model versions refer to."""
    return {row["key"] for row in await _ARTIFACTS.fetch(connection, keys=list(keys))}


async def files_of_jobs(connection: asyncpg.Connection, job_ids: Collection[UUID]) -> set[str]:
    """Return the storage keys that batches, checkpoints and attempts of the jobs refer to."""
    return {row["key"] for row in await _FILES_OF_JOBS.fetch(connection, job_ids=list(job_ids))}


async def jobs_to_cancel(connection: asyncpg.Connection, user_id: UUID, *, limit: int) -> list[UUID]:
    """Return unfinished jobs of a user whose cancellation has not been requested."""
    rows = await _UNFINISHED_JOBS.fetch(connection, user_id=user_id, with_cancelled=False, limit=limit)
    return [row["id"] for row in rows]


async def has_unfinished_jobs(connection: asyncpg.Connection, user_id: UUID) -> bool:
    """Whether a user has jobs that have not ended."""
    return bool(await _UNFINISHED_JOBS.fetch(connection, user_id=user_id, with_cancelled=True, limit=1))


async def models(connection: asyncpg.Connection, user_id: UUID, *, limit: int) -> list[str]:
    """Return the names of models of a user."""
    return [row["name"] for row in await _MODELS.fetch(connection, user_id=user_id, limit=limit)]
