"""What jobs have computed, read back batch by batch, wherever it is kept."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from app.core.database import Database
from app.core.errors import FileMissing
from app.core.storage import Storage
from app.jobs import queries
from app.jobs.errors import ResultsExpired


@dataclass(frozen=True)
class ResultBatch:
    """One stored batch: the rows from `first_row` on, one JSON object a line, a line a row."""

    index: int
    first_row: int
    output: bytes

    @property
    def lines(self) -> list[bytes]:
        """The rows: `{"prediction": …}` or `{"error": …}`, after the row's own `id` if it has one."""
        return self.output.splitlines()


async def read(
    database: Database, storage: Storage, job_id: UUID, *, from_index: int = 0
) -> AsyncIterator[ResultBatch]:
    """Every stored batch of a job from the given one on, in order.

    No connection is held while the caller works on one. Raises ResultsExpired if they go meanwhile.
    """
    while True:
        async with database.connection() as connection:
            found = await queries.batches(connection, job_id, from_index=from_index, limit=16)
        if not found:
            return
        for batch in found:
            yield ResultBatch(batch["index"], batch["first_row"], await _output(storage, job_id, batch))
        from_index = found[-1]["index"] + 1


async def _output(storage: Storage, job_id: UUID, batch: asyncpg.Record) -> bytes:
    if batch["output"] is not None:
        output: bytes = batch["output"]
        return output
    try:
        return await storage.get(batch["part_key"])
    except FileMissing as error:
        raise ResultsExpired(job_id=str(job_id)) from error
