"""The response of the route of shards."""

from datetime import datetime
from uuid import UUID

from typing_extensions import TypedDict

from app.jobs.schemas import JobError
from app.jobs.states import Status


class ShardCounts(TypedDict):
    """The shards of a job by status."""

    all: int
    pending: int
    running: int
    completed: int
    failed: int
    cancelled: int


class ShardView(TypedDict):
    """A shard, by its number: `rows` rows of the input from `first_row` on, of which `done` are done.

    `attempt` counts how often it was started, `failures` how many of these attempts failed. `worker` is the
    name of the worker on which it runs, and `started_at` the beginning of its last attempt.
    """

    shard: int
    job_id: UUID
    first_row: int
    rows: int
    status: Status
    done: int
    errors: int
    attempt: int
    failures: int
    worker: str | None
    started_at: datetime | None
    error: JobError | None


class ShardPage(TypedDict):
    """One page of the shards of a job, in the order of their rows; `next_cursor` is null on the last page.

    `counts` are of all shards. A job that is not sharded has none.
    """

    counts: ShardCounts
    items: list[ShardView]
    next_cursor: str | None
