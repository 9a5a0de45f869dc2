"""Jobs with shards, whose shards tests drive through the transitions of `tests.support.jobs`."""

from uuid import UUID

from app.core.database import Database
from app.jobs.transition_types import ClaimedJob
from tests.support import jobs, rows

SHARD_ROWS = 20
"""Two batches."""


async def create(database: Database, owner_id: UUID, *, total: int = 45, queue: str = "default") -> UUID:
    """Create a pending job with a shard for each SHARD_ROWS rows, of which any number may fail."""
    shards = -(-total // SHARD_ROWS)
    return await jobs.sharded(
        database,
        owner_id,
        shards=shards,
        rows_of_shard=SHARD_ROWS,
        rows=total,
        max_failed=shards,
        queue=queue,
    )


async def claim(
    database: Database, job_id: UUID, worker_id: UUID | None = None, *, queue: str = "default"
) -> list[ClaimedJob]:
    """Claim all shards of a job, in order; the job runs. Nothing else waits in the queue."""
    worker_id = worker_id or await jobs.worker(database, slots=10)
    # They queue 20 s apart: all of them have been asked for long ago.
    await rows.execute(
        database, "UPDATE jobs SET sort_key = sort_key - interval '1 day' WHERE parent_id = $1", job_id
    )
    claimed = await jobs.claim_all(database, worker_id, queue=queue)
    await jobs.roll_up(database, job_id)
    return sorted(claimed, key=lambda shard: shard.first_row or 0)


async def end(database: Database, job_id: UUID) -> None:
    """End a job whose shards have ended."""
    await jobs.roll_up(database, job_id)
