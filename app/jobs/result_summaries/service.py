"""Sums up the results of a job by label."""

import asyncio
from collections import Counter
from contextlib import aclosing
from typing import Final
from uuid import UUID
from weakref import WeakValueDictionary

from app.core.resources import Resources
from app.jobs import results, snapshots
from app.jobs import service as jobs
from app.jobs.errors import JobNotEnded, ResultsExpired
from app.jobs.job import Job
from app.jobs.result_filters.row_filter import ResultLine
from app.jobs.result_summaries import commands, queries
from app.jobs.result_summaries.schemas import ResultSummary
from app.jobs.results import ResultBatch

MAX_LABELS: Final = 1000
"""Labels with a count of their own: the first ones."""

MAX_LABEL_LENGTH: Final = 200
"""A longer label has no count of its own."""


_counting: Final[WeakValueDictionary[UUID, asyncio.Lock]] = WeakValueDictionary()


async def get(resources: Resources, job: Job) -> ResultSummary:
    """Return the summary of a job that has ended. It is computed when it is first asked for, and kept.

    Of concurrent requests, one reads the results, and the others wait for it. Raises ResultsExpired if they
    are pruned meanwhile, JobNotFound and JobNotEnded.
    """
    # Held by this variable: the dictionary keeps only locks that are in use.
    lock = _counting.setdefault(job.id, asyncio.Lock())
    async with lock:
        while True:
            async with resources.database.connection() as connection:
                if (kept := await queries.kept(connection, job)) is not None:
                    return kept
            summary = await _count(resources, job)
            async with resources.database.connection() as connection:
                if summary is not None and await commands.keep(connection, job, summary):
                    return summary
                job = await jobs.get_own(connection, job.owner_id, job.id)
            ensure_complete(job)  # it was pruned or retried, and may have ended again


def ensure_complete(job: Job) -> None:
    """Check that a job has all its results. Raises ResultsExpired, JobNotEnded."""
    if job.is_pruned:
        raise ResultsExpired(job_id=str(job.id))
    if not job.has_ended:
        raise JobNotEnded(job_id=str(job.id))


async def _count(resources: Resources, job: Job) -> ResultSummary | None:
    """Return the summary of the results that a job has; None if they are deleted meanwhile."""
    async with resources.database.connection() as connection:
        snapshot = await snapshots.take(connection, job)
    counts = LabelCounts()
    try:
        async with aclosing(results.read(resources.database, resources.storage, snapshot)) as pieces:
            async for piece in pieces:
                await asyncio.to_thread(counts.add, piece)
    except ResultsExpired:
        return None
    return counts.summary


class LabelCounts:
    """Counts rows by label."""

    def __init__(self, *, max_labels: int = MAX_LABELS) -> None:
        self._max_labels = max_labels
        self._labels: Counter[str] = Counter()
        self._rows = self._errors = self._others = 0

    def add(self, piece: ResultBatch) -> None:
        """Count the rows of a piece."""
        for line in piece.lines:
            row = ResultLine.decode(line)
            self._rows += 1
            if row.error is not None:
                self._errors += 1
            elif (label := row.label) is not None and self._has_room(label):
                self._labels[label] += 1
            else:
                self._others += 1

    @property
    def summary(self) -> ResultSummary:
        """What was counted so far, the most frequent label first."""
        return ResultSummary(
            rows=self._rows,
            errors=self._errors,
            labels=dict(self._labels.most_common()),
            others=self._others,
        )

    def _has_room(self, label: str) -> bool:
        return label in self._labels or (
            len(self._labels) < self._max_labels and len(label) <= MAX_LABEL_LENGTH
        )
