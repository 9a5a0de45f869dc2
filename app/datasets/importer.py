"""Imports uploads as datasets: receives, converts and stores the file, and only then inserts the row.

A process that dies on the way leaves files without a row, in a spool folder or in storage. Both are swept.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from uuid import UUID

from app.core import ids, memory
from app.core.errors import AppError
from app.core.forking.fork_server import ForkServer
from app.core.resources import Resources
from app.datasets import commands, conversion_process, stored_files
from app.datasets.conversion.messages import Converted
from app.datasets.conversion_process import Limits
from app.datasets.errors import DatasetTooLarge
from app.datasets.fair_queue import FairQueue
from app.datasets.import_limits import ImportLimits
from app.datasets.options import AS_FOUND, UTF_8, ReadOptions
from app.datasets.values import Dataset, Format
from app.quotas.errors import QuotaExceeded
from app.quotas.service import StorageQuota
from app.uploads import receiving, spooling
from app.uploads.spooling import Spools

CONVERSIONS_AT_ONCE: Final = 2


class DatasetImporter:
    """Imports the uploads of one API process."""

    def __init__(self, resources: Resources, bounds: ImportLimits, server: ForkServer) -> None:
        spooling.remove_orphaned_folders()
        memory.return_large_blocks_to_os()
        self._resources = resources
        self._server = server
        self.bounds = bounds
        self.queue = FairQueue(CONVERSIONS_AT_ONCE)
        settings = resources.settings
        self._quota = StorageQuota.from_settings(settings)
        self.spools = Spools(per_user=settings.max_user_spool_bytes, in_total=settings.max_spool_bytes)

    async def import_upload(
        self,
        owner_id: UUID,
        name: str,
        file_format: Format,
        chunks: AsyncIterator[bytes],
        *,
        is_gzip: bool,
        options: ReadOptions = AS_FOUND,
    ) -> Dataset:
        """Import an upload as it arrives.

        Raises QuotaExceeded, DatasetTooLarge, SpoolFull, and the errors of `receive` and `convert`.
        """
        limit_bytes, too_large = await self._limit(owner_id)
        async with self.spool(owner_id) as (folder, reserve):
            content, rows = folder / "content", folder / "rows.parquet"
            spool = receiving.Spool(
                content,
                limit_bytes=limit_bytes,
                too_large=too_large,
                is_text=file_format is not Format.PARQUET and options.encoding in (None, UTF_8),
                is_gzip=is_gzip,
                reserve=reserve,
            )
            try:
                await receiving.receive(chunks, spool, stall_seconds=self.bounds.stall_seconds)
            finally:
                spool.close()
            limits = Limits(rows=self._resources.settings.max_dataset_rows, output_bytes=limit_bytes)
            async with self.queue.turn(owner_id):
                converted = await conversion_process.convert(
                    self._server, content, file_format, rows, limits, self.bounds, options
                )
            return await self._publish(owner_id, name, file_format, content, rows, converted)

    @asynccontextmanager
    async def spool(self, owner_id: UUID) -> AsyncIterator[tuple[Path, Callable[[int], None]]]:
        """A temporary folder for one upload, and the function that reserves bytes in it."""
        with self.spools.reserving(owner_id) as reserve:
            async with spooling.folder() as folder:
                yield folder, reserve

    async def _limit(self, owner_id: UUID) -> tuple[int, AppError]:
        """The size limit of the next upload of an owner, and the error for a larger one."""
        largest = self._resources.settings.max_dataset_bytes
        async with self._resources.database.connection() as connection:
            left = await self._quota.bytes_left(connection, owner_id)
        if left is not None and left[0] < largest:
            return left
        return largest, DatasetTooLarge(limit=largest)

    async def _publish(
        self,
        owner_id: UUID,
        name: str,
        file_format: Format,
        content: Path,
        rows: Path,
        converted: Converted,
    ) -> Dataset:
        resources = self._resources
        dataset_id = ids.new_id()
        stored_content, stored_rows = await stored_files.store(resources.storage, dataset_id, content, rows)
        try:
            async with resources.database.transaction() as connection:
                return await commands.create(
                    connection,
                    dataset_id,
                    owner_id,
                    name=name,
                    file_format=file_format,
                    content=stored_content,
                    rows=stored_rows,
                    row_count=converted.rows,
                    columns=converted.columns,
                    options=converted.options,
                    quota=self._quota,
                )
        except QuotaExceeded:
            # Only now is it certain that there is no row. After a lost connection there may be one.
            await stored_files.delete(resources.storage, dataset_id)
            raise
