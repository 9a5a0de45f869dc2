"""Sweep: deletes files in storage that no row refers to, once they are so old that no row will follow.

A file is stored before the row that refers to it is committed, and deleted after the row is deleted. A
process that dies in between leaves a file behind, which only a listing of all of storage finds.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from app.core import metrics
from app.core.database import connect, unavailability
from app.core.durable_files import INCOMING
from app.core.errors import FileMissing
from app.core.storage import Storage
from app.maintenance import locks, queries
from app.maintenance.loop import Loop, RoundResult

GRACE: Final = timedelta(hours=24)
"""How long a file may exist without a row that refers to it. No upload and no batch takes as long."""

PAGE: Final = 1000
STATEMENT_SECONDS: Final = 30.0
OWNER_KEY: Final = "database"
"""The file that names the database this storage belongs to."""

log = structlog.get_logger(__name__)


class Sweep:
    """Lists all of storage, with one query for each page of files."""

    def __init__(self, storage: Storage, grace: timedelta = GRACE, *, page_size: int = PAGE) -> None:
        self._storage = storage
        self._grace = grace
        self._page_size = page_size

    async def __call__(self, connection: asyncpg.Connection) -> None:
        """Delete the files that no row refers to. Raises StorageUnavailable."""
        if not await self._is_of_this_database(connection):
            return
        deleted = 0
        for prefix in ("datasets", "artifacts", "jobs", INCOMING):
            async for page in self._pages(prefix):
                lost = await _unreferenced(connection, prefix, page)
                await self._storage.delete(lost)
                deleted += len(lost)
        if deleted:
            log.info("storage_swept", files=deleted)
            metrics.FILES_SWEPT.inc(deleted)

    async def _is_of_this_database(self, connection: asyncpg.Connection) -> bool:
        """Whether the storage belongs to this database.

        Otherwise no row here refers to any of its files, and all of them would be deleted.
        """
        database = (await queries.database_id(connection)).encode()
        try:
            owner = await self._storage.get(OWNER_KEY)
        except FileMissing:
            await self._storage.put(OWNER_KEY, database)
            owner = database
        if owner != database:
            log.warning("storage_of_another_database", file=OWNER_KEY, owner=owner.decode(errors="replace"))
        return owner == database

    async def _pages(self, prefix: str) -> AsyncIterator[list[str]]:
        """Yield the keys of the files that are old enough, in pages."""
        before = datetime.now(UTC) - self._grace
        page: list[str] = []
        async for found in self._storage.list(prefix):
            if found.modified_at < before:
                page.append(found.key)
            if len(page) == self._page_size:
                yield page
                page = []
        if page:
            yield page


@dataclass
class SweepLoop(Loop):
    """Sweeps on a connection of its own that holds the lock: a sweep takes longer than a transaction may."""

    database_url: str = ""

    async def run_forever(self) -> None:
        """Sweep repeatedly, until cancelled, but not at once: restarts must not list all of storage."""
        await asyncio.sleep(self.interval_seconds * random.random())  # noqa: S311  # spreads load
        await super().run_forever()

    async def _do_round(self) -> RoundResult:
        with unavailability():
            connection = await connect(self.database_url, command_timeout=STATEMENT_SECONDS)
            try:
                if not await locks.try_for_connection(connection, self.name):
                    return RoundResult.LEFT
                await self.duty(connection)
            finally:
                connection.terminate()
        return RoundResult.DONE


async def _unreferenced(connection: asyncpg.Connection, prefix: str, keys: Sequence[str]) -> list[str]:
    """Return the keys that no row refers to. Files that Headrace did not name are left alone."""
    if prefix == INCOMING:
        return list(keys)  # interrupted uploads
    if prefix == "artifacts":
        return sorted(set(keys) - await queries.artifacts(connection, keys))
    ids = {key: found for key in keys if (found := _id(key)) is not None}
    if prefix == "datasets":
        existing = await queries.existing_datasets(connection, set(ids.values()))
        return [key for key, dataset_id in ids.items() if dataset_id not in existing]
    return sorted(ids.keys() - await queries.files_of_jobs(connection, set(ids.values())))


def _id(key: str) -> UUID | None:
    """Return the id in the second part of a key, or None."""
    try:
        return UUID(key.split("/")[1])
    except (IndexError, ValueError):
        return None
