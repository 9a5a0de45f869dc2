"""Prune: what has served its time is removed, a bounded number at once."""

from datetime import timedelta
from typing import Final

import asyncpg

from app.core.config import Settings
from app.jobs import leases
from app.streams import tickets

JOBS_AT_ONCE: Final = 1000
IDEMPOTENCY_KEY_LIFETIME: Final = timedelta(hours=24)

_RESULTS: Final = """
WITH expired AS (
    UPDATE jobs SET pruned_at = now() WHERE id IN (
        SELECT id FROM jobs
        -- A dead letter waits for a person: what it needs to be tried again goes when the job itself does.
        WHERE expires_at < now() AND pruned_at IS NULL AND (status <> 'failed' OR dismissed_at IS NOT NULL)
        ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED)
    RETURNING id
), payloads AS (
    DELETE FROM job_payloads p USING expired e WHERE p.job_id = e.id
), checkpoints AS (
    DELETE FROM job_checkpoints c USING expired e WHERE c.job_id = e.id
)
DELETE FROM job_batches b USING expired e WHERE b.job_id = e.id"""

_JOBS: Final = """
DELETE FROM jobs WHERE id IN (
    SELECT id FROM jobs WHERE finished_at < now() - $1::interval AND expires_at < now()
    ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED)"""

_KEYS: Final = """
UPDATE jobs SET idempotency_key = NULL WHERE id IN (
    SELECT id FROM jobs WHERE idempotency_key IS NOT NULL AND created_at < now() - $1::interval
    LIMIT $2 FOR UPDATE SKIP LOCKED)"""

_GROUP_KEYS: Final = """
UPDATE job_groups SET idempotency_key = NULL
WHERE idempotency_key IS NOT NULL AND created_at < now() - $1::interval"""

_GROUPS: Final = """
DELETE FROM job_groups WHERE id IN (
    SELECT g.id FROM job_groups g
    WHERE g.created_at < now() - $1::interval AND NOT EXISTS (SELECT FROM jobs j WHERE j.group_id = g.id)
    ORDER BY g.id LIMIT $2)"""


class Prune:
    """Removes what is expired: results, old jobs with all that hangs on them, keys, tickets, workers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def __call__(self, connection: asyncpg.Connection) -> None:
        """Remove what is due now."""
        await connection.execute(_RESULTS, JOBS_AT_ONCE)
        await connection.execute(_JOBS, timedelta(seconds=self._settings.job_retention_seconds), JOBS_AT_ONCE)
        await connection.execute(_KEYS, IDEMPOTENCY_KEY_LIFETIME, JOBS_AT_ONCE)
        await connection.execute(_GROUP_KEYS, IDEMPOTENCY_KEY_LIFETIME)
        await connection.execute(_GROUPS, IDEMPOTENCY_KEY_LIFETIME, JOBS_AT_ONCE)
        await tickets.prune(connection)
        await leases.prune(connection, timedelta(seconds=self._settings.lease_seconds))
