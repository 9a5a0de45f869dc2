"""Prune: deletes what has expired, a bounded number at a time."""

from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta
from functools import partial
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from app.analytics import pruning as statistics
from app.audit import commands as audit
from app.auth import rate_limits
from app.auth.api_keys import commands as api_keys
from app.auth.download_tickets import commands as download_tickets
from app.auth.invitations import commands as invitations
from app.auth.password_resets import commands as password_resets
from app.auth.sessions import commands as sessions
from app.core.config import Settings
from app.core.errors import StorageUnavailable
from app.core.storage import Storage
from app.jobs import commands as jobs
from app.jobs.groups import commands as groups
from app.jobs.results import files_prefix
from app.jobs.workers import commands as workers
from app.notifications import pruning as notifications
from app.schedules import commands as schedules
from app.streams import tickets

JOBS_AT_ONCE: Final = 1000
AUDIT_ENTRIES_AT_ONCE: Final = 10_000
FIRINGS_AT_ONCE: Final = 10_000
DELIVERIES_AT_ONCE: Final = 10_000
STATISTICS_AT_ONCE: Final = 10_000
FILES_AT_ONCE: Final = 1000
IDEMPOTENCY_KEY_LIFETIME: Final = timedelta(hours=24)

log = structlog.get_logger(__name__)


class Prune:
    """Deletes expired results, old jobs with everything that belongs to them, tickets, workers and so on."""

    def __init__(self, settings: Settings, storage: Storage, *, jobs_at_once: int = JOBS_AT_ONCE) -> None:
        self._settings = settings
        self._storage = storage
        self._jobs_at_once = jobs_at_once

    async def __call__(self, connection: asyncpg.Connection) -> Callable[[], Awaitable[None]]:
        """Delete the rows that are due now. The result deletes their files, after the commit."""
        settings, limit = self._settings, self._jobs_at_once
        with_files = await jobs.prune_results(connection, limit=limit)
        retention = timedelta(seconds=settings.job_retention_seconds)
        with_files |= await jobs.delete_old(connection, retention, limit=limit)
        await jobs.release_keys(connection, IDEMPOTENCY_KEY_LIFETIME, limit=limit)
        await groups.release_keys(connection, IDEMPOTENCY_KEY_LIFETIME)
        await groups.delete_empty(connection, IDEMPOTENCY_KEY_LIFETIME, limit=limit)
        await schedules.prune_firings(connection, retention, limit=FIRINGS_AT_ONCE)
        await schedules.release_keys(connection, IDEMPOTENCY_KEY_LIFETIME)
        await notifications.prune(connection, retention, limit=DELIVERIES_AT_ONCE)
        await statistics.prune(connection, timedelta(days=settings.statistics_days), limit=STATISTICS_AT_ONCE)
        await tickets.prune(connection)
        await download_tickets.prune(connection)
        await rate_limits.prune(connection)
        await sessions.prune(connection)
        await password_resets.prune(connection)
        await invitations.prune(connection)
        audit_retention = timedelta(seconds=settings.audit_retention_seconds)
        await audit.prune(connection, audit_retention, limit=AUDIT_ENTRIES_AT_ONCE)
        await api_keys.prune(connection)
        await workers.prune(connection, timedelta(seconds=settings.lease_seconds))
        return partial(delete_files, self._storage, with_files)


async def delete_files(storage: Storage, job_ids: Collection[UUID]) -> None:
    """Delete the files of jobs, a page at a time. The sweep deletes what is left after an error."""
    try:
        for job_id in job_ids:
            await _delete_files_of(storage, job_id)
    except StorageUnavailable as error:
        log.warning("files_not_pruned", error=repr(error.__cause__ or error))


async def _delete_files_of(storage: Storage, job_id: UUID) -> None:
    page: list[str] = []
    async for found in storage.list(files_prefix(job_id)):
        page.append(found.key)
        if len(page) == FILES_AT_ONCE:
            await storage.delete(page)
            page = []
    await storage.delete(page)
