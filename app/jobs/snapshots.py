"""The results that a job has at one moment: which rows of which shards a reader gets."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

import asyncpg

from app.jobs import queries
from app.jobs.job import Job
from app.jobs.shards import queries as shards
from app.jobs.shards.queries import StoredShard


class Position(NamedTuple):
    """A row: the place of its shard, its batch within the shard, and its number within the batch."""

    shard: int
    batch: int
    row: int


BEGINNING: Final = Position(0, 0, 0)


@dataclass(frozen=True)
class Snapshot:
    """The rows that readers get, in input order. The place of a shard is its number.

    `rows_ready` rows come before the first one that is missing.
    """

    shards: tuple[StoredShard, ...]
    rows_ready: int
    is_sharded: bool = False

    @classmethod
    def of_job(cls, job: Job) -> Self:
        """Return the rows of a job that has no shards: an ordinary job, or a shard itself."""
        stored = StoredShard(job.id, job.first_row, job.next_batch, job.done, job.errors)
        return cls((stored,), job.done)

    @classmethod
    def of_shards(cls, stored: Iterable[StoredShard], *, is_complete: bool) -> Self:
        """Return the rows of these shards, in order: all, or those before the first one that is missing.

        A job that `is_complete` has ended: rows that are missing now stay missing.
        """
        all_shards = tuple(stored)
        ready = rows_ready = 0
        for shard in all_shards:
            if shard.first_row != rows_ready:
                break
            ready += 1
            rows_ready += shard.rows
        return cls(all_shards if is_complete else all_shards[:ready], rows_ready, is_sharded=True)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(shard.rows for shard in self.shards)

    @property
    def errors(self) -> int:
        """How many of them are errors."""
        return sum(shard.errors for shard in self.shards)

    @property
    def end(self) -> int:
        """The number of the row after the last one."""
        return max((shard.end for shard in self.shards if shard.rows), default=0)

    @property
    def version(self) -> str:
        """A text that no other snapshot of the same job has.

        Sums tell snapshots apart because shards only grow. A retry hides the rows behind a gap again, so
        rows with a gap among them never have the version of as many without.
        """
        batches = sum(shard.batches for shard in self.shards)
        gaps = "" if self.rows == self.rows_ready else "-gaps"
        return f"{batches}-{self.rows}-{self.errors}{gaps}"

    async def position_of(self, connection: asyncpg.Connection, row: int) -> Position | None:
        """Return where the first row is whose number is at least `row`; None if there is none."""
        for number, shard in enumerate(self.shards):
            if shard.rows and row < shard.end:
                wanted = max(0, row - shard.first_row)
                found = await queries.batch_of_row(connection, shard.job_id, wanted, batches=shard.batches)
                return None if found is None else Position(number, found.index, wanted - found.first_row)
        return None


async def take(connection: asyncpg.Connection, job: Job) -> Snapshot:
    """Return the rows that a job has, as far as readers get them.

    While a sharded job is unfinished, they get those before the first one that is missing, because later
    ones would come before it; when it has ended, they get all.
    """
    if job.shards is None:
        return Snapshot.of_job(job)
    stored = await shards.stored(connection, job.id)
    return Snapshot.of_shards(stored, is_complete=job.has_ended)
