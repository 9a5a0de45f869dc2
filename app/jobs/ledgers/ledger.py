"""The ledger of a job, from its row and its stored batches."""

import math
from collections.abc import Sequence

from app.jobs.job import Job
from app.jobs.ledgers.schemas import Ledger, StoredRun
from app.jobs.shards.queries import StoredShard
from app.jobs.states import Status


def ledger(job: Job, runs: Sequence[StoredRun]) -> Ledger:
    """Return the ledger of a job whose attempts have stored these runs."""
    stored = runs[-1]["last"] + 1 if runs else 0
    return Ledger(batches=_batches(job, stored, job.done), stored=stored, runs=list(runs))


def of_shards(job: Job, shards: Sequence[StoredShard]) -> Ledger:
    """Return the ledger of a job with these shards, which have ledgers of their own."""
    stored, done = sum(shard.batches for shard in shards), sum(shard.rows for shard in shards)
    return Ledger(batches=_batches(job, stored, done), stored=stored, runs=[])


def _batches(job: Job, stored: int, done: int) -> int | None:
    """Return how many batches the job will have, at the size of a batch that was asked for or seen so far."""
    if job.status is Status.COMPLETED:
        return stored
    if job.total is None:
        return None
    size = job.params.get("batch_size")
    if not isinstance(size, int) or size < 1:
        size = done / stored if stored else 0
    return stored + math.ceil((job.total - done) / size) if size > 0 else None
