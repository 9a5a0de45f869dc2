"""The results of jobs, read piece by piece from Postgres or from part files."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final
from uuid import UUID

from app.core.database import Database
from app.core.errors import FileMissing
from app.core.storage import Storage
from app.jobs import queries
from app.jobs.errors import ResultsExpired
from app.jobs.job import StoredBatch
from app.jobs.shards.queries import StoredShard
from app.jobs.snapshots import BEGINNING, Position, Snapshot

BATCHES_AT_ONCE: Final = 16


@dataclass(frozen=True)
class ResultBatch:
    """One stored batch, or a piece of a large one: rows from `first_row` on, one JSON object per line.

    `first_in_batch` is the number of its first row within the batch `index` of the shard at this place.
    `inputs` are the input rows as JSON values, of about `input_bytes` together, if they were asked for.
    `chosen` are the numbers of its rows if only some of the rows from `first_row` on were kept.
    """

    index: int
    first_row: int
    output: bytes
    first_in_batch: int = 0
    shard: int = 0
    inputs: Sequence[Any] | None = None
    input_bytes: int = 0
    chosen: Sequence[int] | None = None

    @property
    def numbers(self) -> Sequence[int]:
        """The numbers of its rows within the job."""
        return self.chosen or range(self.first_row, self.first_row + len(self.lines))

    @cached_property
    def lines(self) -> list[bytes]:
        """The rows: `{"prediction": …}` or `{"error": …}`, after the row's own `id` if it has one."""
        return self.output.splitlines()

    @property
    def size(self) -> int:
        """About how many bytes it has."""
        return len(self.output) + self.input_bytes

    def position(self, row: int) -> Position:
        """Return the position of a row, counted within this piece."""
        return Position(self.shard, self.index, self.first_in_batch + row)

    def part(self, start: int, stop: int | None = None) -> "ResultBatch":
        """Return the rows from `start` on, counted within this piece, up to `stop` exclusively."""
        return replace(
            self,
            first_row=self.first_row + start,
            first_in_batch=self.first_in_batch + start,
            output=b"\n".join(self.lines[start:stop]),
            inputs=None if self.inputs is None else self.inputs[start:stop],
            chosen=None if self.chosen is None else self.chosen[start:stop],
        )

    def only(self, places: Sequence[int]) -> "ResultBatch":
        """Return some of the rows, given by their places within this piece in ascending order."""
        lines = self.lines
        return replace(
            self,
            output=b"\n".join([lines[place] for place in places]),
            inputs=None if self.inputs is None else [self.inputs[place] for place in places],
            chosen=[self.numbers[place] for place in places],
        )


async def read(
    database: Database, storage: Storage, snapshot: Snapshot, *, start: Position = BEGINNING
) -> AsyncGenerator[ResultBatch, None]:
    """Yield the stored batches of a snapshot in input order, from the row `start` on.

    A large batch comes in pieces. No connection is held while the caller works on one. Raises ResultsExpired
    if results are deleted meanwhile.
    """
    for number, shard in enumerate(snapshot.shards[start.shard :], start=start.shard):
        first, skipped = (start.batch, start.row) if number == start.shard else (0, 0)
        async with aclosing(_batches(database, storage, shard, from_index=first)) as pieces:
            async for batch in pieces:
                piece = replace(batch, shard=number, first_row=shard.first_row + batch.first_row)
                left_out = skipped - piece.first_in_batch if piece.index == first else 0
                if left_out <= 0:
                    yield piece
                elif (part := piece.part(left_out)).output:
                    yield part


async def _batches(
    database: Database, storage: Storage, shard: StoredShard, *, from_index: int
) -> AsyncGenerator[ResultBatch, None]:
    """Yield the batches of a shard, with rows that are numbered within it."""
    while from_index < shard.batches:
        limit = min(BATCHES_AT_ONCE, shard.batches - from_index)
        async with database.connection() as connection:
            found = await queries.batches(connection, shard.job_id, from_index=from_index, limit=limit)
        if not found:
            raise ResultsExpired(job_id=str(shard.job_id))
        for batch in found:
            if batch.output is not None:
                yield ResultBatch(batch.index, batch.first_row, batch.output)
                continue
            rows = 0
            async for output in _whole_lines(_blocks(database, storage, shard.job_id, batch)):
                yield ResultBatch(batch.index, batch.first_row + rows, output, rows)
                rows += output.count(b"\n") + (not output.endswith(b"\n"))
        from_index = found[-1].index + 1


def files_prefix(job_id: UUID) -> str:
    """Return the prefix of the files that attempts at a job store: outputs, checkpoints and profiles."""
    return f"jobs/{job_id}"


async def _blocks(
    database: Database, storage: Storage, job_id: UUID, batch: StoredBatch
) -> AsyncIterator[bytes]:
    """Yield the output of a batch that is in a part file, or too large to read at once."""
    try:
        if batch.part_key is not None and 0 < batch.output_bytes <= queries.MAX_BATCH_BYTES:
            yield await storage.get(batch.part_key)  # in one call
            return
        if batch.part_key is not None:
            async for block in storage.stream(batch.part_key):
                yield block
            return
    except FileMissing as error:
        raise ResultsExpired(job_id=str(job_id)) from error
    start = 0
    while start < batch.output_bytes:
        async with database.connection() as connection:
            piece = await queries.output_piece(connection, job_id, batch.index, start)
        if not piece:
            raise ResultsExpired(job_id=str(job_id))
        yield piece
        start += len(piece)


async def _whole_lines(blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Regroup blocks so that each ends at a line end."""
    rest: list[bytes] = []
    async for block in blocks:
        end = block.rfind(b"\n") + 1
        if not end:
            rest.append(block)
            continue
        yield b"".join([*rest, block[:end]])
        rest = [block[end:]] if end < len(block) else []
    if rest:
        yield b"".join(rest)
