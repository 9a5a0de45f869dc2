"""Sweep: files in storage that nothing refers to are deleted, once nobody can be about to refer to them.

A file is stored before the row that refers to it is committed, and deleted after the row is gone. Whoever
dies in between leaves a file that only a look through all of storage finds.
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
from app.core.durable import INCOMING
from app.core.errors import FileMissing
from app.core.storage import Storage
from app.maintenance.loop import Loop

GRACE: Final = timedelta(hours=24)
"""How long a file may be without anybody who refers to it. No upload and no batch takes as long."""

PAGE: Final = 1000
STATEMENT_SECONDS: Final = 30.0
OWNER_KEY: Final = "database"
"""The file that says which database this storage belongs to."""

_OWNER: Final = """
SELECT system_identifier::text || '/' || (SELECT oid FROM pg_database WHERE datname = current_database())
FROM pg_control_system()"""

_DATASETS: Final = "SELECT id FROM datasets WHERE id = ANY ($1)"
_ARTIFACTS: Final = "SELECT artifact_key FROM model_versions WHERE artifact_key = ANY ($1)"
_OF_JOBS: Final = """
SELECT part_key FROM job_batches WHERE job_id = ANY ($1) AND part_key IS NOT NULL
UNION ALL
SELECT file ->> 'key' FROM job_checkpoints WHERE job_id = ANY ($1) AND file IS NOT NULL"""

log = structlog.get_logger(__name__)


class Sweep:
    """Goes through storage once, page by page, with one query for each."""

    def __init__(self, storage: Storage, grace: timedelta = GRACE, *, page_size: int = PAGE) -> None:
        self._storage = storage
        self._grace = grace
        self._page_size = page_size

    async def __call__(self, connection: asyncpg.Connection) -> None:
        """Delete what nothing refers to. Raises StorageUnavailable."""
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
        """Whether the rows that refer to these files are here.

        Nothing is, for a database that was pointed at another's storage, and all of it would be deleted.
        """
        database: bytes = (await connection.fetchval(_OWNER)).encode()
        try:
            owner = await self._storage.get(OWNER_KEY)
        except FileMissing:
            await self._storage.put(OWNER_KEY, database)
            owner = database
        if owner != database:
            log.warning("storage_of_another_database", file=OWNER_KEY, owner=owner.decode(errors="replace"))
        return owner == database

    async def _pages(self, prefix: str) -> AsyncIterator[list[str]]:
        """The keys of the files that are old enough, in pages."""
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
    """A sweep takes longer than a transaction may, so it has a connection of its own, and a lock on that."""

    database_url: str = ""

    async def run_forever(self) -> None:
        """Sweep again and again, until cancelled; not at once, or each restart would read all of storage."""
        await asyncio.sleep(self.interval_seconds * random.random())  # noqa: S311  # spreads load
        await super().run_forever()

    async def _do_round(self) -> None:
        with unavailability():
            connection = await connect(self.database_url, command_timeout=STATEMENT_SECONDS)
            try:
                if await connection.fetchval(
                    "SELECT pg_try_advisory_lock(hashtext($1))", f"keeper:{self.name}"
                ):
                    await self.duty(connection)
            finally:
                connection.terminate()


async def _unreferenced(connection: asyncpg.Connection, prefix: str, keys: Sequence[str]) -> list[str]:
    """Those of the keys that nothing refers to. What is not named as we name things is left alone."""
    if prefix == INCOMING:
        return list(keys)  # what is there is whole nowhere
    if prefix == "artifacts":
        rows = await connection.fetch(_ARTIFACTS, keys)
        return sorted(set(keys) - {row[0] for row in rows})
    ids = {key: found for key in keys if (found := _id(key)) is not None}
    if prefix == "datasets":
        rows = await connection.fetch(_DATASETS, list(set(ids.values())))
        known = {row[0] for row in rows}
        return [key for key, dataset_id in ids.items() if dataset_id not in known]
    rows = await connection.fetch(_OF_JOBS, list(set(ids.values())))
    return sorted(ids.keys() - {row[0] for row in rows})


def _id(key: str) -> UUID | None:
    """The id that is the second part of a key."""
    try:
        return UUID(key.split("/")[1])
    except (IndexError, ValueError):
        return None
