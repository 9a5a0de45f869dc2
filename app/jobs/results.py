"""What jobs have computed, read back batch by batch, wherever it is kept."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg

from app.core.database import Database
from app.core.errors import FileMissing
from app.core.storage import Storage
from app.jobs import queries
from app.jobs.errors import ResultsExpired

BATCHES_AT_ONCE: Final = 16


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
    database: Database,
    storage: Storage,
    job_id: UUID,
    *,
    from_index: int = 0,
    before_index: int | None = None,
) -> AsyncGenerator[ResultBatch, None]:
    """Every stored batch of a job from one on, in order, and before another if that is given.

    No connection is held while the caller works on one. Raises ResultsExpired if they go meanwhile.
    """
    while before_index is None or from_index < before_index:
        limit = BATCHES_AT_ONCE if before_index is None else min(BATCHES_AT_ONCE, before_index - from_index)
        async with database.connection() as connection:
            found = await queries.batches(connection, job_id, from_index=from_index, limit=limit)
        if not found:
            return
        for batch in found:
            yield ResultBatch(batch["index"], batch["first_row"], await _output(storage, job_id, batch))
        from_index = found[-1]["index"] + 1


def files_prefix(job_id: UUID) -> str:
    """Where all files are that the attempts at a job have left: parts of its output, and checkpoints."""
    return f"jobs/{job_id}"


async def _output(storage: Storage, job_id: UUID, batch: asyncpg.Record) -> bytes:
    if batch["output"] is not None:
        output: bytes = batch["output"]
        return output
    try:
        return await storage.get(batch["part_key"])
    except FileMissing as error:
        raise ResultsExpired(job_id=str(job_id)) from error
