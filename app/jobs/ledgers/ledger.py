"""The ledger of a job, from its row and its stored batches."""

import math
from collections.abc import Sequence

from app.jobs.job import Job
from app.jobs.ledgers.schemas import Ledger, StoredRun
from app.jobs.states import Status


def ledger(job: Job, runs: Sequence[StoredRun]) -> Ledger:
    """Return the ledger of a job whose attempts have stored these runs."""
    stored = runs[-1]["last"] + 1 if runs else 0
    return Ledger(batches=_batches(job, stored), stored=stored, runs=list(runs))


def _batches(job: Job, stored: int) -> int | None:
    """Return how many batches the job will have, at the size of a batch that was asked for or seen so far."""
    if job.status is Status.COMPLETED:
        return stored
    if job.total is None:
        return None
    size = job.params.get("batch_size")
    if not isinstance(size, int) or size < 1:
        size = job.done / stored if stored else 0
    return stored + math.ceil((job.total - job.done) / size) if size > 0 else None
