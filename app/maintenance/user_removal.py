"""Removal of deleted users: cancels and deletes what belongs to them, a bounded number at a time.

A round may end anywhere: what is left is found again by the next one. The row of the user goes last.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from app.auth.users import queries as users
from app.core.hints import Hints
from app.core.storage import Storage
from app.datasets import stored_files
from app.jobs import commands as jobs
from app.jobs import transitions
from app.jobs.groups import commands as groups
from app.jobs.unit_of_work import UnitOfWork
from app.maintenance import commands, queries
from app.maintenance.prune import delete_files
from app.models import commands as models
from app.models import storage_keys
from app.models.errors import ModelInUse
from app.notifications import pruning as notifications
from app.schedules import commands as schedules

# Bounds the time of a round: the streams of all jobs of a user wait for open transactions.
USERS_AT_ONCE: Final = 5
JOBS_AT_ONCE: Final = 100
OBJECTS_AT_ONCE: Final = 100
FIRINGS_AT_ONCE: Final = 10_000
DELIVERIES_AT_ONCE: Final = 1000

log = structlog.get_logger(__name__)


class UserRemoval:
    """Removes the schedules, jobs, datasets, models and subscriptions of deleted users, then the users."""

    def __init__(self, storage: Storage, hints: Hints, *, jobs_at_once: int = JOBS_AT_ONCE) -> None:
        self._storage = storage
        self._hints = hints
        self._jobs_at_once = jobs_at_once

    async def __call__(self, connection: asyncpg.Connection) -> Callable[[], Awaitable[None]]:
        """Do one round. The result publishes the cancellations and deletes files, after the commit."""
        unit = UnitOfWork(connection)
        removed = _Removed()
        for user_id in await users.deleted(connection, limit=USERS_AT_ONCE):
            await self._remove(unit, user_id, removed)
        return partial(self._after_commit, unit, removed)

    async def _remove(self, unit: UnitOfWork, user_id: UUID, removed: "_Removed") -> None:
        connection = unit.connection
        # First, so that they create no more jobs.
        if not await schedules.delete_of_owner(connection, user_id, limit=FIRINGS_AT_ONCE):
            return
        for job_id in await queries.jobs_to_cancel(connection, user_id, limit=self._jobs_at_once):
            await transitions.cancel(unit, job_id=job_id)
        removed.jobs |= await jobs.delete_ended(connection, user_id, limit=self._jobs_at_once)
        # Jobs that still run may read what follows, and write deliveries for subscriptions when they end.
        if await queries.has_unfinished_jobs(connection, user_id):
            return
        await notifications.delete_of_owner(connection, user_id, limit=DELIVERIES_AT_ONCE)
        removed.datasets += await commands.delete_datasets(connection, user_id, limit=OBJECTS_AT_ONCE)
        for name in await queries.models(connection, user_id, limit=OBJECTS_AT_ONCE):
            try:
                removed.artifacts += await models.delete(connection, user_id, name)
            except ModelInUse:
                continue  # by a job of another user, until that ends
        await groups.delete_empty_of_owner(connection, user_id, limit=self._jobs_at_once)
        if await commands.delete_user(connection, user_id):
            log.info("user_removed", user_id=str(user_id))

    async def _after_commit(self, unit: UnitOfWork, removed: "_Removed") -> None:
        unit.publish(self._hints)
        await delete_files(self._storage, removed.jobs)
        for dataset_id in removed.datasets:
            await stored_files.delete(self._storage, dataset_id)
        await storage_keys.forget(self._storage, removed.artifacts)


class _Removed:
    """What has files in storage that are deleted after the commit."""

    def __init__(self) -> None:
        self.jobs: set[UUID] = set()
        self.datasets: list[UUID] = []
        self.artifacts: list[str] = []
