"""Profiles of datasets: computed when they are first asked for, in a separate process, and kept."""

import asyncio
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec
import structlog

from app.core.errors import FileMissing
from app.core.forking.fork_server import ForkServer
from app.core.resources import Resources
from app.datasets import commands, processes, queries
from app.datasets.errors import ProfileFailed
from app.datasets.importer import DatasetImporter
from app.datasets.profiling.messages import Profile, Task
from app.datasets.values import Dataset

SECONDS: Final = 300.0
CPU_SECONDS: Final = 300
MEMORY_BYTES: Final = 3 * 1024**3
LOGGED_ERROR_BYTES: Final = 2000

log = structlog.get_logger(__name__)


class DatasetProfiler:
    """Computes and keeps the profiles that are asked of one API process, in turn with its conversions."""

    def __init__(
        self,
        resources: Resources,
        importer: DatasetImporter,
        server: ForkServer,
        *,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self._resources = resources
        self._importer = importer
        self._server = server
        self._memory_bytes = memory_bytes

    async def profile(self, owner_id: UUID, dataset_id: UUID) -> bytes:
        """The profile of a dataset of this owner as JSON.

        Raises DatasetNotFound, ProfileFailed, FileMissing and StorageUnavailable.
        """
        database = self._resources.database
        async with database.connection() as connection:
            dataset = await queries.get(connection, owner_id, dataset_id)
            if (kept := await queries.profile(connection, dataset_id)) is not None:
                return kept
        async with self._importer.queue.turn(owner_id):
            async with database.connection() as connection:
                kept = await queries.profile(connection, dataset_id)  # of an earlier turn
            if kept is not None:
                return kept
            computed = await self._compute(owner_id, dataset)
            async with database.connection() as connection:
                await commands.keep_profile(connection, dataset_id, computed)
        return msgspec.json.encode(computed)

    async def _compute(self, owner_id: UUID, dataset: Dataset) -> Profile:
        storage = self._resources.storage
        path = storage.local_path(dataset.file.key)
        if path is not None:
            if not await asyncio.to_thread(path.exists):
                raise FileMissing(key=dataset.file.key)
            return await self._run(dataset, path)
        async with self._importer.spool(owner_id) as (folder, reserve):
            reserve(dataset.file.bytes)
            await storage.download(dataset.file, folder / "rows.parquet")
            return await self._run(dataset, folder / "rows.parquet")

    async def _run(self, dataset: Dataset, source: Path) -> Profile:
        """Compute the profile of a local file. Raises ProfileFailed."""
        task = msgspec.json.encode(Task(str(source), CPU_SECONDS, self._memory_bytes))
        failed = ProfileFailed(dataset_id=str(dataset.id), seconds=round(SECONDS))
        try:
            async with asyncio.timeout(SECONDS):
                ended = await self._server.run(processes.PROFILE, task)
        except TimeoutError:
            raise failed from None
        if ended.exit_code != 0:
            error = ended.errors[-LOGGED_ERROR_BYTES:].decode(errors="replace")
            log.warning("profiling_died", dataset_id=str(dataset.id), exit_code=ended.exit_code, error=error)
            raise failed
        return msgspec.json.decode(ended.answer, type=Profile)
