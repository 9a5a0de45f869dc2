"""Prune: what has served its time is removed, a bounded number at once."""

from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta
from functools import partial
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from app.auth import attempts
from app.core.config import Settings
from app.core.errors import StorageUnavailable
from app.core.storage import Storage
from app.jobs import leases
from app.jobs.results import files_prefix
from app.streams import tickets

JOBS_AT_ONCE: Final = 1000
FILES_AT_ONCE: Final = 1000
IDEMPOTENCY_KEY_LIFETIME: Final = timedelta(hours=24)

_RESULTS: Final = """
WITH expired AS (
    UPDATE jobs SET pruned_at = now(), stored_bytes = 0, checkpoint_bytes = 0 WHERE id IN (
        SELECT id FROM jobs
        -- A dead letter waits for a person: what it needs to be tried again goes when the job itself does.
        WHERE expires_at < now() AND pruned_at IS NULL AND (status <> 'failed' OR dismissed_at IS NOT NULL)
        ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED)
    RETURNING id
), payloads AS (
    DELETE FROM job_payloads p USING expired e WHERE p.job_id = e.id
), checkpoints AS (
    DELETE FROM job_checkpoints c USING expired e WHERE c.job_id = e.id
    RETURNING c.job_id, c.file IS NOT NULL AS is_file
), batches AS (
    DELETE FROM job_batches b USING expired e WHERE b.job_id = e.id
    RETURNING b.job_id, b.part_key IS NOT NULL AS is_file
)
SELECT job_id FROM checkpoints WHERE is_file UNION SELECT job_id FROM batches WHERE is_file"""

_JOBS: Final = """
WITH old AS (
    SELECT id FROM jobs WHERE finished_at < now() - $1::interval AND expires_at < now()
    ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM jobs j USING old WHERE j.id = old.id
)
SELECT job_id FROM job_checkpoints WHERE job_id IN (SELECT id FROM old) AND file IS NOT NULL
UNION
SELECT job_id FROM job_batches WHERE job_id IN (SELECT id FROM old) AND part_key IS NOT NULL"""

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

log = structlog.get_logger(__name__)


class Prune:
    """Removes what is expired: results, old jobs with all that hangs on them, keys, tickets, workers."""

    def __init__(self, settings: Settings, storage: Storage, *, jobs_at_once: int = JOBS_AT_ONCE) -> None:
        self._settings = settings
        self._storage = storage
        self._jobs_at_once = jobs_at_once

    async def __call__(self, connection: asyncpg.Connection) -> Callable[[], Awaitable[None]]:
        """Remove what is due now; files only after that is committed."""
        retention = timedelta(seconds=self._settings.job_retention_seconds)
        with_files = await connection.fetch(_RESULTS, self._jobs_at_once)
        with_files += await connection.fetch(_JOBS, retention, self._jobs_at_once)
        await connection.execute(_KEYS, IDEMPOTENCY_KEY_LIFETIME, self._jobs_at_once)
        await connection.execute(_GROUP_KEYS, IDEMPOTENCY_KEY_LIFETIME)
        await connection.execute(_GROUPS, IDEMPOTENCY_KEY_LIFETIME, self._jobs_at_once)
        await tickets.prune(connection)
        await attempts.prune(connection)
        await leases.prune(connection, timedelta(seconds=self._settings.lease_seconds))
        return partial(self._delete_files, {row["job_id"] for row in with_files})

    async def _delete_files(self, job_ids: Collection[UUID]) -> None:
        """Delete all that jobs have left in storage, a page at a time. What fails is left to the sweep."""
        try:
            for job_id in job_ids:
                await self._delete_files_of(job_id)
        except StorageUnavailable as error:
            log.warning("files_not_pruned", error=repr(error.__cause__ or error))

    async def _delete_files_of(self, job_id: UUID) -> None:
        page: list[str] = []
        async for found in self._storage.list(files_prefix(job_id)):
            page.append(found.key)
            if len(page) == FILES_AT_ONCE:
                await self._storage.delete(page)
                page = []
        await self._storage.delete(page)
